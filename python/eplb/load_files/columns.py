"""What the columns of a text table are, by their names."""

from __future__ import annotations

from dataclasses import dataclass

from eplb.errors import LoadError, Parameter
from eplb.inputs.names import unknown
from eplb.text import count

# Names of columns, without case and without what is neither letter nor digit.
_NAMES = {
    "layer": "layer layers layerid layeridx layerindex layernum layernumber layerno hiddenlayer "
    "moelayer moelayerid moelayeridx",
    "expert": "expert experts expertid expertidx expertindex expertnum expertnumber expertno "
    "logicalexpert logicalexpertid logicalid globalexpertid eid",
    "slot": "slot slotid physicalexpert physicalexpertid physicalid",
    "rank": "rank ranks rankid eprank gpu gpuid device deviceid worker workerid",
    "window": "window windows windowid step stepid iter iteration pass passid forwardpass "
    "forwardpassid batch batchid interval snapshot",
    "load": "count counts token tokens tokencount tokencounts numtokens ntokens load loads "
    "expertload expertcount logicalcount value values hits activations total n",
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}


@dataclass(frozen=True)
class Columns:
    """Which column says what."""

    #: Names of all columns.
    names: tuple[str, ...]
    #: Columns of labels, by what they number: layer, expert, slot, rank, window.
    labels: dict[str, int]
    #: Columns with loads: in a long table one.
    loads: tuple[int, ...]

    @property
    def is_long(self) -> bool:
        """Whether a row is a load of one expert or slot."""
        return "expert" in self.labels or "slot" in self.labels

    @property
    def others(self) -> tuple[int, ...]:
        """Columns that are left out."""
        known = {*self.labels.values(), *self.loads}
        return tuple(index for index in range(len(self.names)) if index not in known)


def columns_of(header: tuple[str, ...], width: int, key: str | None) -> Columns | None:
    """What a header says of so many columns; None if it is a title.

    Args:
        header: its cells. An empty first one is the numbers of layers, as pandas writes them.
        width: columns of the rows.
        key: the column with the loads of a long table; by default the one with a usual name.

    Raises:
        LoadError: it is not clear what the columns are.
    """
    if len(header) == width - 1 and width > 2:
        raise LoadError(
            f"its header has {count(len(header), 'column')}, but its rows have {width}; "
            "is column 1 the numbers of layers?",
            hint=["name it layer"],
        )
    if len(header) != width:
        return None
    found = _labels(header)
    if header[0] == "":
        _check_index(header)
        found.setdefault("layer", 0)
    free = [index for index in range(width) if index not in found.values()]
    loads = [_load_column(header, free, key)] if {"expert", "slot"} & found.keys() else free
    return Columns(header, found, tuple(loads))


def _role(name: str) -> str | None:
    return _ROLES.get("".join(character for character in name.lower() if character.isalnum()))


def _labels(header: tuple[str, ...]) -> dict[str, int]:
    """The columns of labels by their role."""
    found: dict[str, int] = {}
    for index, name in enumerate(header):
        role = _role(name)
        if role is None or role == "load":
            continue
        if (first := found.setdefault(role, index)) != index:
            raise LoadError(
                f"columns {first + 1} and {index + 1} both seem to be the {role}: "
                f"{header[first]!r} and {name!r}",
                hint=["delete one"],
            )
    return found


def _check_index(header: tuple[str, ...]) -> None:
    """Refuses a first column without a name if the others are numbers, but not of experts."""
    others = list(header[1:])
    if any(name.isdigit() for name in others) and others != [str(n) for n in range(len(others))]:
        raise LoadError(
            "line 1 starts with an empty cell; is column 1 the numbers of layers?",
            hint=["name it layer, or with pandas use to_csv(index=False, header=False)"],
        )


def _load_column(header: tuple[str, ...], free: list[int], key: str | None) -> int:
    """The column with the loads of a long table."""
    names = {header[index]: index for index in free}
    if key is not None:
        if key not in names:
            raise unknown("key", key, names, kind=LoadError)
        return names[key]
    usual = [index for index in free if _role(header[index]) == "load"]
    candidates = usual or free
    if not candidates:
        raise LoadError("it has no column of loads; expected for example layer,expert,count")
    if len(candidates) > 1:
        shown = ", ".join(repr(header[index][:40]) for index in candidates[:8])
        raise LoadError(
            f"several of its columns may be the loads: {shown}",
            hint=["choose one with ", Parameter("key")],
        )
    return candidates[0]
