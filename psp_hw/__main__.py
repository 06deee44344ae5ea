"""``python -m psp_hw`` is ``psp-hw``."""

from psp_hw.cli.main import main

main()
