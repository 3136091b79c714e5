"""Appends what a plug-in did to record files, which ``eplb plan`` and others read."""

from __future__ import annotations

import errno
import os
import time
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING

import eplb
from eplb.storage.record_file import Record, encode, files_of, name_of

if TYPE_CHECKING:
    from eplb.plugins.window import Window

#: A file is closed at this part of all bytes, or at the most bytes.
_PARTS = 16
_MOST_FILE_BYTES = 2**26


class Recorder:
    """Record files in a folder, of all processes of one engine at most ``max_bytes``.

    If a new file is begun, the oldest files of the engine are deleted until there is room for it. A
    second process that writes into the same folder may add a file of a sixteenth more. Nothing is read or
    made before the first window. May be shared by threads.
    """

    def __init__(
        self, folder: str | os.PathLike[str], *, engine: str, max_bytes: int = 256 * 2**20
    ) -> None:
        self._folder, self._engine, self._max_bytes = Path(folder), engine, max_bytes
        self._file_bytes = min(max_bytes // _PARTS, _MOST_FILE_BYTES)
        self._lock = Lock()
        self._began: float | None = None
        self._part = 0
        self._file: Path | None = None
        self._written = 0

    def add(self, window: Window) -> None:
        """Appends a window. A crash meanwhile may cut its line, and no other.

        Raises:
            OSError: it cannot be written, or is larger than ``max_bytes``.
            ValueError: the loads are no table of integers.
        """
        line = encode(Record(eplb=eplb.__version__, **vars(window)))
        with self._lock:
            if self._file is None or self._written + len(line) > self._file_bytes:
                self._begin(len(line))
            file = self._file
            assert file is not None  # noqa: S101 - for mypy
            # After a write that failed the line may be cut: the next one goes to a new file.
            self._file = None
            # Without a buffer the line is with the system when this returns.
            try:
                with file.open("ab", buffering=0) as stream:
                    if stream.write(line) != len(line):
                        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(file))
            except OSError:
                with suppress(OSError):  # a full disk must not get an empty file for each window
                    if not file.stat().st_size:
                        file.unlink()
                raise
            self._file, self._written = file, self._written + len(line)

    def _begin(self, needed: int) -> None:
        """Makes room for a file, and makes it, empty."""
        if needed > self._max_bytes:
            text = f"a window takes {needed} bytes, and all files at most {self._max_bytes}"
            raise OSError(errno.EFBIG, text, str(self._folder))
        self._file = None
        self._folder.mkdir(parents=True, exist_ok=True)
        self._delete_oldest(self._max_bytes - max(needed, self._file_bytes))
        if self._began is None:
            self._began = time.time()
        while True:
            name = name_of(self._engine, self._began, os.getpid(), self._part)
            file = self._folder / name
            try:
                file.open("xb").close()
                break
            except FileExistsError:
                # Another process has this name: of another container, where it has this number too.
                self._began, self._part = self._began + 1, 0
        self._file, self._written = file, 0
        self._part += 1

    def _delete_oldest(self, keep: int) -> None:
        """Deletes files of this engine, those that were written last at last."""
        found: list[tuple[int, int, int, Path]] = []
        for file in files_of(self._folder, self._engine):
            try:
                facts = file.stat()
            except FileNotFoundError:  # another process deleted it
                continue
            found.append((facts.st_mtime_ns, len(found), facts.st_size, file))
        total = sum(size for _, _, size, _ in found)
        for _, _, size, file in sorted(found):
            if total <= keep:
                return
            file.unlink(missing_ok=True)
            total -= size
