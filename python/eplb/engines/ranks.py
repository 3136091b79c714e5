"""Dumps that are a directory with a file per rank: the files, and the counts in them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.engines.json_values import object_with
from eplb.errors import EplbError, LoadError, LoadTypeError
from eplb.inputs.loads import as_array
from eplb.storage.decode import bytes_of, text_of
from eplb.storage.json_text import parse_json
from eplb.text import count

if TYPE_CHECKING:
    import re
    from collections.abc import Iterator
    from pathlib import Path

    import numpy.typing as npt

#: A rank's number in the name of its file.
RANK = "(0|[1-9][0-9]{0,5})"
# Tokens that one cell counts; with the limit of cells no sum of cells overflows.
_MOST_TOKENS = 2**36


def rank_files(folder: Path, name: re.Pattern[str]) -> list[Path]:
    """The files of ranks 0, 1, 2, ..., whose whole names match; the first group is the rank.

    Raises:
        LoadError: a rank is missing.
    """
    found = {
        int(match[1]): path
        for path in folder.iterdir()
        if (match := name.fullmatch(path.name)) and path.is_file()
    }
    for rank in range(len(found)):
        if rank not in found:
            last = found[max(found)].name
            raise LoadError(
                f"rank {rank} is missing: there are files of "
                f"{count(len(found), 'rank')}, the last is {last}"
            )
    return [found[rank] for rank in range(len(found))]


@contextmanager
def named_in_errors(path: Path) -> Iterator[None]:
    """Lets errors begin with the name of the file that they are about."""
    try:
        yield
    except EplbError as error:
        raise error.within(path.name, kind=LoadError) from error


def json_object(path: Path) -> dict[str, Any]:
    """The object in a JSON file.

    Raises:
        EplbError: it has none.
    """
    return object_with("the file", parse_json(text_of(bytes_of(path)).encode()), ())


def token_counts(place: str, values: Any) -> npt.NDArray[np.uint64]:
    """Counts of tokens as uint64.

    Raises:
        LoadError: they are not counts; the message begins with ``place``.
    """
    try:
        array, bits_of = as_array(values)
    except LoadTypeError as error:
        raise LoadError(f"{place}: {error}") from error
    if bits_of or (array < 0).any() or (array >= _MOST_TOKENS).any() or (array % 1).any():
        raise LoadError(f"{place}: expected counts of tokens, whole numbers from 0 below 2**36")
    return array.astype(np.uint64)
