"""Where a placement is written, and in which format: checked before anything is planned."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from eplb.engines.all_engines import ENGINE_OF, FORMATS, check_ending, check_format
from eplb.engines.hidden_layers import HiddenLayers, hidden_layer_count
from eplb.engines.model_config import moe_layers_of
from eplb.engines.rows import hidden_layers_of, rows_for, with_extra_layers
from eplb.errors import Parameter, PlanFileError
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Sequence
    from os import PathLike

    from eplb.engines.engine import PlacementRows
    from eplb.engines.rows import PlacedLayers


@dataclass(frozen=True)
class Target:
    """Where a placement goes and in which format: all that can be checked before there is a plan."""

    #: The file; None if nothing is written.
    path: Path | None
    #: One of ``FORMAT_NAMES``.
    format: str
    #: Hidden layer of each row; None if it is not known.
    layers: HiddenLayers | None = None
    num_hidden_layers: int | None = None
    #: Logical experts of the model; None if they are not known.
    num_experts: int | None = None
    #: Further MoE layers, which the plan does not have: those of multi-token prediction. They are
    #: written if the format names layers.
    extra: HiddenLayers = HiddenLayers()  # noqa: RUF009
    #: Groups of experts of the model; None if they are not known.
    num_groups: int | None = None
    #: Those among the further layers that the plan does have, in its last rows.
    planned_extra: HiddenLayers = HiddenLayers()  # noqa: RUF009

    def for_loads(self, num_rows: int, layers: Sequence[int] | None) -> Target:
        """The same for loads of so many rows, which may name their hidden layers.

        Loads may have rows for the further layers too.

        Raises:
            PlanFileError: the user named other layers.
        """
        both = None if self.layers is None else HiddenLayers(sorted({*self.layers, *self.extra}))
        if layers is not None:
            named = HiddenLayers(layers)
            if self.layers not in (None, named) and named != both:
                raise PlanFileError(
                    f"the loads are those of {named}, but {self.layers} are named",
                    hint=["leave out ", Parameter("layers"), " and ", Parameter("config")],
                )
            if self.layers in (None, named):
                extra = HiddenLayers(layer for layer in self.extra if layer not in named)
                return replace(self, layers=named, extra=extra)
        if both is None or both == self.layers:
            return self
        total = self.num_hidden_layers
        if total is not None:
            total = max(total, both[-1] + 1)
        if num_rows not in (len(both), total):
            return self
        return replace(
            self,
            layers=both,
            num_hidden_layers=total,
            extra=HiddenLayers(),
            planned_extra=self.extra,
        )

    def for_placement(self, num_rows: int) -> Target:
        """The same for a placement of so many rows, which may lack the further layers of the loads."""
        without = self.without_planned_extra()
        fits = without.layers is not None and len(without.layers) == num_rows
        return without if fits else self

    def without_planned_extra(self) -> Target:
        """The same for a plan without the further layers."""
        if not self.planned_extra or self.layers is None:
            return self
        extra = self.planned_extra
        return replace(
            self,
            layers=HiddenLayers(self.layers[: -len(extra)]),
            num_hidden_layers=None if self.num_hidden_layers is None else extra[0],
            extra=extra,
            planned_extra=HiddenLayers(),
        )

    def hidden_layers(self, num_rows: int) -> HiddenLayers | None:
        """The hidden layer of each of so many rows of loads, if it is known.

        Raises:
            PlanFileError: the user named another number of layers.
        """
        return hidden_layers_of(num_rows, self.layers, self.num_hidden_layers)

    def encode(self, placed: PlacedLayers) -> tuple[bytes, PlacementRows]:
        """The bytes of the engine's file, and its rows, with notes: what was done, what is needed.

        Raises:
            PlanFileError: the engine could not use the placement.
        """
        if self.num_experts is not None and self.num_experts != placed.num_experts:
            raise PlanFileError(
                f"the model has {count(self.num_experts, 'expert')} per layer, but the plan has "
                f"{placed.num_experts}; is this the config.json of another model?"
            )
        goal = self
        beyond = self.planned_extra if FORMATS[self.format].rows == "hidden" else HiddenLayers()
        if beyond:
            placed = placed.first(placed.num_layers - len(beyond))
            goal = self.without_planned_extra()
        rows = rows_for(placed, self.format, goal.layers, goal.num_hidden_layers)
        if beyond:
            rows.notes.append(
                f"{beyond} of multi-token prediction left out: {self.format} has a row for each of "
                f"the {count(beyond[0], 'hidden layer')}"
            )
        if self.extra and _names_layers(self.format):
            rows = with_extra_layers(rows, self.extra, ENGINE_OF[self.format])
        ending = FORMATS[self.format].endings[0] if self.path is None else self.path.suffix
        return FORMATS[self.format].write(rows, ending), rows


def target(
    path: str | PathLike[str] | None,
    format: str = "plan",  # noqa: A002
    *,
    layers: Sequence[int] | None = None,
    num_hidden_layers: int | None = None,
    config: str | PathLike[str] | None = None,
    extra_layers: Sequence[int] | None = None,
) -> Target:
    """Checks where a placement goes; the arguments are those of :meth:`eplb.Plan.save`.

    Raises:
        PlanFileError: an argument is invalid. OSError: the config.json cannot be read.
    """
    where = None if path is None else Path(path)
    check_format(format)
    if where is not None:
        check_ending(where, format)
    extra = HiddenLayers() if extra_layers is None else _extra_layers(extra_layers, format)
    if config is not None:
        if layers is not None or num_hidden_layers is not None:
            raise PlanFileError(
                Parameter("config"),
                " says which layers there are",
                hint=["leave out ", Parameter("layers"), " and ", Parameter("num_hidden_layers")],
            )
        model = moe_layers_of(config)
        if extra_layers is None:
            extra = model.mtp
        return Target(
            where,
            format,
            model.moe,
            model.num_hidden_layers,
            model.num_experts,
            extra,
            model.num_groups,
        )
    return Target(
        where,
        format,
        None if layers is None else HiddenLayers.of(layers),
        None if num_hidden_layers is None else hidden_layer_count(num_hidden_layers),
        extra=extra,
    )


def _names_layers(format: str) -> bool:  # noqa: A002
    return format != "plan" and FORMATS[format].rows == "named"


def _extra_layers(layers: Sequence[int], format: str) -> HiddenLayers:  # noqa: A002
    """Further layers that the user names; nobody but an engine that names layers takes them."""
    if not _names_layers(format):
        able = ", ".join(name for name in FORMATS if _names_layers(name))
        raise PlanFileError(
            Parameter("extra_layers"),
            f" are written in the format {able} alone, not in {format}",
            hint=["leave out ", Parameter("extra_layers")],
        )
    return HiddenLayers.of(layers, "extra_layers")
