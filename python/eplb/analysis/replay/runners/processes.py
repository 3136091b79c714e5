"""Cells in several processes of this machine.

Processes are spawned, not forked: a fork of a process with threads (torch, BLAS) may hang, and there is no
fork on every system. A spawned process imports eplb once (about 0.2 s) and runs one cell after the other.
The trace is written to one file that all of them map into memory, so it is neither sent for each cell nor
held several times. `concurrent.futures` will not do: if one of its processes dies, all are given up.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from multiprocessing.connection import wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.runners.steps import Again, Judged, Lost
from eplb.analysis.replay.runners.stored_windows import StoredWindows
from eplb.analysis.replay.runners.worker import FAILED, ROW, sent, serve

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping
    from multiprocessing.connection import Connection
    from multiprocessing.process import BaseProcess

    from eplb.analysis.replay.cells import Cell
    from eplb.analysis.replay.runners.steps import Step
    from eplb.analysis.replay.trace import Trace

#: How often a cell is begun, if its process dies each time.
ATTEMPTS = 2
_SPAWN = multiprocessing.get_context("spawn")


@dataclass(eq=False)
class _Worker:
    """A process, and the cell that it runs."""

    process: BaseProcess
    connection: Connection
    cell: int

    def stop(self) -> None:
        """Ends it, whatever it does."""
        self.process.kill()
        self.process.join()
        self.connection.close()


class Processes:
    """Runs cells in up to ``jobs`` processes."""

    def __init__(self, jobs: int) -> None:
        self.jobs = jobs

    def steps(self, cells: Mapping[int, Cell]) -> Generator[Step, None, None]:
        """Runs the cells; see :class:`~eplb.analysis.replay.runners.steps.Runner`."""
        if not cells:
            return
        trace = next(iter(cells.values())).trace
        with tempfile.TemporaryDirectory(prefix="eplb-") as folder:
            stored = StoredWindows.write(Path(folder) / "windows", trace.windows)
            work = _Work(cells, replace(trace, windows=stored))
            try:
                yield from work.steps(self.jobs)
            finally:
                work.stop()


class _Work:
    """Cells that wait, those that run, and the first that failed."""

    def __init__(self, cells: Mapping[int, Cell], trace: Trace) -> None:
        self._trace = trace
        self._sent = {at: sent(cells[at].setting, cells[at].course) for at in sorted(cells)}
        self._waiting = sorted(cells)
        self._deaths = dict.fromkeys(cells, 0)
        self._workers: list[_Worker] = []
        self._failed: tuple[int, Exception] | None = None

    def steps(self, jobs: int) -> Generator[Step, None, None]:
        """Runs all; raises what the first cell raised that failed."""
        while self._waiting or self._workers:
            while self._waiting and len(self._workers) < jobs:
                self._workers.append(self._start(self._waiting.pop(0)))
            ready = wait([worker.connection for worker in self._workers])
            for worker in [each for each in self._workers if each.connection in ready]:
                if worker not in self._workers:  # ended just now, because another one failed
                    continue
                try:
                    kind, value = worker.connection.recv()
                except (EOFError, OSError):
                    yield self._died(worker)
                    continue
                if kind == ROW:
                    yield Judged(worker.cell, (value,))
                elif kind == FAILED:
                    self._fail(worker, value)
                else:
                    self._next(worker)
        if self._failed is not None:
            raise self._failed[1]

    def stop(self) -> None:
        """Ends all processes."""
        for worker in self._workers:
            worker.stop()
        self._workers.clear()

    def _start(self, cell: int) -> _Worker:
        """A process that runs the cell."""
        ours, theirs = _SPAWN.Pipe()
        process = _SPAWN.Process(target=serve, args=(theirs, self._trace), daemon=True)
        with _uninterrupted():
            process.start()
        theirs.close()
        with suppress(OSError):  # it died already; the next look at it tells
            ours.send_bytes(self._sent[cell])
        return _Worker(process, ours, cell)

    def _next(self, worker: _Worker) -> None:
        """Gives a process another cell, or ends it."""
        if not self._waiting:
            self._end(worker)
            return
        worker.cell = self._waiting.pop(0)
        with suppress(OSError):
            worker.connection.send_bytes(self._sent[worker.cell])

    def _end(self, worker: _Worker) -> None:
        self._workers.remove(worker)
        worker.stop()

    def _fail(self, worker: _Worker, error: Exception) -> None:
        """Keeps the error, and runs only what would have come before it in one process."""
        self._failed = worker.cell, error
        self._waiting = [cell for cell in self._waiting if cell < worker.cell]
        for other in [each for each in self._workers if each.cell > worker.cell]:
            self._end(other)
        self._next(worker)

    def _died(self, worker: _Worker) -> Step:
        """Another process runs the cell again, once."""
        worker.process.join()
        code = worker.process.exitcode
        self._end(worker)
        self._deaths[worker.cell] += 1
        if self._deaths[worker.cell] < ATTEMPTS:
            self._waiting.insert(0, worker.cell)
            return Again(worker.cell)
        return Lost(worker.cell, f"its process died {ATTEMPTS} times, {_how(code)}")


def _how(code: Any) -> str:
    """How a process ended, in words."""
    if code is not None and code < 0:
        killed = f"by signal {-code}"
        with suppress(ValueError):
            killed += f" ({signal.Signals(-code).name})"
        memory = code == -getattr(signal, "SIGKILL", 9)
        return killed + ("; is memory short? fewer jobs need less" if memory else "")
    hint = "; a script that starts several jobs needs the line if __name__ == '__main__'"
    return f"with exit code {code}{hint if code == 1 else ''}"


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """A process that is started here never gets Ctrl-C, which is for this one; what comes, comes later."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
