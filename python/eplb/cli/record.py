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
from eplb.cli.output import busy, fitted, say
from eplb.plugins.reproduce import reproduce
from eplb.summary import row


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
    failure: Annotated[
        str | None,
        typer.Option(
            "--reproduce",
            metavar="FILE",
            help="Plan again what failed in an engine, from the file that its log names.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show what eplb's plug-ins did in an engine."""
    if (summary is None) == (failure is None):
        raise eplb.EplbError(
            "there is nothing to do" if summary is None else "two things to do at once",
            hint=["give --summary DIR, the directory that the engine had as EPLB_RECORD"],
        )
    if failure is not None:
        _show_failure(failure, as_json=as_json)
        return
    assert summary is not None  # noqa: S101 - for the type checker
    with busy("reading"):
        found = summarise(summary)
    if as_json:
        say(json.dumps(asdict(found)))
        return
    say(fitted("\n".join([str(found), *lines_of("note", found.notes)])))


def _show_failure(file: str, *, as_json: bool) -> None:
    """What failed, and what comes of it now."""
    made = reproduce(file)
    if as_json:
        say(json.dumps(asdict(made)))
        return
    lines = [
        f"Failure of eplb {made.version} in an engine",
        row("then", made.error),
        row("now", made.now or "it works: a whole map is planned"),
    ]
    say(fitted("\n".join(lines)))
