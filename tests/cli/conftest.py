"""What tests of the command line share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from eplb import cli

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def run(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Callable[..., tuple[int, str, str]]:
    """Runs the command line in this process: exit code, standard output, standard error."""
    monkeypatch.delenv("COLUMNS", raising=False)

    def run_here(line: str, *more: str) -> tuple[int, str, str]:
        code = cli.main([*line.split(), *more])
        return code, *capsys.readouterr()

    return run_here
