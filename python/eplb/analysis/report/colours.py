"""Colours and dashes of the settings: those of Okabe and Ito, which colour-blind people can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from eplb.analysis.report.facts import SettingFacts

BLUE, VERMILLION, GREY = "#0072b2", "#d55e00", "#8a8a8a"
_OTHERS = ("#e69f00", "#009e73", "#cc79a7", "#56b4e9")
_DASHES: tuple[tuple[int, ...], ...] = ((1, 0), (6, 3), (2, 2), (8, 3, 2, 3))


def styles(settings: Sequence[SettingFacts], recommended: str | None) -> list[dict[str, object]]:
    """A colour, a dash and a width for each: the recommended one is blue and thick, hindsight grey.

    The same colour comes again with another dash only if there are more settings than colours.
    """
    found: list[dict[str, object]] = []
    others = 0
    style: tuple[str, tuple[int, ...], float]
    for setting in settings:
        if setting.name == recommended:
            style = (BLUE, _DASHES[0], 3)
        elif not setting.usable:
            style = (GREY, _DASHES[1], 1.5)
        elif setting.is_trivial:
            style = (VERMILLION, _DASHES[0], 1.5)
        else:
            dash = _DASHES[others // len(_OTHERS) % len(_DASHES)]
            style = (_OTHERS[others % len(_OTHERS)], dash, 1.5)
            others += 1
        colour, dash, width = style
        found.append({"colour": colour, "dash": [*dash], "width": width})
    return found
