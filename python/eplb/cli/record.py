"""``eplb record``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

import eplb
from eplb.analysis.record_summary import summarise
from eplb.cli.figures import lines_of
from eplb.cli.options import AsJson
from eplb.cli.output import fitted, say


def record_command(
    *,
    summary: Annotated[
        str | None,
        typer.Option(
            "--summary",
            metavar="DIR",
            help="What happened: a directory that a plug-in records to (EPLB_RECORD), or a file in it.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what eplb's plug-ins did in an engine."""
    if summary is None:
        raise eplb.EplbError(
            "there is nothing to do",
            hint=["give --summary DIR, the directory that the engine had as EPLB_RECORD"],
        )
    found = summarise(summary)
    if as_json:
        say(json.dumps(asdict(found)))
        return
    say(fitted("\n".join([str(found), *lines_of("note", found.notes)])))
