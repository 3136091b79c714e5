"""The page: words, tables and data put into the template."""

from __future__ import annotations

import json
import math
import re
from html import escape
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from eplb import __version__
from eplb.analysis.report import specs
from eplb.analysis.report.colours import styles
from eplb.analysis.report.data import data_of
from eplb.analysis.report.library import bundle, check_installed
from eplb.analysis.report.words import words_of
from eplb.errors import EplbError
from eplb.storage.atomic import write_whole

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from os import PathLike

    from eplb.analysis.report.facts import Facts

#: What the columns of the table of settings are.
_COLUMNS = {
    "mean": "mean, p10, worst: balancedness on the next window, over layers and windows; a tenth is below p10.",
    "copies": "copies: slots that all updates filled with another expert; of slots: of a mean update.",
    "GB": "GB: the weights of these copies.",
    "lost": "lost: share of the time that is lost to imbalance, by the time model.",
    "plan ms": "plan ms: time to plan an update, median.",
}
# If all is better than this, the heat maps need not show differences.
_DARKEST = 0.9


def checked_path(path: str | PathLike[str]) -> Path:
    """The path, if a report can be written there.

    Raises:
        EplbError: another ending, or the plotting library is not installed.
    """
    file = Path(path)
    if file.suffix not in (".html", ".htm"):
        raise EplbError(f"{file.name!r} is not a file name for a report; expected .html")
    check_installed()
    return file


def write(path: str | PathLike[str], facts: Facts) -> None:
    """Writes the page, as a whole or not at all.

    Raises:
        EplbError: another ending, or the plotting library is not installed. OSError: it cannot be written.
    """
    file = checked_path(path)
    write_whole(file, page_of(facts).encode())


def page_of(facts: Facts) -> str:
    """The page."""
    words = words_of(facts)
    title = "Replay" if not facts.title else f"Replay of {facts.title}"
    taken = facts.values["recommendation"]["setting"]
    explained = " ".join(text for name, text in _COLUMNS.items() if name in facts.headings)
    lines = "".join(f"<p>{escape(what)}</p><pre>{escape(line)}</pre>" for what, line in words.lines)
    here = files("eplb.analysis.report")
    parts = {
        "title": escape(title),
        "generator": f"eplb {escape(__version__)}",
        "headline": escape(words.headline),
        "replayed": _paragraphs(words.replayed),
        "why": _paragraphs(words.why),
        "worth": _list(words.worth),
        "next": _paragraphs(words.next_steps) + lines,
        "care": _list(words.care),
        "table": _table(facts, taken),
        "columns": escape(explained),
        "kinds": _list(words.kinds),
        "style": (here / "style.css").read_text("utf-8"),
        "script": (here / "page.js").read_text("utf-8"),
        "library": bundle(),
        "data": _json(_content(facts, taken)),
    }
    template = (here / "template.html").read_text("utf-8")
    return re.sub(r"\{\{(\w+)\}\}", lambda found: parts[found[1]], template)


def _content(facts: Facts, taken: str | None) -> dict[str, Any]:
    """What the script of the page reads."""
    names = [each.name for each in facts.settings]
    looks, data = styles(facts.settings, taken), data_of(facts)
    layers = facts.values["num_layers"]
    return {
        "names": names,
        "styles": looks,
        "recommended": names.index(taken) if taken in names else None,
        "start": _at_start(facts, taken),
        "specs": {
            "lines": specs.lines(names, looks, with_events=bool(facts.events)),
            "heat": specs.heat(layers, _darkest(facts, data["heat"])),
            "gpus": specs.gpus(),
        },
        "data": data,
    }


def _darkest(facts: Facts, heats: Sequence[Mapping[str, Any]]) -> float:
    """The balancedness that is darkest in the heat maps: one for all, to compare them.

    The default placement is so bad that with its least one all others would look alike.
    """
    least = min(
        (
            cell / 1000
            for setting, heat in zip(facts.settings, heats, strict=True)
            for column in heat["cells"]
            for cell in column
            if cell is not None and not setting.is_trivial
        ),
        default=0.0,
    )
    return math.floor(min(least, _DARKEST) * 20) / 20


def _at_start(facts: Facts, taken: str | None) -> list[int]:
    """The lines that are drawn at first: all are too many to read.

    The recommended setting, the default placement, hindsight, and the one that moves most.
    """
    copies = {each["name"]: each["copies"] for each in facts.values["settings"]}
    most = max(copies, key=lambda name: copies[name], default=None)
    return [
        at
        for at, each in enumerate(facts.settings)
        if each.is_trivial or not each.usable or each.name in (taken, most)
    ]


def _json(value: Any) -> str:
    """JSON that may stand in a page: no ``<``."""
    return json.dumps(value, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _paragraphs(texts: Iterable[str]) -> str:
    return "".join(f"<p>{escape(text)}</p>" for text in texts)


def _list(texts: Iterable[str]) -> str:
    return "<ul>" + "".join(f"<li>{escape(text)}</li>" for text in texts) + "</ul>"


def _table(facts: Facts, taken: str | None) -> str:
    """The table of the settings, which a page without a script has, too."""
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in facts.headings)
    rows = []
    for cells in facts.cells:
        mark = ' class="taken"' if cells[0] == taken else ""
        name = escape(cells[0]).replace(":", ":<wbr>").replace(",", ",<wbr>")
        rest = "".join(f"<td>{escape(cell)}</td>" for cell in cells[1:])
        rows.append(f"<tr{mark}><td>{name}</td>{rest}</tr>")
    body = "".join(rows)
    return f'<table id="settings" class="names"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
