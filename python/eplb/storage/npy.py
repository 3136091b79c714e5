"""Untrusted .npy and .npz files: no pickles, and no memory beyond what the file holds."""

from __future__ import annotations

import io
import math
import zipfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.text import count


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


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an .npy file declares."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    version = np.lib.format.read_magic(stream)
    if version not in readers:
        raise ValueError(f"unknown format version {version}; expected one of {sorted(readers)}")
    shape, _, dtype = readers[version](stream)
    return shape, dtype


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
