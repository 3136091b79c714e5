"""Settings of every test, and what they counted."""

from __future__ import annotations

import os
from typing import Any

import pytest
from counts import COUNTS
from hypothesis import settings

# Problems of many rows take as many examples as their tests say, times these.
settings.register_profile("fast", max_examples=300, deadline=None)
settings.register_profile("deep", max_examples=20_000, deadline=None)
settings.register_profile("ci", parent=settings.get_profile("fast"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "fast")


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A process of several hands over what it counted."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["counts"] = dict(COUNTS)


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Adds what a process counted."""
    COUNTS.update(node.workeroutput.get("counts", {}))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Shows the counts."""
    for what, count in sorted(COUNTS.items()):
        terminalreporter.write_line(f"{what}: {count:,}")
