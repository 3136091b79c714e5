"""From what a file holds to windows of loads: axes, slots, and doubts about what it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb.engines.slots import loads_of_experts
from eplb.errors import LoadError, Parameter
from eplb.inputs.plausibility import refuse_expert_ids
from eplb.load_files.arrays import as_layers, check_loads, load_array
from eplb.load_files.axes import arranged, usual_axes
from eplb.load_files.cells import doubt_last, shape_read
from eplb.load_files.file_loads import FileLoads
from eplb.load_files.flat import by_layers, what_fits
from eplb.load_files.long_table import looks_long, table_of_cells
from eplb.load_files.oddities import (
    notes_on_record,
    notes_on_shape,
    refuse_other_axes,
    refuse_total,
)
from eplb.load_files.placement_map import is_identity
from eplb.load_files.slots import slot_map
from eplb.load_files.text_loads import refuse_labels
from eplb.text import count

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from eplb.engines.engine import DecodedLoads
    from eplb.load_files.slots import SlotMap
    from eplb.load_files.stated import Stated


@dataclass(frozen=True)
class Given:
    """What the user said of the loads."""

    #: Names of the axes; None for the usual ones.
    axes: tuple[str, ...] | None
    stated: Stated
    #: The placement under which slots were counted; None if experts were counted.
    placement: SlotMap | None
    #: Whether to take what looks like other numbers for loads.
    trust: bool
    #: The keys that are read, one after another.
    keys: tuple[str | None, ...] = ()


def file_loads(decoded: DecodedLoads, given: Given) -> FileLoads:
    """The windows of what a file holds.

    Raises:
        LoadError: it has no valid loads of the stated shape, or it is not clear what it has.
    """
    array = load_array(decoded.values)
    layers, notes = decoded.layers, [*decoded.notes]
    if (
        given.axes is None
        and decoded.axes is None
        and layers is None
        and not _slots(decoded, given)
    ):
        stated = given.stated
        array, more = by_layers(array, stated.layers, stated.num_experts, trust=given.trust)
        notes += more
    if given.axes is None and decoded.axes is None and not given.trust:
        if _is_long(array, given.stated):
            array, layers, more = _from_long(array, given.stated)
            notes += more
        elif array.ndim == 2 and array.size:
            labelled = decoded.labelled or layers is not None
            _refuse_narrow(array, given.stated, text=decoded.text, labelled=labelled)
    placement = given.placement or _beside(decoded)
    axes = given.axes or _axes(array.shape, decoded.axes, placement, given)
    shape = array.shape
    array, row = as_layers(arranged(array, axes))
    notes += row
    check_loads(array)
    if "slots" in axes:
        array, more = _experts(array, placement, layers, given, decoded.slots)
        notes += more
    elif given.placement is not None:
        raise LoadError(
            "a ", Parameter("placement"), " is for counts of slots, but the axes have experts"
        )
    rows, experts = array.shape[-2:]
    if not given.trust:
        refuse_total(array)
    given.stated.check(rows, experts, named=layers, shape=shape, arranged=given.axes is not None)
    if not given.trust:
        refuse_expert_ids(array)
        if given.axes is None and not given.stated and "slots" not in axes:
            if len(shape) == 3 and decoded.axes is None:
                notes += refuse_other_axes(shape)
            notes += notes_on_shape(rows, experts)
    windows = tuple(array) if array.ndim == 3 else (array,)
    return FileLoads(
        windows,
        (*notes, *notes_on_record(windows, layers, given.stated.model)),
        layers,
        None if decoded.passes is None or given.axes else tuple(decoded.passes),
        decoded.counted,
    )


def _slots(decoded: DecodedLoads, given: Given) -> bool:
    """Whether slots may be counted, of which any number is possible."""
    return given.placement is not None or decoded.phy2log is not None


def _beside(decoded: DecodedLoads) -> SlotMap | None:
    """The placement beside the loads."""
    if decoded.phy2log is None:
        return None
    try:
        return slot_map(decoded.phy2log, "its placement")
    except LoadError as error:
        raise error.within("the placement beside its loads") from error


def _is_long(array: npt.NDArray[Any], stated: Stated) -> bool:
    return array.ndim == 2 and stated.num_experts != array.shape[1] and looks_long(array)


def _from_long(
    array: npt.NDArray[Any], stated: Stated
) -> tuple[npt.NDArray[Any], tuple[int, ...] | None, list[str]]:
    """A table of columns layer, expert, load; and notes."""
    check_loads(array)
    layers, experts = array[:, :2].astype("int64").T
    values, named = table_of_cells(
        array[:, 2], experts=experts, layers=layers, width=stated.num_experts
    )
    notes = [f"{count(len(array), 'row')} of layer, expert and load{shape_read(values)}"]
    if stated.num_experts is None:
        notes += doubt_last(values.shape[-1], experts, layers)
    return values, named, notes


def _refuse_narrow(array: npt.NDArray[Any], stated: Stated, *, text: bool, labelled: bool) -> None:
    """Refuses one or two columns of numbers, which may be anything, and a column of labels."""
    rows, width = array.shape
    if rows > 1 and width < 2 + text and stated.num_experts != width:
        if width == 2:
            refuse_labels("column 1", "numbers of experts", array[:, 0])
        hint: list[Any] = ["if it is one layer, give ", Parameter("axes", "experts,layers")]
        if width == 1 and stated:
            hint = what_fits(rows, stated.layers, stated.num_experts) or hint
        if width == 2:
            hint = ["name its columns in a first line, such as expert,count"]
        raise LoadError(
            f"it has {count(width, 'column')} of {count(rows, 'number')}; expected a row for each "
            "layer and a column for each expert",
            hint=hint,
        )
    if stated.num_experts != width and not labelled:
        refuse_labels("column 1", "numbers of layers", array[:, 0])


def _axes(
    shape: tuple[int, ...],
    said: tuple[str, ...] | None,
    placement: SlotMap | None,
    given: Given,
) -> tuple[str, ...]:
    """The axes of an array of which the user said nothing."""
    if said is not None and len(said) == len(shape):
        return said
    last = said[-1] if said else None
    if placement is None:
        return usual_axes(shape, last or "experts")
    by_rank = len(shape) > 2 and shape[-1] != placement.slots == shape[-2] * shape[-1]
    if by_rank and last != "experts":
        return ("windows", "layers", "ranks", "slots")[-len(shape) :]
    if last is None:
        last = "slots" if given.placement is not None else _counted(shape, placement)
    return usual_axes(shape, last)


def _counted(shape: tuple[int, ...], placement: SlotMap) -> str:
    """What loads beside a placement count."""
    width = shape[-1] if shape else 0
    if placement.slots != placement.experts:
        return "slots" if width == placement.slots else "experts"
    if width != placement.slots or is_identity(placement.phy2log):
        return "experts"
    raise LoadError(
        f"it has {count(width, 'load')} per layer beside a placement of as many experts as slots; "
        "are these loads of experts or slots?",
        hint=["name the axes, such as ", Parameter("axes", "layers,slots")],
    )


def _experts(
    array: npt.NDArray[Any],
    placement: SlotMap | None,
    layers: tuple[int, ...] | None,
    given: Given,
    words: str,
) -> tuple[npt.NDArray[Any], list[str]]:
    """Loads of slots as loads of experts, and notes; ``words`` says what the slots are."""
    slots = array.shape[-1]
    if placement is None:
        if given.stated.num_experts == slots:
            return array, ["as many slots as experts: slot i is taken as expert i"]
        raise LoadError(
            f"it counts {count(slots, 'slot')}{f' ({words})' if words else ''}, not experts",
            hint=[
                "give the placement that it was counted under: ",
                Parameter("placement", "FILE"),
                "; or if expert i is in slot i, ",
                Parameter("num_experts"),
                f" {slots}",
            ],
        )
    if slots != placement.slots:
        hint: list[Any] = []
        if slots == placement.experts:
            hint = ["if it counts experts, leave out ", Parameter("placement")]
        raise LoadError(
            f"the loads have {count(slots, 'slot')}, but {placement.name} has {placement.slots}",
            hint=hint,
        )
    model = given.stated.model
    if layers is None and model is not None:
        layers = model.layers_of(array.shape[-2])
    phy2log: npt.NDArray[np.int64] = placement.for_rows(array.shape[-2], layers)
    windows = array if array.ndim == 3 else array[None]
    if phy2log.ndim == 3 and len(phy2log) != len(windows):
        raise LoadError(f"it has {count(len(windows), 'window')}, but placements of {len(phy2log)}")
    loads = loads_of_experts(windows, phy2log, placement.experts)
    note = (
        f"{count(slots, 'slot')} counted, read as {count(placement.experts, 'expert')} by "
        f"{placement.name}"
    )
    return loads if array.ndim == 3 else loads[0], [note]
