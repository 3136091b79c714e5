"""Windows are told and written on a thread of their own: neither figures nor a slow disk hold an engine."""

from __future__ import annotations

import atexit
import time
from queue import Full, Queue
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from eplb.plugins.window import Window

#: More windows than this do not wait; the next ones are not written.
_MOST_WAITING = 16
#: How long the thread that put a window goes on alone, in seconds: the engine waits for it.
_PAUSE = 0.005
#: How long a process that ends waits for what is left, in seconds.
_AT_EXIT = 2.0


class Writer:
    """Hands windows to files, in order; tells when one cannot be written, and when it can again."""

    def __init__(self, files: dict[str, Callable[[Window], None]], log: logging.Logger) -> None:
        self._files, self._log = files, log
        #: Windows that a file lacks since it cannot be written.
        self._missed = dict.fromkeys(files, 0)
        self._waiting: Queue[Callable[[], Window | None]] = Queue(_MOST_WAITING)
        self._lock = Lock()
        self._thread: Thread | None = None
        self._is_slow = False

    def put(self, window: Callable[[], Window | None]) -> None:
        """Makes a window soon, and writes it, unless too many before it are not written yet.

        ``window`` must not raise; it may return None.
        """
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="eplb-files", daemon=True)
                self._thread.start()
                _WRITERS.add(self)
        try:
            self._waiting.put_nowait(window)
        except Full:
            if not self._is_slow:
                self._log.error("eplb: windows are neither told nor written: the disk is too slow")
            self._is_slow = True

    def _run(self) -> None:
        while True:
            make = self._waiting.get()
            time.sleep(_PAUSE)
            window = make()
            if window is not None:
                for what, add in self._files.items():
                    self._write(what, add, window)
            self._waiting.task_done()

    def _write(self, what: str, add: Callable[[Window], None], window: Window) -> None:
        missed = self._missed[what]
        try:
            add(window)
        except Exception as error:  # noqa: BLE001 - the next window may be written
            if not missed:
                trace = None if isinstance(error, OSError) else error
                self._log.error("eplb: no %s can be written: %s", what, error, exc_info=trace)
            self._missed[what] += 1
            return
        if missed:
            self._log.warning("eplb: %s are written again; %d windows are missing", what, missed)
            self._missed[what] = 0

    @property
    def is_done(self) -> bool:
        """Whether all is written."""
        return not self._waiting.unfinished_tasks


_WRITERS: WeakSet[Writer] = WeakSet()


def wait_for_files(seconds: float = _AT_EXIT) -> None:
    """Waits until all is written, but not longer than this."""
    end = time.monotonic() + seconds
    for writer in list(_WRITERS):
        while not writer.is_done and time.monotonic() < end:
            time.sleep(0.001)


atexit.register(wait_for_files)
