"""Standard output and standard error, for terminals, pipes and closed streams."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
import time
from contextlib import contextmanager
from io import TextIOWrapper
from typing import TYPE_CHECKING, TextIO

import typer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

WIDTH = 80
_LEAST_WIDTH = 40
#: The exit code that a shell reports if the reader of a pipe has gone.
READER_GONE = 141
_LONGEST_COMPLAINT = 500
# Seconds after which progress is shown.
_PATIENCE = 2.0
#: Columns of the names at the beginning of lines; those that continue a line have spaces there.
NAME_WIDTH = 16


def say(text: str) -> None:
    """Prints ``text`` at once, so that a failure is seen here."""
    try:
        write(sys.stdout, text)
    except OSError as error:
        _discard_output()
        if isinstance(error, BrokenPipeError):
            raise typer.Exit(READER_GONE) from error
        error.filename = "standard output"
        raise


def complain(message: str, hint: str = "") -> None:
    """An error on standard error in one line, and a hint in another one."""
    write(sys.stderr, f"eplb: {_printable(message)}")
    if hint:
        write(sys.stderr, f"hint: {_printable(hint)}")


def _printable(text: str) -> str:
    """One line of limited length, for text that may come from an untrusted file."""
    line = " ".join(text.split())
    line = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in line)
    return line[:_LONGEST_COMPLAINT]


def write(stream: TextIO | None, text: str) -> None:
    """A line, or several."""
    if stream is not None:  # None if the shell closed it
        stream.write(f"{text}\n")
        stream.flush()


def columns() -> int:
    """Columns of a line: at most ``WIDTH``, fewer if the terminal or the variable COLUMNS says so."""
    if "COLUMNS" not in os.environ and (sys.stdout is None or not sys.stdout.isatty()):
        return WIDTH
    return max(_LEAST_WIDTH, min(WIDTH, shutil.get_terminal_size((WIDTH, 24)).columns))


def fitted(text: str) -> str:
    """The text with long lines broken between words, and indented below their first words."""
    return "\n".join(part for line in text.splitlines() for part in _broken(line))


def _broken(line: str) -> list[str]:
    if len(line) <= columns():
        return [line]
    indent = NAME_WIDTH if line.startswith("  ") else len("note: ")
    return textwrap.wrap(
        line,
        columns(),
        subsequent_indent=" " * indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def table_text(
    headings: Sequence[str],
    rows: Iterable[Sequence[str]],
    *,
    space: int = 1,
    left: Sequence[int] = (),
    green: Sequence[int] = (),
) -> str:
    """A table without lines; columns align right, but those of the numbers ``left``.

    Rows of the numbers ``green`` have that colour if standard output supports it.
    """
    from rich.console import Console
    from rich.table import Table

    table = Table(box=None, pad_edge=False, padding=(0, space, 0, 0))
    for column, heading in enumerate(headings):
        table.add_column(heading, justify="left" if column in left else "right")
    for number, row in enumerate(rows):
        table.add_row(*row, style="green" if number in green else "")
    console = Console(width=2 * WIDTH, highlight=False)  # long figures are not cut
    with console.capture() as capture:
        console.print(table)
    return "\n".join(line.rstrip() for line in capture.get().rstrip("\n").splitlines())


@contextmanager
def busy(what: str) -> Iterator[None]:
    """Shows on a terminal what is being done, as long as it takes."""
    if sys.stderr is None or not sys.stderr.isatty():
        yield
        return
    from rich.console import Console

    with Console(stderr=True).status(what):
        yield


@contextmanager
def progress(what: str, steps: int) -> Iterator[Callable[[str], None]]:
    """Shows on a terminal how far it is, as soon as it has taken two seconds.

    Gives a function to call after each step, with what the step was of.
    """
    if sys.stderr is None or not sys.stderr.isatty():
        yield lambda _: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn()
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    task, start = shown.add_task(what, total=steps), time.monotonic()

    def advance(of: str) -> None:
        shown.update(task, advance=1, description=f"{what} {of}")
        if not shown.live.is_started and time.monotonic() - start > _PATIENCE:
            shown.start()

    try:
        yield advance
    finally:
        shown.stop()


def never_fail_on_a_character() -> None:
    """Allows any character in names on any terminal."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _discard_output() -> None:
    """Discards standard output, so that the interpreter's last flush cannot fail."""
    with open(os.devnull, "wb") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), sys.stdout.fileno())
