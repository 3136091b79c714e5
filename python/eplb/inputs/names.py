"""Names that users give: one of a list, and what they probably meant."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Any

from eplb.errors import EplbError, Parameter
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterable

# A file can have any number of names of any length.
_MOST_NAMES, _LONGEST_NAME, _MOST_COMPARED = 12, 40, 1000


def unknown(
    what: str,
    name: Any,
    known: Iterable[str],
    *,
    where: str = "",
    kind: type[EplbError] = EplbError,
) -> EplbError:
    """The error for a name of the parameter ``what`` that is not a known one."""
    names = list(known)
    shown = [_shown(each) for each in names[:_MOST_NAMES]]
    choices = ", ".join(shown + ["..."] * (len(names) > len(shown)))
    near = nearest(name, names)
    return kind(
        "unknown ",
        Parameter(what),
        f" {short(name)}{where}; expected one of {choices}",
        hint=[] if near is None else [f"did you mean {near!r}?"],
    )


def nearest(name: Any, known: Iterable[Any]) -> str | None:
    """The known name that is spelt nearly like ``name``, if there is one."""
    from difflib import get_close_matches

    if not isinstance(name, str):
        return None
    few = islice(known, _MOST_COMPARED)
    spelt = {each[:_LONGEST_NAME].lower(): each for each in few if isinstance(each, str)}
    near = get_close_matches(name[: 2 * _LONGEST_NAME].lower(), spelt)
    return spelt[near[0]][:_LONGEST_NAME] if near else None


def _shown(name: str) -> str:
    return name[:_LONGEST_NAME] if name and name.isprintable() else repr(name[:_LONGEST_NAME])
