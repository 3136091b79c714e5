"""`eplb.replan`: what it takes, what it says of an update, its transfers."""

from __future__ import annotations

import json
import pickle
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb import EplbError, TopologyError, VerificationError
from over_time.judge import arrivals

if TYPE_CHECKING:
    from pathlib import Path

RANDOM = np.random.default_rng(8)
USUAL = RANDOM.lognormal(5, 1, (3, 16))
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (9, 3, 16))).astype(np.int64)
PLAN = eplb.plan(WINDOWS[:6], num_gpus=4, num_replicas=20)


def history(windows: Any = WINDOWS) -> eplb.LoadHistory:
    seen = eplb.LoadHistory()
    seen.observe(windows)
    return seen


def test_an_update_says_what_it_does() -> None:
    update = eplb.replan(history(), PLAN)
    new = update.plan
    for layer in range(3):
        old_row, new_row = PLAN.phy2log[layer : layer + 1], new.phy2log[layer : layer + 1]
        assert update.copies[layer] == arrivals(old_row, new_row, 4)
        assert update.kept[layer] == (old_row == new_row).all()
        assert (update.gain[layer] > 0) == (not update.kept[layer])
    assert 0 < update.copies.sum() <= 3 * 4
    assert (update.previous == PLAN.phy2log).all()
    assert new.policy == "multiwindow"
    assert new.made_from is not None
    assert (new.made_from.windows, new.made_from.history) == (9, history().digest())
    assert eplb.verify(new, history()).startswith("verified")
    assert update.before is not None
    assert (update.before.gpu_load == eplb.evaluate(PLAN, WINDOWS[-1]).gpu_load).all()
    for array in (update.copies, update.gain, update.shifted, update.kept):
        assert array.shape == (3,)
        assert not array.flags.writeable
    text = str(update)
    assert f"{update.copies.sum()} of 60 slots" in text
    assert max(map(len, text.splitlines())) <= 80
    assert new.digest() in repr(update)


def test_a_plan_or_its_table_loads_or_their_history() -> None:
    expected = eplb.replan(history(), PLAN).plan
    for load in (history(), WINDOWS, [*WINDOWS], WINDOWS.astype(np.float32)):
        for previous in (PLAN, PLAN.phy2log, PLAN.phy2log.astype(np.int32), PLAN.phy2log.tolist()):
            sizes: dict[str, Any] = {} if previous is PLAN else {"num_gpus": 4}
            assert eplb.replan(load, previous, threads=2, **sizes).plan == expected


def test_max_moves_is_a_share_or_a_number() -> None:
    price: dict[str, Any] = {"move_price": 0}
    fewest = eplb.replan(history(), PLAN, max_moves=0, **price)
    assert fewest.kept.all()
    assert (fewest.plan.phy2log == PLAN.phy2log).all()
    assert len(fewest.transfers()) == 0
    assert str(fewest.transfers()) == "No transfers"
    limits: list[tuple[Any, int]] = [
        (2, 2),
        (0.1, 2),
        (np.int64(3), 3),
        (np.float32(0.25), 5),
        (1.0, 20),
    ]
    for limit, most in limits:
        update = eplb.replan(history(), PLAN, max_moves=limit, **price)
        assert update.copies.max() <= most
    assert eplb.replan(history(), PLAN, max_copies=3, **price).copies.sum() <= 3
    # After a shift three times as much may move, unless that has its own limit.
    burst = history([*WINDOWS, WINDOWS[-1][:, ::-1]])
    assert burst.shifted.any()
    shifted = eplb.replan(burst, PLAN, max_moves=2, **price)
    assert 2 < shifted.copies.max() <= 6
    assert "so that more may move" in str(shifted)
    assert eplb.replan(burst, PLAN, max_moves=2, max_moves_after_shift=2).copies.max() <= 2


def test_a_plan_says_with_which_options_it_was_made() -> None:
    defaults = {
        "move_price": 0.01,
        "max_moves": 0.2,
        "max_moves_after_shift": None,
        "max_copies": None,
    }
    assert eplb.replan(history(), PLAN).plan.options == defaults
    given: dict[str, Any] = {
        "move_price": 0,
        "max_moves": 3,
        "max_moves_after_shift": 0.5,
        "max_copies": 7,
    }
    assert eplb.replan(history(), PLAN, **given).plan.options == given


def test_a_high_price_keeps_everything() -> None:
    assert eplb.replan(history(), PLAN, move_price=100).kept.all()


def test_other_sizes() -> None:
    more = eplb.replan(history(), PLAN, num_gpus=6)
    assert (more.plan.num_gpus, more.plan.num_replicas) == (6, 30)
    fewer = eplb.replan(history(), PLAN, num_gpus=2)
    assert (fewer.plan.num_gpus, fewer.plan.num_replicas) == (2, 16)
    wider = eplb.replan(history(), PLAN, num_replicas=24)
    assert wider.plan.num_replicas == 24
    table = eplb.replan(history(), PLAN.phy2log, previous_gpus=4, num_gpus=6)
    assert table.plan == more.plan
    for update in (more, fewer, wider):
        assert eplb.verify(update.plan, history()).startswith("verified")
        assert len(update.transfers()) >= update.copies.sum()


def test_previous_placements_that_are_not_whole() -> None:
    placed = PLAN.phy2log.copy()
    placed[:, :5] = -1  # a GPU was replaced
    update = eplb.replan(history(), placed, num_gpus=4)
    lost = [16 - len(set(row.tolist()) - {-1}) for row in placed]
    assert (update.copies >= lost).all()
    assert update.before is None or min(lost) == 0
    assert eplb.verify(update.plan, history()).startswith("verified")
    kept = eplb.replan(history(), placed, num_gpus=4, max_moves=0)
    assert (kept.copies >= lost).all()
    if max(lost) > 0:
        assert "lacked experts" in str(kept)
    nothing = eplb.replan(history(), np.full((3, 20), -1), num_gpus=4, max_moves=0)
    assert nothing.copies.tolist() == [20] * 3
    assert (nothing.plan.phy2log >= 0).all()
    assert nothing.plan.duplicates.tolist() == [0, 0, 0]


def test_every_slot_has_an_expert(tmp_path: Path) -> None:
    """Engines need one in every slot, whatever the placement in force was."""
    published = eplb.plan(WINDOWS[:6], num_gpus=4, num_replicas=32, policy="deepseek")
    assert published.duplicates.any()
    for update in (
        eplb.replan(history(), published),
        eplb.replan(history(), PLAN, num_gpus=10),
        eplb.replan(history(), PLAN, num_replicas=36),
        eplb.replan(history(), PLAN, num_gpus=10, max_moves=0, max_copies=0),
    ):
        assert (update.plan.phy2log >= 0).all()
        update.plan.save(tmp_path / "map.json", "sglang")
        assert eplb.verify(update.plan, history()).startswith("verified")
    # What a slot held is free: nothing has to move to fill it.
    kept = eplb.replan(history(), published, max_moves=0)
    assert (kept.plan.phy2log == published.phy2log).all()
    grouped = eplb.plan(WINDOWS[:6], num_gpus=4, num_replicas=20, num_groups=4, num_nodes=2)
    wider = eplb.replan(history(), grouped, num_replicas=28)
    assert (wider.plan.phy2log >= 0).all()
    assert eplb.verify(wider.plan, history()).startswith("verified")


@pytest.mark.parametrize(
    ("num_gpus", "num_replicas"), [(4, 32), (8, 40), (5, 20), (3, 21), (2, 20), (10, 50)]
)
def test_other_sizes_are_nearly_as_even_as_a_new_plan(num_gpus: int, num_replicas: int) -> None:
    """Empty slots are filled with what makes loads even, before anything moves for its price."""
    new = eplb.plan(history(), num_gpus=num_gpus, num_replicas=num_replicas)
    update = eplb.replan(history(), PLAN, num_gpus=num_gpus, num_replicas=num_replicas)
    reached, best = (
        eplb.evaluate(plan, WINDOWS[5]).balancedness.mean() for plan in (update.plan, new)
    )
    assert reached > best - 0.04


def test_groups_of_the_plan_are_kept() -> None:
    plan = eplb.plan(WINDOWS[:6], num_gpus=4, num_replicas=20, num_groups=4, num_nodes=2)
    update = eplb.replan(history(), plan)
    assert (update.plan.num_groups, update.plan.num_nodes) == (4, 2)
    # A placement without groups gets them: each goes where most of it is.
    grouped = eplb.replan(history(), PLAN.phy2log, num_gpus=4, num_groups=8, num_nodes=2).plan
    assert "verified" in eplb.verify(grouped, history())
    new = eplb.plan(history(), num_gpus=4, num_replicas=20, num_groups=8, num_nodes=2)
    assert grouped.balancedness.mean() > new.balancedness.mean() - 0.05


def test_transfers_are_a_table_and_files(tmp_path: Path) -> None:
    update = eplb.replan(history(), PLAN, move_price=0)
    transfers = update.transfers(expert_bytes=10)
    table = transfers.table
    assert len(transfers) == len(table) == update.copies.sum()
    assert (transfers.num_bytes, transfers.expert_bytes) == (10 * len(table), 10)
    new = update.plan.phy2log
    assert (new[table["layer"], table["destination_slot"]] == table["expert"]).all()
    assert (PLAN.phy2log[table["layer"], table["destination_slot"]] == table["overwrites"]).all()
    sent = np.bincount(table["source_gpu"]).max()
    received = np.bincount(table["destination_gpu"]).max()
    assert transfers.busiest_gpu_bytes() == 10 * max(sent, received)
    assert transfers.steps == table["step"].max() + 1
    transfers.save(tmp_path / "t.json")
    read = json.loads((tmp_path / "t.json").read_text())
    assert read == transfers.to_dict()
    assert [tuple(row) for row in read["rows"]] == table.tolist()
    transfers.save(tmp_path / "t.npy")
    assert (np.load(tmp_path / "t.npy") == table).all()
    transfers.save(tmp_path / "t.csv")
    lines = (tmp_path / "t.csv").read_text().splitlines()
    assert lines[0].split(",") == list(table.dtype.names or ())
    assert len(lines) == len(table) + 1
    with pytest.raises(EplbError, match=r"expected .json, .npy or .csv"):
        transfers.save(tmp_path / "t.txt")
    unknown = update.transfers()
    assert (unknown.num_bytes, unknown.busiest_gpu_bytes()) == (None, None)
    assert "transfers, at most" in str(transfers)
    assert repr(transfers).startswith("<eplb.Transfers: ")


@pytest.mark.parametrize(
    ("change", "error", "message"),
    [
        ({"previous": PLAN.phy2log}, TopologyError, "on how many GPUs it is; give num_gpus"),
        (
            {"previous": PLAN.phy2log, "num_gpus": 3},
            TopologyError,
            "20 slots per layer, which is not divisible by num_gpus=3; give previous_gpus",
        ),
        ({"previous_gpus": 4}, EplbError, "previous_gpus is for a table; a plan knows its GPUs"),
        ({"previous": [[1, 2]], "num_gpus": 2}, VerificationError, "1 layers; expected 3"),
        ({"previous": [1, 2], "num_gpus": 2}, VerificationError, "previous has shape"),
        ({"previous": "x.json", "num_gpus": 2}, EplbError, "previous is 'x.json'; expected a plan"),
        ({"previous": None, "num_gpus": 2}, EplbError, "previous is None; expected a plan"),
        ({"load": PLAN}, EplbError, "the loads are a plan; are the arguments swapped"),
        (
            {"previous": np.full((3, 20), 16), "num_gpus": 4},
            VerificationError,
            "layer 0, slot 0: unknown expert 16; expected 0 to 15, or -1",
        ),
        (
            {"num_replicas": 100},
            TopologyError,
            "means 25 slots per GPU, but there are 16 experts.*; try num_replicas=64$",
        ),
        ({"num_gpus": 0}, TopologyError, "num_gpus=0 is too small"),
        ({"move_price": -0.1}, EplbError, "move_price=-0.1 is out of range; expected a share"),
        ({"move_price": float("nan")}, EplbError, "move_price=nan is out of range"),
        ({"move_price": "1"}, TypeError, "move_price must be a number"),
        ({"max_moves": -1}, EplbError, "max_moves=-1 is too small; expected at least 0"),
        ({"max_moves": -0.5}, EplbError, "max_moves=-0.5 is out of range"),
        ({"max_moves": 10**400}, EplbError, "max_moves=.* is too large"),
        ({"max_moves": None}, TypeError, "max_moves must be"),
        ({"max_moves": True}, TypeError, "max_moves must be"),
        ({"max_moves_after_shift": 1e300}, EplbError, "max_moves_after_shift=1e"),
        ({"max_copies": 0.5}, EplbError, "max_copies must be a whole number"),
        ({"threads": 0}, EplbError, "threads=0 is too small"),
        ({"load": eplb.LoadHistory()}, eplb.LoadError, "no window"),
        ({"load": np.ones((2, 16))}, VerificationError, "3 layers; expected 2"),
        ({"load": np.ones((3, 15))}, VerificationError, "has 16 experts, but the loads have 15"),
    ],
)
def test_bad_arguments(change: dict[str, Any], error: type[Exception], message: str) -> None:
    arguments: dict[str, Any] = {"load": history(), "previous": PLAN} | change
    with pytest.raises(error, match=message):
        eplb.replan(**arguments)


def test_the_table_in_force_may_change_afterwards() -> None:
    placed = PLAN.phy2log.copy()
    update = eplb.replan(history(), placed, num_gpus=4, move_price=0)
    before = update.transfers().to_dict()
    placed[:] = update.plan.phy2log
    assert update.transfers().to_dict() == before
    assert not update.previous.flags.writeable


def test_an_update_in_the_place_of_a_plan_and_through_pickle() -> None:
    update = eplb.replan(history(), PLAN)
    with pytest.raises(EplbError, match="previous is an update; give the plan in it"):
        eplb.replan(history(), update)
    again = pickle.loads(pickle.dumps(update))
    assert (again.plan, str(again)) == (update.plan, str(update))
    assert again.transfers().to_dict() == update.transfers().to_dict()
    for name in ("copies", "gain", "shifted", "kept", "previous"):
        assert (getattr(again, name) == getattr(update, name)).all()


def test_expert_bytes_are_a_positive_number() -> None:
    update = eplb.replan(history(), PLAN)
    for wrong, error in ((0, EplbError), (-1, EplbError), (1.5, EplbError), ("1", TypeError)):
        with pytest.raises(error, match="expert_bytes"):
            update.transfers(wrong)  # type: ignore[arg-type]


def test_what_transfers_cost() -> None:
    """Only bytes between GPUs count for the busiest GPU; the rest is told beside."""
    placed = [[0, 1, -1, -1, -1, -1]]  # Experts 2 and 3 are lost.
    update = eplb.replan([[1, 2, 3, 4]], placed, num_gpus=2, max_moves=0)
    transfers = update.transfers(2**30)
    table = transfers.table
    stored = table["source_gpu"] < 0
    assert {*table["expert"][stored].tolist()} == {2, 3}
    between = ~stored & (table["source_gpu"] != table["destination_gpu"])
    received = max(np.bincount(table["destination_gpu"][between], minlength=1))
    assert transfers.busiest_gpu_bytes() == int(received) * 2**30
    lines = transfers.lines()
    assert f"  from storage  {stored.sum()} transfers: no GPU has these experts" in lines
    # Fewer, larger GPUs: what is on a GPU that stays is copied within it or not at all.
    half = eplb.replan(history(), PLAN, num_gpus=2, max_moves=0).transfers(1)
    table = half.table
    within = int((table["source_gpu"] == table["destination_gpu"]).sum())
    assert (f"  within a GPU  {within} transfer" in "\n".join(half.lines())) == (within > 0)
    sent = np.bincount(table["source_gpu"][table["source_gpu"] != table["destination_gpu"]])
    assert half.busiest_gpu_bytes() >= sent.max(initial=0)
