"""Loads as vllm-ascend saves them: ``moe_load_{iteration}.npy``, ``[layers, ranks, slots of a rank]``.

One such file is recognised by its name, and a directory of them has a window for each iteration.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb import limits
from eplb.engines.engine import DecodedLoads
from eplb.engines.ranks import named_in_errors, token_counts
from eplb.errors import LoadError
from eplb.storage.decode import bytes_of, values_of
from eplb.text import count

if TYPE_CHECKING:
    from pathlib import Path

_NAME = re.compile(r"moe_load_([0-9]{1,9})\.npy", re.ASCII)
_AXES = ("windows", "layers", "ranks", "slots")


def is_file(name: str) -> bool:
    """Whether a file has such a name."""
    return _NAME.fullmatch(name) is not None


def decoded(values: Any) -> DecodedLoads:
    """The loads in one file; of other axes than it should have, nothing is said."""
    return DecodedLoads(values, axes=_AXES[1:] if getattr(values, "ndim", 0) == 3 else None)


def is_dump(folder: Path) -> bool:
    """Whether a directory has such files."""
    return bool(_files(folder))


def read(folder: Path, key: str | None = None) -> DecodedLoads:
    """The files of a directory by iteration, each a window.

    Raises:
        LoadError: a file has no such loads, or others than the first.
        OSError: a file cannot be read.
    """
    if key is not None:
        raise LoadError(f"it has one unnamed table, not {key!r}")
    files = _files(folder)
    if not files:
        raise LoadError("it has no moe_load_*.npy")
    tables: list[npt.NDArray[np.uint64]] = []
    loads = 0
    for path in files:
        with named_in_errors(path):
            values = values_of(bytes_of(path), path.suffix)
        tables.append(token_counts(path.name, values))
        if tables[-1].ndim != 3 or tables[-1].shape != tables[0].shape:
            raise LoadError(
                f"{path.name} has shape {list(tables[-1].shape)}; expected [layers, ranks, slots of "
                f"a rank], as {files[0].name}"
            )
        loads += tables[-1].size
        if loads > limits.MAX_LOADS:
            raise LoadError(f"its files have more than {limits.MAX_LOADS} loads")
    return DecodedLoads(
        np.stack(tables), axes=_AXES, notes=(f"{count(len(tables), 'file')}, each a window",)
    )


def _files(folder: Path) -> list[Path]:
    found = {int(m[1]): path for path in folder.iterdir() if (m := _NAME.fullmatch(path.name))}
    return [found[number] for number in sorted(found)]
