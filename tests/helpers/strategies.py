"""Generated problems for Hypothesis: loads of every kind with sizes that go together."""

from __future__ import annotations

from typing import Any, Literal

from hypothesis import strategies as st

Problem = tuple[list[list[int | float]], dict[str, Any]]

LOADS: list[st.SearchStrategy[Any]] = [
    st.integers(0, 3),
    st.integers(0, 2**64 - 1),
    st.integers(2**24 - 2, 2**24 + 2),
    st.integers(2**40 - 2, 2**40 + 2),
    st.sampled_from([0, 0, 0, 1, 2**63]),
    st.integers(0, 60).map(lambda e: 2**e),
    st.floats(0, allow_infinity=False, allow_nan=False),
    st.floats(0, 1e-300),
    st.floats(0, width=16, allow_infinity=False, allow_nan=False),
]


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Loads of one kind, and sizes that go together."""
    nodes = draw(st.sampled_from([1, 1, 2, 3]))
    groups = nodes * draw(st.integers(1, 3))
    experts = groups * draw(st.integers(1, 4))
    if draw(st.booleans()):
        nodes += 1  # mostly a global plan
    gpus = nodes * draw(st.integers(1, 4))
    per_gpu = -(-experts // gpus) + draw(st.sampled_from([0, 0, 1, 3, 10]))
    cell = draw(st.sampled_from(LOADS))
    row = st.lists(cell, min_size=experts, max_size=experts)
    load = draw(st.lists(row, min_size=1, max_size=3))
    return load, {
        "num_replicas": per_gpu * gpus,
        "num_groups": groups,
        "num_nodes": nodes,
        "num_gpus": gpus,
    }


POLICIES: tuple[Literal["deepseek"], Literal["adaptive"]] = ("deepseek", "adaptive")
