"""The verifier through Python: true plans pass, every false entry is refused."""

from __future__ import annotations

import math
import signal
import time
from collections import Counter
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from counts import COUNTS
from eplb import VerificationError, _core

if TYPE_CHECKING:
    from collections.abc import Iterator

LOAD = np.random.default_rng(11).integers(0, 40, (2, 6))
PLANS = {
    "global": eplb.plan(LOAD, num_gpus=4, num_replicas=8),
    "hierarchical": eplb.plan(LOAD, num_gpus=4, num_replicas=8, num_groups=2, num_nodes=2),
    "adaptive": eplb.plan(LOAD, num_gpus=4, num_replicas=8, policy="adaptive"),
    "minimax": eplb.plan(LOAD, num_gpus=4, num_replicas=8, policy="minimax"),
    "is_global": eplb.plan(LOAD, num_gpus=4, num_replicas=8, num_groups=3, num_nodes=2),
}
SIZES = {"num_layers", "num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus"}


def leaves(values: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    if isinstance(values, dict | list):
        items = values.items() if isinstance(values, dict) else enumerate(values)
        for key, value in items:
            yield from leaves(value, (*path, key))
    else:
        yield path


def replacements(path: tuple[Any, ...], value: Any) -> list[Any]:
    """Every other value that the entry could have, of a table; of a large number, near ones."""
    others: list[Any]
    if path[-2:-1] == ("bound",):
        others = [name for name, _ in _core.bounds()]
    elif path[-1] == "loads_sha256":
        digits = "0123456789abcdef"
        places = range(len(value))
        others = [value[:i] + digit + value[i + 1 :] for i in places for digit in digits]
    elif isinstance(value, float):
        near = [math.nextafter(value, math.inf), math.nextafter(value, -math.inf)]
        others = [*near, 0.0, 1.0, 2 * value + 1, -value - 1]
    elif path[0] in ("phy2log", "rank", "logcnt"):
        others = [*range(-2, 11), 2**31, 2**63 - 1, -(2**63)]
    else:
        bits = [value ^ 1 << bit for bit in range(63)]
        others = [*bits, value - 1, value + 1, -value, 0, 2**64 - 1]
    return [other for other in others if other != value]


def with_entry(values: Any, path: tuple[Any, ...], other: Any) -> Any:
    if not path:
        return other
    copy = values.copy()
    copy[path[0]] = with_entry(values[path[0]], path[1:], other)
    return copy


#: What says nothing of the placement or its loads, or is tried below; that duplicates would serve a
#: layer better is the planner's word, which the verifier can refuse only where nothing could.
ELSEWHERE = {"format", "version", "policy", "options", "made_from", "cluster", *SIZES}


def corruptions(values: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Every entry with every other value."""
    for path in leaves(values):
        if path[0] in ELSEWHERE or "beaten_by_duplicates" in path:
            continue
        entry: Any = values
        for key in path:
            entry = entry[key]
        for other in replacements(path, entry):
            yield path, other


@pytest.mark.parametrize("name", PLANS)
def test_every_corruption_of_every_entry_is_refused(name: str) -> None:
    values = PLANS[name].to_dict()
    eplb.verify(eplb.Plan.from_dict(values), LOAD)
    tried: Counter[str] = Counter()
    for path, other in corruptions(values):
        tried[[key for key in path if isinstance(key, str)][-1]] += 1
        try:
            eplb.verify(eplb.Plan.from_dict(with_entry(values, path, other)), LOAD)
        except eplb.EplbError:
            continue
        pytest.fail(f"{path} may be {other}")
    COUNTS["corruptions of a plan that the verifier refused"] += tried.total()
    assert set(tried) == {"phy2log", "rank", "logcnt"} | set(values["certificate"]) - {
        "beaten_by_duplicates"
    }
    assert min(tried.values()) >= 6
    assert tried.total() > 2500


def test_duplicates_cannot_serve_a_layer_at_its_bound_better() -> None:
    plan = eplb.plan([[1, 1, 1, 1]], num_gpus=2)
    values = with_entry(plan.to_dict(), ("certificate", "beaten_by_duplicates", 0), other=True)
    with pytest.raises(VerificationError, match="duplicates beat the plan"):
        eplb.verify(eplb.Plan.from_dict(values), [[1, 1, 1, 1]])


@pytest.mark.parametrize("name", PLANS)
def test_corrupted_sizes(name: str) -> None:
    """Another size is refused, or says the same of the same slots."""
    values = PLANS[name].to_dict()
    refused = 0
    for size in SIZES:
        for other in (1, 2, 3, 4, 6, 8, 12):
            if other == values[size]:
                continue
            corrupted = with_entry(values, (size,), other)
            try:
                eplb.verify(eplb.Plan.from_dict(corrupted), LOAD)
            except eplb.EplbError:
                refused += 1
            else:
                assert size in ("num_groups", "num_nodes"), (size, other)
    assert refused >= 20


@pytest.mark.filterwarnings("ignore::eplb.LoadWarning")  # no model has such a shape
def test_a_signal_ends_it_between_layers() -> None:
    """In less than half of the work of the whole, though the signal comes as it begins."""
    load = np.random.default_rng(12).integers(1, 2**40, (400, 20))
    plan = eplb.plan(load, num_gpus=2, policy="deepseek")
    assert eplb.verify(plan, load).startswith("verified")  # makes the certificate
    whole = time.process_time()
    eplb.verify(plan, load)
    whole = time.process_time() - whole

    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, interrupt)
    begun = time.process_time()
    signal.setitimer(signal.ITIMER_VIRTUAL, whole / 20)  # of work, so no busy machine matters
    try:
        with pytest.raises(TimeoutError):
            eplb.verify(plan, load)
        assert time.process_time() - begun < whole / 2
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


def test_other_loads() -> None:
    plan = PLANS["global"]
    other = LOAD.copy()
    other[1, 3] += 1
    with pytest.raises(VerificationError, match=r"for other loads; .* evaluate"):
        eplb.verify(plan, other)
    with pytest.raises(VerificationError, match=r"layer 0: .* for other loads: 2\^-1 times"):
        eplb.verify(plan, LOAD * 2)
    with pytest.raises(eplb.LoadError, match="3 layers x 6 experts, but the plan has 2 x 6"):
        eplb.verify(plan, LOAD[[0, 1, 1]])
    with pytest.raises(eplb.LoadError, match="2 layers x 5 experts"):
        eplb.evaluate(plan, LOAD[:, :5])


def test_a_plan_without_certificate_is_checked_for_structure() -> None:
    plan = eplb.Plan.from_phy2log(PLANS["global"].phy2log, num_gpus=4)
    assert not plan.certified
    assert "the plan has no certificate" in eplb.verify(plan, LOAD)
    with pytest.raises(eplb.LoadError, match="2 layers x 5 experts"):
        eplb.verify(plan, LOAD[:, :5])
    for attribute in ("gpu_load", "balancedness", "lower_bound", "gap", "bound", "certificate"):
        with pytest.raises(eplb.EplbError, match=r"use eplb.evaluate\(plan, load\)"):
            getattr(plan, attribute)


def test_where_a_false_entry_is() -> None:
    values = PLANS["global"].to_dict()
    slot = values["rank"][1].index(1)
    expert = values["phy2log"][1][slot]
    values["rank"][1][slot] = 5
    with pytest.raises(VerificationError, match=f"layer 1, slot {slot}, expert {expert}") as caught:
        eplb.Plan.from_dict(values)
    error = caught.value
    assert (error.layer, error.slot, error.expert) == (1, slot, expert)


def test_evaluate_is_the_same_placement_under_another_load() -> None:
    plan = PLANS["global"]
    assert eplb.evaluate(plan, LOAD) == plan
    doubled = eplb.evaluate(plan, LOAD * 2)
    assert (doubled.gpu_load == plan.gpu_load * 2).all()
    assert (doubled.gap == plan.gap).all()
    other = eplb.evaluate(plan, LOAD[:, ::-1])
    assert (other.phy2log == plan.phy2log).all()
    assert eplb.verify(other, LOAD[:, ::-1]).startswith("verified")
    shares = LOAD[:, ::-1] / plan.logcnt
    expected = np.take_along_axis(shares, plan.phy2log, axis=1).reshape(2, 4, 2).sum(axis=2)
    np.testing.assert_allclose(other.gpu_load, expected, rtol=1e-9)
