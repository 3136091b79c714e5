"""numpy's files from strangers: no pickles, and nothing allocated that the file does not hold."""

from __future__ import annotations

import io
import zipfile
from typing import IO, Any

import numpy as np
import numpy.typing as npt

#: Arrays of one file hold at most so many bytes.
MAX_BYTES = 2**30


def read_npy(content: bytes) -> npt.NDArray[Any]:
    """The array of an .npy file.

    Raises:
        ValueError: it is none, holds objects, or declares another size than it has.
    """
    stream = io.BytesIO(content)
    shape, dtype = _read_header(stream)
    if dtype.hasobject:
        raise ValueError("the array holds Python objects (a pickle), which are not read")
    declared = dtype.itemsize
    for size in shape:
        declared *= int(size)
    held = len(content) - stream.tell()
    if min(shape, default=0) < 0 or declared != held:
        raise ValueError(f"the array declares {declared} bytes, but the file holds {held}")
    stream.seek(0)
    array: npt.NDArray[Any] = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _read_header(stream: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    """Shape and type that an .npy file declares."""
    readers = {
        (1, 0): np.lib.format.read_array_header_1_0,
        (2, 0): np.lib.format.read_array_header_2_0,
    }
    try:
        version = np.lib.format.read_magic(stream)
        if version not in readers:
            raise ValueError(f"format version {version} is none of {sorted(readers)}")
        shape, _, dtype = readers[version](stream)
    except (ValueError, SyntaxError, TypeError, OverflowError, RecursionError) as error:
        raise ValueError(f"no header of an .npy file: {error}") from error
    return shape, dtype


def read_npz(stream: IO[bytes]) -> dict[str, npt.NDArray[Any]]:
    """The arrays of an .npz file by name.

    Raises:
        ValueError: it is none, or its arrays hold more than ``MAX_BYTES``.
    """
    try:
        with zipfile.ZipFile(stream) as archive:
            members = archive.infolist()
            total = sum(member.file_size for member in members)
            if total > MAX_BYTES:
                raise ValueError(f"the arrays hold {total} bytes; at most {MAX_BYTES} are read")
            arrays = {}
            for member in members:
                name = member.filename.removesuffix(".npy")
                if name in arrays:
                    raise ValueError(f"array {name!r} is there twice")
                # A member that inflates to more than it declares fails its checksum.
                arrays[name] = read_npy(archive.read(member))
            return arrays
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError, EOFError) as error:
        raise ValueError(f"no .npz file: {error}") from error
