"""Files are written on a thread of their own: a slow disk does not hold an engine."""

from __future__ import annotations

import atexit
import time
from queue import Full, Queue
from threading import Lock, Thread
from typing import TYPE_CHECKING
from weakref import WeakSet

if TYPE_CHECKING:
    from collections.abc import Callable

    from eplb.plugins.failures import Failures
    from eplb.plugins.window import Window

#: More windows than this do not wait; the next ones are not written.
_MOST_WAITING = 16
#: How long a process that ends waits for what is left, in seconds.
_AT_EXIT = 2.0


class Writer:
    """Hands windows to files, in order."""

    def __init__(self, files: list[Callable[[Window], None]], failures: Failures) -> None:
        self._files, self._failures = files, failures
        self._waiting: Queue[Window] = Queue(_MOST_WAITING)
        self._lock = Lock()
        self._thread: Thread | None = None

    def put(self, window: Window) -> None:
        """Writes it soon; says once if it cannot, as the windows before it are not written yet."""
        if not self._files:
            return
        with self._lock:
            if self._thread is None:
                self._thread = Thread(target=self._run, name="eplb-files", daemon=True)
                self._thread.start()
                _WRITERS.add(self)
        try:
            self._waiting.put_nowait(window)
        except Full:
            self._failures.say_once("windows are not written: the disk is too slow")

    def _run(self) -> None:
        while True:
            window = self._waiting.get()
            for add in self._files:
                try:
                    add(window)
                except Exception as error:  # noqa: BLE001 - the next window may be written
                    self._failures.tell(error, "a window cannot be written")
            self._waiting.task_done()

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
