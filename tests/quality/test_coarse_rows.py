"""Windows of few tokens stay as even as they were when the search took longest."""

from __future__ import annotations

import pytest
from hard_coarse import BEFORE, TOKENS, coarse_misses, coarse_row
from tables import coarse_part


@pytest.mark.parametrize("sizes", BEFORE, ids=str)
def test_windows_of_few_tokens_are_as_even_as_before(sizes: tuple[int, int, int, int]) -> None:
    rows = [coarse_row(sizes, tokens) for tokens in TOKENS]
    assert coarse_misses(rows) == []
    assert len(coarse_misses([row._replace(now=row.before - 0.002) for row in rows])) == 5
    assert f"| {rows[0].shape} | 32 |" in coarse_part(rows)
