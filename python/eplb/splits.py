"""Unequal splits: the share of each replica in the load of its expert, for routers that weight replicas."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core
from eplb.errors import EplbError
from eplb.history import LoadHistory
from eplb.inputs.guards import check_loads
from eplb.inputs.loads import canonical_loads
from eplb.inputs.sizes import thread_count
from eplb.inputs.windows import summed, windows_of
from eplb.plan_tables import read_only, static_width
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    import numpy.typing as npt

    from eplb.plan_tables import FloatTable, IntTable, PlanTables

_FORMAT = "eplb split"


def check_ending(path: str | PathLike[str]) -> None:
    """Refuses a file name that a split cannot be written to.

    Raises:
        EplbError
    """
    from pathlib import Path

    if Path(path).suffix not in (".json", ".npz"):
        name = Path(path).name
        raise EplbError(f"{name!r} is not a file name for a split; expected .json or .npz")


def split_of(plan: PlanTables, load: Any, threads: int = 1) -> Split:
    """See :meth:`eplb.Plan.split`."""
    threads = thread_count(threads)
    loads, loads_of = _loads_to_split(load, threads)
    return Split(plan, _core.split(plan.placement, loads, threads), loads_of)


def _loads_to_split(load: Any, threads: int = 1) -> tuple[_core.Loads, str | None]:
    """The loads of one window, and which of several windows they are."""
    if isinstance(load, LoadHistory):
        newest = f"the newest of {count(load.windows, 'window')}"
        return load.core().newest(), newest if load.windows > 1 else None
    loads = canonical_loads(summed(load), threads)
    check_loads(load, loads)
    windows = len(windows_of(load))
    return loads, f"the sum of {count(windows, 'window')}" if windows > 1 else None


class Split:
    """The best shares of a plan's replicas under some loads. :meth:`eplb.Plan.split` makes it.

    Slot p gets ``numerators[layer, p] / denominators[layer, expert]`` of the tokens of its expert. The
    largest GPU load is then the least that any shares reach. Loads are in the unit of the input. Arrays
    are read-only. ``print(split)`` shows it on one screen.
    """

    __hash__ = None  # type: ignore[assignment]

    def __init__(self, plan: PlanTables, split: _core.Split, loads_of: str | None = None) -> None:
        self._plan = plan
        self._split = split
        self._loads_of = loads_of

    @property
    def plan(self) -> PlanTables:
        """The plan that was split."""
        return self._plan

    @property
    def numerators(self) -> IntTable:
        """The numerator of each slot, ``[layers, P]``; 0 for an empty slot.

        Those of an expert sum to its denominator.
        """
        return read_only(self._split.numerators())

    @property
    def denominators(self) -> IntTable:
        """The denominator of each expert, ``[layers, L]``, at least 1."""
        return read_only(self._split.denominators())

    @property
    def shares(self) -> FloatTable:
        """The share of each slot in the tokens of its expert, correctly rounded, ``[layers, P]``."""
        return read_only(self._split.shares(self._plan.placement))

    @property
    def gpu_load(self) -> FloatTable:
        """Load of each GPU, correctly rounded, ``[layers, G]``."""
        return read_only(self._split.gpu_load_in_units())

    @property
    def attained(self) -> FloatTable:
        """Largest GPU load, ``[layers]``; if GPUs differ in speed, of loads divided by speed."""
        return read_only(self._split.attained_in_units())

    @property
    def lower_bound(self) -> FloatTable:
        """The least that any shares of this placement reach, ``[layers]``.

        It is the load of the experts that only :attr:`busy_gpus` hold, divided by the number of these
        GPUs, or by their speeds together. It is attained; only if these speeds sum to more than 2**22,
        with the greatest common divisor of all speeds taken out, it may be missed by 2**-22 of a
        canonical load, of which a layer has 2**40.
        """
        return read_only(self._split.lower_bound_in_units())

    @property
    def busy_gpus(self) -> list[list[int]]:
        """For each layer the GPUs that bound it: another placement could help, other shares cannot."""
        return [claims[1] for claims in self._split.claims]

    @property
    def balancedness(self) -> FloatTable:
        """Mean GPU load / largest GPU load, ``[layers]``; 1 is perfect, also for a layer without load.

        If GPUs differ in speed, all loads / all speeds / the largest load by speed.
        """
        return read_only(self._split.balancedness())

    @property
    def balancedness_of_equal_shares(self) -> FloatTable:
        """The same if all replicas of an expert have equal shares, ``[layers]``."""
        return read_only(self._split.balancedness_of_equal_shares())

    @property
    def loaded(self) -> npt.NDArray[np.bool_]:
        """Which layers have load, ``[layers]``."""
        return read_only(np.any(self._split.gpu_load(), axis=1, keepdims=False))

    def dispatch_probabilities(self, width: str = "max") -> FloatTable:
        """The share of each replica, ``[layers, L, X]``, in the layout of ``plan.log2phy(width)``.

        The probabilities from which SGLang's mode ``lp`` draws a replica for each token (there as
        float32, one layer at a time). Where ``log2phy`` is -1, they are 0. Replicas are in the order of
        their ranks, which is that of slots unless ``rank`` says otherwise.

        Raises:
            EplbError: ``width`` is neither ``"max"`` nor ``"static"``.
        """
        log2phy = self._plan.placement.log2phy(static_width(width))
        layers = np.arange(len(log2phy))[:, None, None]
        return read_only(np.where(log2phy >= 0, self.shares[layers, log2phy], 0.0))

    def verify(self, load: Any) -> str:
        """Checks the split again, from the definitions, by code that shares nothing with the solver.

        Args:
            load: what it was made from.

        Returns:
            A line that says what was checked.

        Raises:
            VerificationError: something is false, with ``.layer``, ``.slot`` and ``.expert``.
            LoadError, LoadTypeError: the loads are invalid, or have another shape than the plan's.
        """
        loads, _ = _loads_to_split(load)
        _core.verify_split(self._plan.placement, self._split, loads)
        return f"verified: shares, GPU loads and bounds of {count(self._plan.num_layers, 'layer')}"

    def to_dict(self) -> dict[str, Any]:
        """The split as plain Python values, for JSON."""
        tables = {name: table.tolist() for name, table in self._tables().items()}
        return {**self._head(), **tables, "busy_gpus": self.busy_gpus}

    def _head(self) -> dict[str, Any]:
        """What the split is of."""
        return {
            "format": _FORMAT,
            "version": 1,
            "plan": self._plan.digest(),
            "num_gpus": self._plan.num_gpus,
            "cluster": None if self._plan.cluster.is_uniform else self._plan.cluster.to_dict(),
            "loads_sha256": self._split.loads_sha256.hex(),
        }

    def _tables(self) -> dict[str, npt.NDArray[Any]]:
        return {
            "phy2log": self._plan.phy2log,
            "numerators": self.numerators,
            "denominators": self.denominators,
            "log2phy": self._plan.placement.log2phy(static_width("max")),
            "dispatch_probabilities": self.dispatch_probabilities(),
            "gpu_load": self.gpu_load,
            "attained": self.attained,
            "lower_bound": self.lower_bound,
            "balancedness": self.balancedness,
            "balancedness_of_equal_shares": self.balancedness_of_equal_shares,
        }

    def save(self, path: str | PathLike[str]) -> None:
        """Writes a ``.json`` file (:meth:`to_dict`) or an ``.npz``, as a whole or not at all.

        An ``.npz`` has the tables as arrays under their names, and the rest as JSON under ``split``.

        Raises:
            EplbError: another ending. OSError: it cannot be written.
        """
        from pathlib import Path

        from eplb.storage.atomic import write_whole

        check_ending(path)
        file = Path(path)
        write_whole(file, self._encode(file.suffix))

    def _encode(self, ending: str) -> bytes:
        if ending == ".json":
            return (json.dumps(self.to_dict()) + "\n").encode()
        rest = {**self._head(), "busy_gpus": self.busy_gpus}
        stream = io.BytesIO()
        np.savez_compressed(stream, split=np.array(json.dumps(rest)), **self._tables())  # type: ignore[arg-type]
        return stream.getvalue()

    def __reduce__(self) -> tuple[Any, ...]:
        split = self._split
        tables = split.numerators(), split.denominators(), split.gpu_load()
        columns = (*tables, split.claims, split.loads_sha256)
        return _restored, (self._plan, columns, self._loads_of)

    def __eq__(self, other: object) -> bool:
        """Whether placement, shares, figures and loads are equal."""
        if not isinstance(other, Split):
            return NotImplemented
        return self._plan.placement == other._plan.placement and self._split == other._split

    def __repr__(self) -> str:
        layers = count(self._plan.num_layers, "layer")
        return f"<eplb.Split of plan {self._plan.digest()}: {layers}, {self._uneven()}>"

    def _uneven(self) -> str:
        """How many experts have unequal shares, of how many with several replicas."""
        logcnt = self._plan.placement.logcnt()
        table, layers = self._plan.phy2log, np.arange(len(logcnt))[:, None]
        # Divided, as a product may pass 64 bits.
        equal, rest = np.divmod(self.denominators, logcnt)
        uneven = (self.numerators != equal[layers, table]) | (rest[layers, table] != 0)
        uneven &= table >= 0
        unequal = np.zeros(logcnt.shape, dtype=np.bool_)
        unequal[np.nonzero(uneven)[0], table[uneven]] = True
        several = count(int((logcnt > 1).sum()), "replicated expert")
        return f"{int(unequal.sum())} of {several} have unequal shares"

    def __str__(self) -> str:
        return self.summary()

    def summary(self, layers: Sequence[int] | None = None) -> str:
        """The text of ``print(split)``; ``layers`` is the hidden layer of each row, if known."""
        from eplb.summary import cluster_note, layers_note, row

        plan = self._plan
        slots = f"{count(plan.num_replicas, 'slot')} on {count(plan.num_gpus, 'GPU')}"
        experts = f"{count(plan.num_experts, 'expert')} in {slots}"
        lines = [
            f"Split of {count(plan.num_layers, 'layer')}: {experts}",
            row("of plan", plan.digest()),
            *cluster_note(plan.cluster),
            *([] if self._loads_of is None else [row("figures", f"of {self._loads_of}")]),
            *layers_note(layers),
            *self._figures(range(plan.num_layers) if layers is None else layers),
        ]
        return "\n".join(lines)

    def _figures(self, names: Sequence[int]) -> list[str]:
        from eplb.summary import ratio, row

        loaded = np.flatnonzero(self.loaded)
        if len(loaded) == 0:
            return [row("no load", "all shares are equal")]
        lines = []
        if without := self._plan.num_layers - len(loaded):
            lines.append(row("no load", f"{count(without, 'layer')}, not counted below"))
        after, before = self.balancedness[loaded], self.balancedness_of_equal_shares[loaded]

        def figures(values: FloatTable) -> str:
            at = int(values.argmin())
            worst = f"{ratio(values[at])} (layer {names[loaded[at]]})"
            return f"mean {ratio(values.mean())}, worst {worst}"

        at = int((after - before).argmax())
        gain = f"{(after - before).mean() * 100:.2f} points"
        most = f"{(after - before)[at] * 100:.2f} (layer {names[loaded[at]]})"
        return [
            *lines,
            row("balancedness", figures(after)),
            row("  if equal", figures(before)),
            row("gain", f"mean {gain}, largest {most}"),
            row("", "no other shares of this placement are better"),
            row("bound by", (",\n" + " " * 16).join(self._bounds(loaded))),
            row("shares", self._uneven()),
        ]

    def _bounds(self, loaded: IntTable) -> list[str]:
        """What bounds the layers with load."""
        busy = self.busy_gpus
        busy_gpus = [len(busy[layer]) for layer in loaded]
        some = [gpus for gpus in busy_gpus if gpus < self._plan.cluster.used.sum()]
        bounds = []
        if whole := len(busy_gpus) - len(some):
            bounds.append(f"the mean load ({count(whole, 'layer')})")
        if some:
            few, many = min(some), count(max(some), "GPU")
            gpus = many if few == max(some) else f"{few} to {many}"
            bounds.append(f"experts that only {gpus} hold ({count(len(some), 'layer')})")
        return bounds


def _restored(plan: PlanTables, columns: tuple[Any, ...], loads_of: str | None) -> Split:
    """A split from a pickle."""
    return Split(plan, _core.Split(*columns), loads_of)
