"""All ranks answer a plan, or none does: ranks as threads, at one store."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from eplb.plugins.agreement import Agreement, Decision, Proposal
from hypothesis import given, settings
from hypothesis import strategies as st
from torch._C._distributed_c10d import HashStore, TCPStore

if TYPE_CHECKING:
    from collections.abc import Callable

USUAL = Proposal({"EPLB": "1", "decay": 0.9}, "inputs", "answer", "")


def decided(
    proposals: list[list[Proposal | None]], timeout: float = 30, store: Any = None
) -> list[list[Decision | None]]:
    """What each rank decides at each of its windows; None is a rank that does not come."""
    store = store or HashStore()
    agreements = [Agreement(store, len(proposals), timeout) for _ in proposals]

    def windows(rank: int) -> list[Decision | None]:
        return [None if mine is None else agreements[rank].decide(mine) for mine in proposals[rank]]

    with ThreadPoolExecutor(len(proposals)) as ranks:
        return list(ranks.map(windows, range(len(proposals))))


def test_equal_proposals_go_and_leave_nothing() -> None:
    store = HashStore()
    for each in decided([[USUAL] * 20] * 4, store=store):
        assert each == [Decision("go")] * 20
    assert store.num_keys() == 0


OTHERS: dict[str, tuple[Proposal, str]] = {
    "another answer": (replace(USUAL, answer="other"), "differ"),
    "other inputs": (replace(USUAL, inputs="other"), "differ"),
    "another version": (replace(USUAL, setup={"EPLB": "1", "decay": 0.8}), "setup"),
    "switched off": (replace(USUAL, off="a file"), "off"),
}


@pytest.mark.parametrize("name", OTHERS)
@pytest.mark.parametrize("rank", range(3))
def test_one_other_rank_stops_all(name: str, rank: int) -> None:
    other, kind = OTHERS[name]
    proposals: list[list[Proposal | None]] = [[USUAL, USUAL] for _ in range(3)]
    proposals[rank] = [other, USUAL]
    kinds = [[each.kind for each in one if each] for one in decided(proposals)]
    assert kinds == [[kind, "go"]] * 3


def test_a_rank_that_never_comes_costs_the_time_limit() -> None:
    started = time.monotonic()
    decisions = decided([[USUAL], [USUAL], [None]], timeout=0.3)
    assert 0.3 <= time.monotonic() - started < 5
    for each in decisions[:2]:
        assert each[0] is not None
        assert each[0].kind == "missing"
        assert "2 of 3 ranks answered within 0.3 s" in each[0].reason


def test_a_rank_that_comes_late_decides_as_the_others_did() -> None:
    store = HashStore()
    agreements = [Agreement(store, 2, 0.2) for _ in range(2)]
    first = agreements[0].decide(USUAL)
    assert first.kind == "missing"
    assert agreements[1].decide(USUAL) == first


def test_alone() -> None:
    agreement = Agreement(None, 1, 1)
    assert agreement.decide(USUAL).kind == "go"
    assert agreement.decide(OTHERS["switched off"][0]).kind == "off"


@given(
    st.lists(
        st.lists(
            st.sampled_from([USUAL, *(other for other, _ in OTHERS.values())]),
            min_size=3,
            max_size=3,
        ),
        min_size=1,
        max_size=6,
    )
)
@settings(max_examples=40)
def test_whatever_ranks_propose_they_decide_alike(windows: list[list[Proposal]]) -> None:
    proposals: list[list[Proposal | None]] = [[*ranks] for ranks in zip(*windows, strict=True)]
    decisions = decided(proposals)
    assert decisions[0] == decisions[1] == decisions[2]
    for window, decision in zip(windows, decisions[0], strict=True):
        assert decision is not None
        agree = all(each == window[0] for each in window) and not window[0].off
        assert (decision.kind == "go") == agree


def _ranks(connect: Callable[[], Any], size: int, windows: int) -> float:
    agreements = [Agreement(connect(), size, 30) for _ in range(size)]

    def run(agreement: Agreement) -> float:
        started = time.perf_counter()
        for _ in range(windows):
            assert agreement.decide(USUAL).kind == "go"
        return time.perf_counter() - started

    with ThreadPoolExecutor(size) as ranks:
        return max(ranks.map(run, agreements)) / windows


def test_over_tcp_it_takes_milliseconds() -> None:
    """Eight ranks at the store that engines have."""
    main = TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)

    def connect() -> Any:
        return TCPStore("127.0.0.1", main.port, is_master=False, timeout=timedelta(seconds=30))

    assert _ranks(connect, 8, 10) < 0.5
    assert main.num_keys() <= 1


def test_what_differs_is_named() -> None:
    other = replace(USUAL, setup={"EPLB": "2", "decay": 0.8})
    (decision,), _ = decided([[USUAL], [other]])
    assert decision is not None
    assert "EPLB_DECAY is 0.9 and 0.8" in decision.reason or "0.8 and 0.9" in decision.reason
    assert "eplb is 1 and 2" in decision.reason or "eplb is 2 and 1" in decision.reason


def test_a_version_that_says_other_things_is_another_version() -> None:
    store = HashStore()
    store.set("eplb/0/first", '{"protocol": 2}')
    agreements = [Agreement(store, 2, 5) for _ in range(2)]
    with ThreadPoolExecutor(2) as ranks:
        decisions = list(ranks.map(lambda each: each.decide(USUAL), agreements))
    assert [decision.kind for decision in decisions] == ["setup", "setup"]
