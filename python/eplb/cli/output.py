"""Standard output and standard error, whatever is at their other ends."""

from __future__ import annotations

import os
import sys
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from collections.abc import Iterator

WIDTH = 80
#: As a shell has it for a program that the end of its reader has ended.
READER_GONE = 141
_LONGEST_COMPLAINT = 500


def say(text: str) -> None:
    """Prints ``text`` at once, so that what goes wrong does so here."""
    try:
        write(sys.stdout, text)
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(READER_GONE) from error
        error.filename = "standard output"
        raise


def complain(message: str) -> None:
    """One line on standard error, whatever a stranger's file put into the message."""
    line = " ".join(message.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    write(sys.stderr, f"eplb: {line[:_LONGEST_COMPLAINT]}")


def write(stream: TextIO | None, text: str) -> None:
    """A line, or several."""
    if stream is not None:  # as where the shell was told >&-
        stream.write(f"{text}\n")
        stream.flush()


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Says on a terminal what takes its time, as long as it does."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


def never_fail_on_a_character() -> None:
    """Lets names of any characters be printed on any terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Lets standard output end in nothing, so that the interpreter's last flush cannot fail."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), sys.stdout.fileno())
