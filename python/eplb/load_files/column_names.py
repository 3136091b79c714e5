"""What the name of a column says of its cells, and numbers in names: ``expert_12``."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from eplb.errors import LoadError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Names of columns, without case and without what is neither letter nor digit.
_NAMES = {
    "layer": "layer layers layerid layeridx layerindex layernum layernumber layerno "
    "hiddenlayer moelayer moelayerid moelayeridx",
    "expert": "expert experts expertid expertidx expertindex expertnum expertnumber expertno "
    "logicalexpert logicalexpertid logicalid globalexpertid eid",
    "slot": "slot slotid slotidx slotindex expertslot physicalslot physicalexpert physicalexpertid "
    "physicalid physicalidx",
    "rank": "rank ranks rankid eprank gpu gpuid device deviceid worker workerid",
    "window": "window windows windowid step stepid iter iteration pass passid forwardpass "
    "forwardpassid batch batchid interval snapshot",
    # A window, or the time of a row.
    "time": "time times timestamp timestamps timestampms ts datetime date unixtime epoch epochs "
    "windowidx windowindex stepidx stepindex globalstep trainstep forwardstep decodestep "
    "iterationid iterationidx",
    "layername": "layername layernames modulename",
    "load": "count counts tokens tokencount tokencounts numtokens ntokens load loads "
    "expertload expertcount logicalcount value values hits activations total n",
    # One token, or a count of them.
    "either": "token",
    "token": "tokenid tokenidx tokenindex tokenpos tokenposition position requestid requestidx "
    "reqid seqid sequenceid sampleid promptid",
    "gate": "weight weights gate gateweight gatingweight gatescore score scores prob probs "
    "probability topkweight topkweights routingweight routerweight routerprob logit logits",
    "figure": "sum mean avg average std stddev var variance min max median ratio balancedness p50 "
    "p90 p95 p99",
}
_ROLES = {name: role for role, names in _NAMES.items() for name in names.split()}
#: What columns of labels number, a row each.
LABELS = ("layer", "expert", "slot", "local", "rank", "window", "time", "token")

# A name of several columns, but for their numbers.
_SHORT = {"": "number", "l": "l", "e": "expert", "ex": "expert", "exp": "expert"}
_WORDS = {"local": "local", "slot": "slot", "physical": "slot", "expert": "expert"}
_LAST_NUMBER = re.compile(r"(.*?)([0-9]{1,9})([^0-9]*)", re.ASCII | re.DOTALL)


def role_of(name: str) -> str | None:
    """What the cells of a column of this name are."""
    plain = _plain(name)
    rest = plain.replace("local", "", 1)
    if rest != plain and (rest in ("", "id", "idx", "index") or role_of(rest) in _WORDS.values()):
        return "local"  # an expert or slot, numbered from 0 on its rank
    return _ROLES.get(plain)


def _plain(name: str) -> str:
    return "".join(character for character in name.lower() if character.isalnum())


class Numbered(NamedTuple):
    """Columns whose names differ by one number."""

    #: What they number: expert, slot, local, layer, rank, window; number if nothing is said, l if that
    #: is all; None if it is not known.
    unit: str | None
    columns: tuple[int, ...]
    numbers: tuple[int, ...]

    @property
    def from_one(self) -> bool:
        """Whether the numbers are 1, 2, 3, ..., in any order."""
        return sorted(self.numbers) == [*range(1, len(self.numbers) + 1)]

    @property
    def in_order(self) -> bool:
        """Whether the numbers are 0, 1, 2, ... or 1, 2, 3, ...."""
        first = self.numbers[0]
        return first < 2 and self.numbers == tuple(range(first, first + len(self.numbers)))


def numbered(names: Sequence[str], columns: Iterable[int]) -> list[Numbered]:
    """The groups of at least two of these columns with numbers in their names.

    Raises:
        LoadError: two columns of a group have one number.
    """
    groups: dict[tuple[str, ...], list[tuple[int, int]]] = {}
    for column in columns:
        if found := _LAST_NUMBER.fullmatch(names[column]):
            before, number, after = found.groups()
            groups.setdefault((before, after), []).append((column, int(number)))
    result = []
    for members in groups.values():
        first: dict[int, int] = {}
        for column, number in members:
            if first.setdefault(number, column) != column:
                raise LoadError(
                    f"columns {first[number] + 1} and {column + 1} are both {names[column][:40]!r}",
                    hint=["delete one"],
                )
        if len(members) > 1:
            unit, _ = number_of(names[members[0][0]]) or (None, 0)
            result.append(Numbered(unit, tuple(first.values()), (*first,)))
    return result


def number_of(name: str) -> tuple[str | None, int] | None:
    """What a name numbers, and its last number; None if it has no number."""
    if not (found := _LAST_NUMBER.fullmatch(name)):
        return None
    before, number, after = found.groups()
    return _unit(_plain(before + after)), int(number)


def _unit(letters: str) -> str | None:
    if letters in _SHORT:
        return _SHORT[letters]
    if (role := role_of(letters)) in LABELS:
        return "window" if role == "time" else role
    inner = next((unit for word, unit in _WORDS.items() if word in letters), None)
    if "layer" in letters:
        return None if inner else "layer"
    return inner
