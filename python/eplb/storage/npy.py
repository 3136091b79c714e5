"""Untrusted .npy and .npz files: no pickles, and no memory beyond what the file holds."""

from __future__ import annotations

import io
import math
import zipfile
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.text import count

if TYPE_CHECKING:
    from pathlib import Path


def read_npy(content: bytes) -> npt.NDArray[Any]:
    """The array of an .npy file.

    Raises:
        ValueError: it is not one, holds objects, or declares another size than it has.
    """
    stream = io.BytesIO(content)
    try:
        shape, dtype = _read_header(stream)
    except Exception as error:  # for strange bytes the parser can raise anything
        raise ValueError(f"it has no valid .npy header: {error}") from error
    if dtype.hasobject:
        raise ValueError("the array holds Python objects (a pickle), which are never read")
    if dtype.itemsize == 0:
        raise ValueError("its items have size 0")
    declared = math.prod(shape) * dtype.itemsize
    held = len(content) - stream.tell()
    if any(size < 0 or size > limits.MAX_FILE_BYTES for size in shape) or declared != held:
        raise ValueError(
            f"the array declares shape {shape} of {dtype}, but the file holds {count(held, 'byte')}"
        )
    stream.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


@dataclass(frozen=True)
class NpyTables:
    """The tables along the first axis of a large .npy file, which are read one by one."""

    path: Path
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    #: Where the first one begins.
    start: int

    def table(self, at: int) -> npt.NDArray[Any]:
        """One table.

        Raises:
            ValueError: the file is shorter than it was. OSError: it cannot be read.
        """
        bytes_of_one = math.prod(self.shape[1:]) * self.dtype.itemsize
        with self.path.open("rb") as stream:
            stream.seek(self.start + at * bytes_of_one)
            content = stream.read(bytes_of_one)
        if len(content) != bytes_of_one:
            raise ValueError("the file is shorter than it was")
        return np.frombuffer(content, self.dtype).reshape(self.shape[1:])


def open_npy(path: Path) -> NpyTables | None:
    """The tables of an .npy file with three axes; None if it is another file, or not in this order.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as stream:
        try:
            shape, dtype, fortran = _header(stream)
        except Exception:  # noqa: BLE001 - for strange bytes the parser can raise anything
            return None
        start = stream.tell()
        held = stream.seek(0, io.SEEK_END) - start
    whole = math.prod(shape) * dtype.itemsize == held
    if fortran or dtype.hasobject or len(shape) != 3 or min(shape) < 1 or not (held and whole):
        return None
    return NpyTables(path, shape, dtype, start)


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an .npy file declares."""
    shape, dtype, _ = _header(stream)
    return shape, dtype


def _header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any], bool]:
    """Shape and type that an .npy file declares, and whether the first axis is the fastest."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"unknown format version {version}; expected one of {sorted(readers)}")
    shape, fortran, dtype = readers[version](stream)
    return shape, dtype, fortran


def read_npz(stream: IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name.

    Raises:
        ValueError: it is not one, or its arrays hold more than ``limits.MAX_FILE_BYTES``.
    """
    arrays: dict[str, npt.NDArray[Any]] = {}
    for name, content in _members(stream).items():
        try:
            arrays[name] = read_npy(content)
        except ValueError as error:
            raise ValueError(f"array {name!r}: {error}") from error
    return arrays


def _members(stream: IO[bytes]) -> dict[str, bytes]:
    """The .npy files in an .npz file."""
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            names = [member.filename.removesuffix(".npy") for member in members]
            if total <= limits.MAX_FILE_BYTES and len(set(names)) == len(names):
                # A member that inflates to more than it declares is cut, and fails its checksum.
                return dict(zip(names, map(archive.read, members), strict=True))
    except Exception as error:  # for strange bytes zlib, lzma and zipfile can raise anything
        raise ValueError(f"it is not an .npz file: {error}") from error
    if total > limits.MAX_FILE_BYTES:
        raise ValueError(f"the arrays hold {total} bytes; at most {limits.MAX_FILE_BYTES} are read")
    raise ValueError("two of its arrays have the same name")
