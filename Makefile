# psp-hw: everything a person runs in this repository. `make help` lists the targets.

PYTHON ?= python3
VENV   := .venv
BIN    := $(VENV)/bin
STAMP  := $(VENV)/.psp-hw-installed
JOBS   ?= 2

# Several test processes share the cores: one thread each is the fastest and the steadiest.
ONE_THREAD := OMP_NUM_THREADS=1 MKL_NUM_THREADS=1 OPENBLAS_NUM_THREADS=1

.DEFAULT_GOAL := help
.PHONY: help demo test check bench format lint types imports fast-tests wheel wheel-test setup needs-python needs-gxx clean

help: ## list the targets
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  make %-12s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

demo: setup needs-gxx ## train, emit, compile, compare and report a small CNN on real data (about a minute)
	$(BIN)/psp-hw demo

test: setup needs-gxx ## run the whole test suite
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal

check: setup needs-gxx ## format, lint, types, import contracts and the fast tests (under a minute)
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m "not slow" --hypothesis-profile quick

bench: setup needs-gxx ## measure the speeds that the README states; writes reports/bench/
	$(BIN)/python benchmarks/bench.py --out reports/bench

format: setup ## rewrite the Python files in the project's format
	$(BIN)/ruff format .
	$(BIN)/ruff check --fix .

lint: setup ## ruff: format and rules
	$(BIN)/ruff format --check .
	$(BIN)/ruff check .

types: setup ## mypy in strict mode
	$(BIN)/mypy

imports: setup ## who may import whom (pyproject.toml, tool.importlinter)
	$(BIN)/lint-imports

fast-tests: setup needs-gxx ## the tests without the slow ones
	$(ONE_THREAD) $(BIN)/python -m pytest -n $(JOBS) --dist worksteal -q -m "not slow" --hypothesis-profile quick

wheel: setup ## build the wheel into dist/
	rm -rf dist
	$(BIN)/python -m build --wheel --outdir dist .

wheel-test: wheel needs-gxx ## install the wheel into an empty environment elsewhere and run the demo there
	@set -eu; place=$$(mktemp -d); trap 'rm -rf "$$place"' EXIT; \
	  $(BIN)/python -m venv "$$place/venv"; \
	  "$$place/venv/bin/python" -m pip install --quiet -c constraints.txt dist/psp_hw-*.whl; \
	  cd "$$place"; "$$place/venv/bin/psp-hw" demo

setup: $(STAMP) ## the virtual environment in .venv with the package and its tools

$(STAMP): pyproject.toml constraints.txt | needs-python
	@test -x $(BIN)/python || { echo "setting up $(VENV) (once; this downloads the dependencies)"; $(PYTHON) -m venv $(VENV); }
	$(BIN)/python -m pip install --quiet --disable-pip-version-check -c constraints.txt -e '.[dev]'
	@touch $@

needs-python:
	@test -x $(BIN)/python || $(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { \
	  echo "psp-hw needs Python 3.11 or newer; $(PYTHON) is $$($(PYTHON) --version 2>&1). Name another: make PYTHON=python3.12" >&2; exit 2; }

needs-gxx:
	@command -v g++ >/dev/null || { \
	  echo "psp-hw compiles its designs with g++, which is not on PATH. Install it (Debian, Ubuntu: apt install g++)." >&2; exit 2; }

clean: ## remove what the targets made, the environment excepted
	rm -rf build dist .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis
