"""The history of loads: what is remembered of past windows."""

from __future__ import annotations

from threading import Lock
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.errors import EplbError, LoadError, Parameter
from eplb.inputs.guards import check_loads
from eplb.inputs.sizes import real_number, thread_count, whole_number
from eplb.inputs.windows import canonical_windows
from eplb.text import count, short

if TYPE_CHECKING:
    from os import PathLike
    from typing import Self

    import numpy.typing as npt

    from eplb.storage.history_file import HistoryContent

_ONE = 2**16  # A decay of 1.


class LoadHistory:
    """What is remembered of past windows of loads, of all layers: plans for the next ones use it.

    Each layer keeps a few rows of shares. A new window becomes a row; if there are too many, the two
    old ones that are most alike are merged, so that traffic seen long ago is still remembered. The
    weight of a row decays with each window. Everything is an integer: histories that have seen equal
    values are equal on every machine, whatever the dtype, and :meth:`digest` tells.

    Args:
        rows: rows of each layer, 3 to 32. Planning takes time in proportion.
        decay: what remains of the weight of a row when a window comes, above 0 and at most 1.

    Raises:
        EplbError: an option is out of range. TypeError: it is not a number.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, rows: int = 16, decay: float = 0.98) -> None:
        self._rows = whole_number("rows", rows, EplbError)
        self._decay = _in_65536ths(decay)
        self._windows = 0
        self._history: _core.LoadHistory | None = None
        self._digest = (0, "")  # after how many windows, and what it is
        self._lock = Lock()  # windows that are observed together stay together
        if self._rows >= 2**32:
            raise EplbError(
                Parameter("rows", str(self._rows)), " is too large; expected at most 32"
            )
        _core.LoadHistory(1, 1, self._rows, self._decay)  # checks the options

    def observe(self, load: Any, *, threads: int = 1) -> None:
        """Learns from a window of loads, or several, which must be newer than all before.

        A layer without load in a window learns nothing from it. If a window is invalid, the history
        stays as it was. Threads may call it at once: the windows of a call stay together.

        Args:
            load: ``[layers, experts]``, or ``[windows, layers, experts]``, oldest first: anything
                that :func:`eplb.plan` takes.
            threads: threads to use if the loads are many. No answer depends on it.

        Raises:
            LoadError, LoadTypeError: invalid loads, or of another model than those before.

        Time of a window is O(layers * rows * experts). The GIL is released.
        """
        threads = thread_count(threads)
        windows = canonical_windows(load, threads)
        check_loads(load, windows[0])
        with self._lock:
            history = self._history
            if history is None:
                layers, experts = windows[0].layers, windows[0].experts
                history = _core.LoadHistory(layers, experts, self._rows, self._decay)
            for (
                window
            ) in windows:  # all have the shape of the first, which is checked before it counts
                history.observe(window, threads)
            self._history = history
            self._windows += len(windows)

    @property
    def rows(self) -> int:
        """The most rows that are kept of each layer."""
        return self._rows

    @property
    def decay(self) -> float:
        """What remains of the weight of a row when a window comes."""
        return self._decay / _ONE

    @property
    def windows(self) -> int:
        """How many windows were observed, empty ones too."""
        return self._windows

    @property
    def num_layers(self) -> int:
        """Number of layers; 0 before the first window."""
        return 0 if self._history is None else self._history.layers

    @property
    def num_experts(self) -> int:
        """Logical experts per layer; 0 before the first window."""
        return 0 if self._history is None else self._history.experts

    @property
    def shifted(self) -> npt.NDArray[np.bool_]:
        """Layers whose traffic has shifted in the newest window, ``[layers]``.

        That is, the window is three times as far from all rows as is usual.
        """
        shifted = [] if self._history is None else self._history.shifted
        return np.array(shifted, dtype=np.bool_)

    def core(self) -> _core.LoadHistory:
        """The history in the core's type.

        Raises:
            LoadError: no window has been observed.
        """
        if self._history is None:
            raise LoadError("the history has seen no window; call observe first")
        return self._history

    def digest(self) -> str:
        """16 hex digits that ranks of a cluster can compare, of the options and all that is kept.

        Raises:
            LoadError: no window has been observed.
        """
        core = self.core()
        with self._lock:
            windows, digest = self._digest
            if windows != self._windows:
                digest = core.digest()
                self._digest = self._windows, digest
            return digest

    def copy(self) -> Self:
        """A history that learns on its own from now on."""
        made, known = self._of(self._content()), self._digest
        if known[0] == made.windows:
            made._digest = known  # noqa: SLF001
        return made

    def to_dict(self) -> dict[str, Any]:
        """The history as plain Python values, for JSON; :meth:`from_dict` takes it back."""
        from eplb.storage.history_file import to_dict

        return to_dict(self._content())

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Self:
        """The history of a dict that :meth:`to_dict` made.

        Raises:
            PlanFileError: a key is missing, unknown, or of the wrong type, shape or range.
            LoadError, EplbError: the values are not those of a history.
        """
        from eplb.storage.history_file import from_dict

        return cls._of(from_dict(values))

    def save(self, path: str | PathLike[str]) -> None:
        """Writes the history to a ``.json`` file, as a whole or not at all.

        Raises:
            EplbError: another ending. OSError: it cannot be written.
        """
        from pathlib import Path

        from eplb.storage.atomic import write_whole
        from eplb.storage.history_file import encode

        file = Path(path)
        if file.suffix != ".json":
            raise EplbError(f"{file.name!r} is not a file name for a history; expected .json")
        write_whole(file, encode(self._content()))

    @classmethod
    def from_file(cls, path: str | PathLike[str]) -> Self:
        """Reads a file that :meth:`save` wrote. Untrusted files are safe to read.

        Raises:
            PlanFileError, LoadError, EplbError: it is not the file of a history.
            OSError: it cannot be read.
        """
        from pathlib import Path

        from eplb.storage.history_file import read

        return cls._of(read(Path(path)))

    def _content(self) -> HistoryContent:
        from eplb.storage.history_file import HistoryContent

        with self._lock:
            history = None if self._history is None else self._history.copy()
            return HistoryContent(self._rows, self._decay, history, self._windows)

    @classmethod
    def _of(cls, content: HistoryContent) -> Self:
        made = cls(content.rows, content.decay / _ONE)
        made._history = content.history
        made._windows = content.windows
        return made

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_dict, (self.to_dict(),)

    def __eq__(self, other: object) -> bool:
        """Whether all that is remembered is equal."""
        if not isinstance(other, LoadHistory):
            return NotImplemented
        return self.to_dict() == other.to_dict()

    def __repr__(self) -> str:
        if self._history is None:
            return f"<eplb.LoadHistory of {count(self._rows, 'row')}, no window yet>"
        size = f"{count(self.num_layers, 'layer')} x {count(self.num_experts, 'expert')}"
        return f"<eplb.LoadHistory {self.digest()}: {count(self._windows, 'window')} of {size}>"


def _in_65536ths(decay: Any) -> int:
    value = real_number("decay", decay)
    if not 0 < value <= 1 or (part := round(value * _ONE)) == 0:
        raise EplbError(Parameter("decay", short(decay)), " is out of range; expected 1/65536 to 1")
    return part


def history_of(load: Any, threads: int = 1) -> LoadHistory:
    """A history itself, or that of loads: one window, or several."""
    if isinstance(load, LoadHistory):
        return load
    history = LoadHistory()
    history.observe(load, threads=threads)
    return history
