"""Each GPU of real clusters dies in turn."""

from __future__ import annotations

import pytest
from over_time.failures import failures
from over_time.floors import FLOORS


@pytest.mark.parametrize("name", FLOORS)
def test_an_update_after_a_failure_is_as_good_as_a_new_plan(name: str) -> None:
    """Within two points on the window that follows; repair alone copies what is lost, once."""
    found = failures(FLOORS[name][0])
    assert found.updated >= found.anew - 2
    assert found.repaired < found.updated
    assert 0 < found.fewest_copies < found.copies
