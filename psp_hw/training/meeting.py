"""Where the processes of one training meet, and what each hears of the others.

A collective waits for half an hour for a process that will not come. So the processes meet at a store (of torch, at
``MASTER_ADDR:MASTER_PORT``, in the first process or in the agent of torchrun) before anything else, the first one says there what it
refuses, and whoever fails later says so. A thread of each looks twice a second, and ends its process where that waits for nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import sys
import threading
import time
from collections.abc import Callable
from datetime import timedelta

from torch.distributed import DistError, PrefixStore, Store, TCPStore

from psp_hw import errors
from psp_hw.errors import PspHwError, RunError
from psp_hw.training.launch import Launcher, launcher
from psp_hw.training.lightning_names import SLURMEnvironment
from psp_hw.training.machine import Machine

JOIN_S = 300.0  # nodes of a job do not begin at the same moment
HEAR_S = 30.0  # a process that failed stays so long for the others to hear why
LEAVE_S = (
    10.0  # a process that heard of a failure has so long to end by itself; then it waits in a collective
)
_POLL_S = 0.5
_ANSWER = timedelta(seconds=20)  # of the store
_HOME = "127.0.0.1"
_JOINED, _HEARD, _LEFT, _FAILED, _DONE = "joined", "heard", "left", "failed", "done"


class Meeting:
    """Several processes, at a store.

    Args:
        machine: how many.
    """

    def __init__(self, machine: Machine) -> None:
        self.processes = machine.processes
        self._started_here = launcher(machine.processes, os.environ) is Launcher.NONE
        self.rank, host, port = _place(machine)
        self._address = f"{host}:{port}"
        self._store = _store(host, port, leads=self.rank == 0)
        self._works = 0
        self._busy = False
        self._failure: PspHwError | None = None
        self._over = threading.Event()
        self._watcher = threading.Thread(target=self._watch, name="other processes", daemon=True)

    def join(self) -> None:
        """Wait for everybody, but for processes that this one has yet to start."""
        self._store.add(_JOINED, 1)
        self._watcher.start()
        if self._started_here:
            return
        until = time.monotonic() + JOIN_S
        while self._count(_JOINED) < self.processes:
            self._require_all_well()
            if time.monotonic() > until:
                come = self._count(_JOINED)
                what = f"{come} of {self.processes} processes came within {JOIN_S / 60:.0f} minutes"
                raise RunError(what, where=self._address, hint="look at what the others say")
            time.sleep(_POLL_S / 5)

    def lead(self, work: Callable[[], object]) -> None:
        """As `psp_hw.training.together.Others.lead`."""
        self._works += 1
        key = f"{_DONE}{self._works}"
        if self.rank == 0:
            self._busy = True  # needs nobody until it is done
            work()
            self._busy = False
            self._store.set(key, "")
            return
        while not self._is_there(key):
            self._require_all_well()
            time.sleep(_POLL_S / 5)

    def leave(self, error: BaseException | None) -> PspHwError | None:
        """Say goodbye, and look no more.

        Returns:
            What another process failed of, if one did before.
        """
        known = self._goodbye(error)
        self._over.set()
        if self._watcher.is_alive():
            self._watcher.join()
        return known

    def _goodbye(self, error: BaseException | None) -> PspHwError | None:
        """The first one leaves last, with the store; who failed, once the others know."""
        if self._failure is not None:  # the one that failed was heard, and may be gone
            return self._failure
        self._busy = True
        with contextlib.suppress(DistError):
            if error is not None:
                self._say_failure(error)
            self._store.add(_LEFT, 1)
            ends_at_once = self._started_here and isinstance(
                error, KeyboardInterrupt
            )  # Lightning kills the others
            if (self.rank == 0 or error is not None) and not ends_at_once:
                self._wait_for_the_others()
        return self._failure

    def _say_failure(self, error: BaseException) -> None:
        told = {"rank": self.rank, "kind": type(error).__name__, "what": str(error) or type(error).__name__}
        if isinstance(error, PspHwError):
            told |= {"what": error.what, "where": error.where, "hint": error.hint}
        elif isinstance(error, KeyboardInterrupt):
            told["what"] = "it was asked to stop"
        self._store.compare_set(_FAILED, "", json.dumps(told))  # the first one counts

    def _wait_for_the_others(self) -> None:
        """Until each of them left or heard of the failure."""
        until = time.monotonic() + HEAR_S
        while time.monotonic() < until:
            there = self._count(_JOINED) if self._started_here else self.processes
            if max(self._count(_LEFT) - 1, self._count(_HEARD)) >= there - 1:
                return
            time.sleep(_POLL_S / 5)

    def _count(self, key: str) -> int:
        return int(self._store.add(key, 0))

    def _is_there(self, key: str) -> bool:
        try:
            return bool(self._store.check([key]))
        except DistError:
            return False  # the watcher sees it, too, and says so

    def _require_all_well(self) -> None:
        if self._failure is not None:
            raise self._failure

    def _watch(self) -> None:
        """Look whether another process failed; end this one where it does not by itself."""
        while not self._over.wait(_POLL_S):
            self._failure = self._failure or self._look()
            if self._failure is None:
                continue
            with contextlib.suppress(DistError):
                self._store.add(_HEARD, 1)
            while not self._over.wait(LEAVE_S):
                if not self._busy:
                    self._end(self._failure)
            return

    def _end(self, failure: PspHwError) -> None:
        """End a process that hangs in a collective, as if it were killed: the run goes on from its last checkpoint."""
        sys.stderr.write(f"psp-hw: {failure}\n")
        sys.stderr.flush()
        os._exit(failure.exit_code)

    def _look(self) -> PspHwError | None:
        """What another process failed of."""
        try:
            if not self._store.check([_FAILED]):
                return None
            told = json.loads(self._store.get(_FAILED))
        except DistError:
            what = "the first process of the training is gone"
            return RunError(what, where=self._address, hint="look at what it says; then go on with --resume")
        if told["rank"] == self.rank:
            return None
        return _failure_of(told)


def _failure_of(told: dict[str, str]) -> PspHwError:
    """What a process said of its failure, as the error that this one ends with."""
    what = f"process {told['rank']}: {told['what']}"
    kind = getattr(errors, told["kind"], RunError)
    if "where" in told and issubclass(kind, PspHwError):
        return kind(what, where=told["where"], hint=told["hint"])  # type: ignore[no-any-return]
    if told["kind"] == KeyboardInterrupt.__name__:
        return RunError(what, where="training", hint="go on with --resume")
    return RunError(f"process {told['rank']} failed, {told['kind']}: {told['what']}", where="training")


def _place(machine: Machine) -> tuple[int, str, int]:
    """Number of this process, and where the first one is; 0 for a port that is still to be found."""
    match launcher(machine.processes, os.environ):
        case Launcher.TORCHRUN:
            return int(os.environ["RANK"]), os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        case Launcher.SLURM:
            slurm = SLURMEnvironment(auto_requeue=False)
            return slurm.global_rank(), slurm.main_address, slurm.main_port
        case Launcher.NONE:
            local, node = (int(os.environ.get(name, "0")) for name in ("LOCAL_RANK", "NODE_RANK"))
            rank = node * machine.devices + local
            return rank, os.environ.get("MASTER_ADDR", _HOME), int(os.environ.get("MASTER_PORT", "0"))


def _store(host: str, port: int, *, leads: bool) -> Store:
    """Open or reach the store. A client of its own: Lightning has another, which may wait while this one looks."""
    hosts = leads and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != str(True)
    where = f"{host}:{port}"
    if not hosts:
        _reach(host, port)
    try:
        store = TCPStore(
            host, port, is_master=hosts, timeout=_ANSWER, wait_for_workers=False, multi_tenant=True
        )
    except DistError as error:
        what = "another program uses the port" if hosts else "something else answers there"
        hint = "set MASTER_PORT to a free one, the same for all processes"
        raise RunError(what, where=where, hint=hint) from error
    if hosts and not port:
        os.environ["MASTER_ADDR"], os.environ["MASTER_PORT"] = host, str(store.port)
    attempt = os.environ.get("TORCHELASTIC_RESTART_COUNT", "0")  # the agent keeps its store over restarts
    return PrefixStore(f"psp-hw/{attempt}", store)


def _reach(host: str, port: int) -> None:
    """Wait until somebody listens; in short steps, so that a signal is heard."""
    until = time.monotonic() + JOIN_S
    while True:
        try:
            socket.create_connection((host, port), timeout=1.0).close()
            return
        except OSError as error:
            if time.monotonic() > until:
                what = f"the first process of the training cannot be reached: {error.strerror or error}"
                hint = "look at what it says; it holds the port MASTER_PORT of MASTER_ADDR"
                raise RunError(what, where=f"{host}:{port}", hint=hint) from error
            time.sleep(_POLL_S)
