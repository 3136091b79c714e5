"""Decodes files: from bytes to arrays, tensors, lists and dicts, told by the first bytes."""

from __future__ import annotations

import io
import re
import sys
import warnings
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

from eplb import limits
from eplb.errors import LoadError
from eplb.storage.csv_text import text_table
from eplb.storage.json_text import parse_json, parse_json_lines
from eplb.storage.npy import read_npy, read_npz

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

_NPY = b"\x93NUMPY"
_ZIP = b"PK"
# The first pickle in what torch.save wrote before it wrote zip files: a magic number.
_OLD_TORCH = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19."
# Known formats that are not supported.
_OTHERS = {
    b"PAR1": "a Parquet file: write the table as .npy or .csv",
    b"\x1f\x8b": "compressed by gzip: unpack it first",
    b"\x28\xb5\x2f\xfd": "compressed by zstd: unpack it first",
    b"\x89HDF": "an HDF5 file: write the table as .npy or .csv",
}
_JSON_LINES = (".jsonl", ".ndjson")
# In one JSON value, a comma is between two objects.
_BETWEEN_LINES = re.compile(r"\}[ \t\r]*\n[ \t]*\{")
_KINDS = "neither .npy, .npz, .pt nor text (CSV or JSON)"


def bytes_of(source: str | PathLike[str]) -> bytes:
    """All bytes of a file, or of standard input if ``source`` is ``"-"``."""
    if source != "-":
        with Path(source).open("rb") as stream:
            return _limited(stream)
    if sys.stdin is None or sys.stdin.closed:
        raise LoadError("it is closed")
    return _limited(sys.stdin.buffer)


def _limited(stream: BinaryIO) -> bytes:
    content = stream.read(limits.MAX_FILE_BYTES + 1)
    if len(content) > limits.MAX_FILE_BYTES:
        raise LoadError(f"it holds more than {limits.MAX_FILE_BYTES} bytes")
    return content


def values_of(content: bytes, ending: str) -> Any:
    """The array, tensor, nested list, dict of these, or text table, in the content.

    JSON lines are a list of their values.
    """
    if not content:
        raise LoadError("it is empty")
    if content.startswith(_NPY):
        return decoded("an .npy file", read_npy, content)
    if content.startswith(_ZIP):
        return _zip_values(content)
    if ending in (".pt", ".pth") or content.startswith(_OLD_TORCH):
        return _torch_values(content)
    for magic, what in _OTHERS.items():
        if content.startswith(magic):
            raise LoadError(f"it is {what}")
    if ending in (".npy", ".npz"):
        raise LoadError(f"it is not a valid {ending} file: it begins with {content[:8]!r}")
    text = text_of(content)
    if ending in _JSON_LINES or (text.lstrip()[:1] == "{" and _BETWEEN_LINES.search(text)):
        return parse_json_lines(content)
    if ending == ".json" or text.lstrip()[:1] in ("[", "{"):
        return parse_json(content)
    return text_table(text)


def text_of(content: bytes) -> str:
    """The content as text of limited size."""
    if len(content) > limits.MAX_TEXT_BYTES:
        raise LoadError(
            f"it holds {len(content)} bytes of text; at most {limits.MAX_TEXT_BYTES} are read; "
            "use .npy"
        )
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise LoadError(f"it is {_KINDS}") from None
    if "\0" in text:
        raise LoadError(f"it is {_KINDS}")
    return text


def decoded(kind: str, read: Callable[[Any], Any], content: Any) -> Any:
    """The result of ``read`` for untrusted bytes, for which decoders can raise anything."""
    try:
        with warnings.catch_warnings(action="ignore"):
            return read(content)
    except Exception as error:
        reason = (str(error).splitlines() or [""])[0]
        if " " not in reason:  # as of a KeyError
            reason = f"{type(error).__name__} {reason}".strip()
        raise LoadError(f"it cannot be read as {kind}: {reason}") from error


def _zip_values(content: bytes) -> Any:
    kind = "an .npz or .pt file"
    members = decoded(kind, _zip_members, content)
    if any(Path(member.filename).name == "data.pkl" for member in members):
        total = sum(member.file_size for member in members)
        if total > limits.MAX_FILE_BYTES:
            raise LoadError(
                f"its tensors hold {total} bytes; at most {limits.MAX_FILE_BYTES} are read"
            )
        return _torch_values(content)
    return decoded(kind, read_npz, io.BytesIO(content))


def _zip_members(content: bytes) -> list[zipfile.ZipInfo]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.infolist()


def _torch_values(content: bytes) -> Any:
    try:
        import torch
    except ImportError as error:
        raise LoadError("torch is needed to read it", hint=["pip install torch"]) from error
    from pickle import UnpicklingError

    def load(content: bytes) -> Any:
        try:
            return torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
        except UnpicklingError:  # torch's own message is a page long
            raise ValueError("it has more than tensors and plain values") from None

    return decoded("a .pt file", load, content)
