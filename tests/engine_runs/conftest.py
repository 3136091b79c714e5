"""The runs need both engines' wheels, and print a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from engine_planners import RELEASES, NoWheelError, wheel
from engine_runs import table

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session", autouse=True)
def _wheels() -> None:
    """Fetches the wheels once; skips everything where they cannot be had."""
    try:
        for engine in RELEASES:
            wheel(engine)
    except NoWheelError as error:
        pytest.skip(f"no wheels of the engines: {error}")


def lines() -> Iterator[str]:
    """The table of what was run, if something was."""
    if table.ROWS:
        yield ""
        yield from table.lines()


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows what the engines moved."""
    for line in lines():
        terminalreporter.write_line(line)
