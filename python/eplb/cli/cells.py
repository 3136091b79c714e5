"""Runs of cells: progress, and what happens on Ctrl-C or if processes are lost."""

from __future__ import annotations

import signal
from contextlib import closing, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import typer

from eplb.analysis.replay.kept_results import ENDING
from eplb.cli.output import complain, progress
from eplb.errors import EplbError
from eplb.storage.result_tables import checked_ending
from eplb.text import count

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterator, Mapping

#: The exit code of a program that Ctrl-C ended.
INTERRUPTED = 130
#: The exit code if something is missing because processes were lost.
MISSING = 1


class Steps(Protocol):
    """A run that gives something for each row."""

    @property
    def num_steps(self) -> int:
        """Rows of all cells."""
        ...

    @property
    def done(self) -> int:
        """Rows that are there."""
        ...

    def steps(self) -> Generator[Any, None, None]:
        """Runs all cells; yields after each row."""
        ...


def results_files(out: str | None) -> tuple[str | None, str | None]:
    """A file to keep cells in as they end, and one to save the results to: at most one of them.

    Raises:
        EplbError: it has another ending, or pyarrow is needed.
    """
    if out is None or Path(out).suffix == ENDING:
        return out, None
    checked_ending(out, also=ENDING)
    return None, out


Stop = KeyboardInterrupt | EplbError | TypeError | OSError


def run_steps(run: Steps, name: Callable[[Any], str]) -> Stop | None:
    """Runs all cells; returns what ended it early, if anything is there. ``name`` says what a step is of.

    Raises:
        typer.Exit: Ctrl-C ended it before anything was there.
        EplbError, TypeError, OSError: a cell failed before anything was there.
    """
    try:
        with (
            _interruptible(),
            closing(run.steps()) as steps,
            progress("replaying", run.num_steps) as advance,
        ):
            for step in steps:
                advance(name(step))
    except KeyboardInterrupt as stop:
        if run.done:
            return stop
        complain("interrupted before anything was done")
        raise typer.Exit(INTERRUPTED) from None
    except (EplbError, TypeError, OSError) as error:
        if run.done:
            return error
        raise
    return None


def end(*, stopped: Stop | None, lost: Mapping[Any, str]) -> None:
    """What is said after the results, if they are not all there.

    Raises:
        typer.Exit: they are not.
        EplbError, TypeError, OSError: a cell failed.
    """
    if isinstance(stopped, KeyboardInterrupt):
        complain("interrupted: the results are those of what was done")
        raise typer.Exit(INTERRUPTED)
    if stopped is not None:
        raise stopped
    if lost:
        complain(f"{count(len(lost), 'result')} missing: processes were lost")
        raise typer.Exit(MISSING)


@contextmanager
def _interruptible() -> Iterator[None]:
    """Lets Ctrl-C raise KeyboardInterrupt; elsewhere it ends the program at once."""
    try:
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
    except ValueError:  # not in the main thread, which alone gets signals
        yield
        return
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
