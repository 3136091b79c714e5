"""Loads that were read: windows, notes, hidden layers."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from eplb.errors import EplbError, LoadError
from eplb.inputs.sizes import whole_number
from eplb.inputs.windows import Windows, merged, summed
from eplb.text import count, ranges

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt


@dataclass(frozen=True)
class FileLoads:
    """Loads from a file or directory, or several."""

    #: Windows ``[layers, experts]``, oldest first: int64, uint64, float32 or float64, finite and not
    #: negative. :func:`~eplb.load_files.read_trace` reads them when they are asked for.
    windows: Sequence[npt.NDArray[Any]]
    #: What was done to them, a line each.
    notes: tuple[str, ...] = ()
    #: Hidden layer of each row, ascending; None if the file does not say.
    layers: tuple[int, ...] | None = None
    #: The passes ``[layers, experts]`` that were summed to windows, if that is known.
    passes: Sequence[npt.NDArray[Any]] | None = None
    #: Which ranks counted which forward passes, if the file is not of all ranks.
    counted: frozenset[tuple[int, int]] = field(default=frozenset(), repr=False)

    @property
    def recorded(self) -> Sequence[npt.NDArray[Any]]:
        """The passes, or else the windows: engines log the mean over these."""
        return self.windows if self.passes is None else self.passes

    @property
    def loads(self) -> npt.NDArray[Any] | Sequence[npt.NDArray[Any]]:
        """What :func:`eplb.plan` takes: the only window, or the windows."""
        if isinstance(self.windows, Windows) and len(self.windows) > 1:
            return self.windows
        return self.windows[0] if len(self.windows) == 1 else [*self.windows]

    @property
    def table(self) -> npt.NDArray[Any]:
        """The sum of all windows, ``[layers, experts]``: exact, or the nearest float64.

        Raises:
            LoadError: a sum is too large.
        """
        table: npt.NDArray[Any] = summed(self.loads)
        return table

    def merged(self, count: int) -> FileLoads:
        """The same loads in at most ``count`` windows of about equal load.

        Raises:
            EplbError, TypeError: ``count`` is not a positive whole number. LoadError: a sum is too
                large, or some windows have integers and some have floats.
        """
        number = whole_number("windows", count, EplbError)
        if len({window.dtype.kind in "iu" for window in self.windows}) > 1:
            raise LoadError("some windows have integers and some have floats")
        windows = tuple(merged(self.windows, number))
        return replace(self, windows=windows, passes=self.recorded)

    @property
    def experts(self) -> int:
        """Experts per layer."""
        return int(self.windows[0].shape[1])


def together(parts: Sequence[FileLoads], names: Sequence[str]) -> FileLoads:
    """The windows of all parts, in this order.

    Raises:
        LoadError: a part is for another model than the first, or another rank's part of a window.
    """
    first, *others = parts
    windows, notes = [*first.windows], first.notes
    for name, part in zip(names[1:], others, strict=True):
        refuse_other_model(part, name, first, names[0])
        windows += part.windows
        notes += tuple(note for note in part.notes if note not in notes)
    passes = None
    if any(part.passes is not None for part in parts):
        passes = tuple(recorded for part in parts for recorded in part.recorded)
    return FileLoads(tuple(windows), notes, first.layers, passes)


def refuse_other_model(part: FileLoads, name: str, first: FileLoads, other: str) -> None:
    """Refuses a part for another model than the first one, or another rank's part of a window.

    Raises:
        LoadError: it is one.
    """
    shape, wanted = part.windows[0].shape, first.windows[0].shape
    if (shape, part.layers) != (wanted, first.layers):
        sizes = f"{count(shape[0], 'layer')} x {count(shape[1], 'expert')}"
        raise LoadError(
            f"{name}: it has {sizes}, but {other} has {wanted[0]} x {wanted[1]}"
            if shape != wanted
            else f"{name}: it has other hidden layers than {other}"
        )
    _refuse_other_ranks(part.counted, name, first.counted, other)


def _refuse_other_ranks(
    counted: frozenset[tuple[int, int]], name: str, before: frozenset[tuple[int, int]], other: str
) -> None:
    """Refuses what other ranks counted in the same forward passes: these are no windows."""
    ranks, before_ranks = ({rank for rank, _ in each} for each in (counted, before))
    same = {number for _, number in counted} & {number for _, number in before}
    if not same or ranks & before_ranks:
        return
    raise LoadError(
        f"{name}: it has what rank {ranges(sorted(ranks))} counted in forward passes of which {other} "
        f"has what rank {ranges(sorted(before_ranks))} counted: these are parts of one window",
        hint=["give the directory of all expert_distribution_recorder_*.pt, which are then summed"],
    )
