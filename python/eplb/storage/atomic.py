"""Files that are written as a whole or not at all."""

from __future__ import annotations

import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from threading import current_thread, get_ident, main_thread
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file as a whole or not at all; follows symbolic links.

    Raises:
        OSError: it cannot be written; the error names ``path``.
    """
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".eplb.{os.getpid()}.{get_ident()}.partial")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a pipe or a device
            return
        with _uninterrupted():
            partial.write_bytes(content)
            if target.exists():
                partial.chmod(S_IMODE(target.stat().st_mode))
            partial.replace(target)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Delays the signals that end a process, so that no partial file stays.

    Python handles signals in its main thread only; in other threads nothing is delayed.
    """
    if current_thread() is not main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows has not all of them
    ending = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in ending}
    held: list[int] = []
    for number, handler in before.items():
        if handler is not None:  # otherwise it was not set by Python
            signal.signal(number, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)
