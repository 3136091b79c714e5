"""Several ranks of vLLM, as threads: each with a plug-in of its own, at one store."""

from __future__ import annotations

import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.plugins.call import Call
from eplb.plugins.rebalancer import Ranks, Rebalancer
from eplb.plugins.settings import Settings
from eplb.plugins.tables import default_map
from eplb.plugins.writer import wait_for_files
from eplb.storage.record_file import Record, read
from torch._C._distributed_c10d import HashStore

if TYPE_CHECKING:
    from pathlib import Path

    from eplb.plugins.answers import Answer

RANDOM = np.random.default_rng(20)
USUAL = RANDOM.lognormal(5, 1, (3, 16))
WINDOWS = (USUAL * RANDOM.lognormal(0, 0.4, (9, 3, 16))).astype(np.int64)
START = default_map(3, 16, 20, np.zeros(20, dtype=bool))
OWN = START[:, ::-1].copy()
SIZE = 3
LOG = logging.getLogger("eplb.test")


class Group:
    """A process group of which only the store is used."""

    def __init__(self) -> None:
        self.store: Any = HashStore()

    def get_group_store(self) -> Any:
        """The store of all ranks."""
        return self.store


class Cluster:
    """The ranks of an engine."""

    def __init__(self, folder: Path, *others: Settings) -> None:
        usual = Settings(off_file=folder / "off", record=folder, timeout=0.5)
        self.settings = [*others, *[usual] * (SIZE - len(others))]
        self.ranks = [Rebalancer("vllm", settings, LOG) for settings in self.settings]
        self.table = START
        self.new_group()

    def new_group(self) -> None:
        """As if ranks had come or gone."""
        self.group = Group()
        #: What each rank has as its store, and who it says answers.
        self.stores: dict[int, Any] = dict.fromkeys(range(SIZE), self.group.store)
        self.groups = [Group() for _ in range(SIZE)]
        self.us: dict[int, Any] = {}

    def window(self, load: Any, absent: tuple[int, ...] = ()) -> list[Answer]:
        """What each rank answers; the answer is put in force."""

        def ask(rank: int) -> Answer:
            call = Call(load, self.table, num_slots=20, num_gpus=4)
            group = self.groups[rank]
            group.store = self.stores[rank]
            us = self.us.get(rank, lambda: Ranks(rank, SIZE, group))
            return self.ranks[rank].answer(call, us, lambda: OWN)

        here = [rank for rank in range(SIZE) if rank not in absent]
        with ThreadPoolExecutor(SIZE) as pool:
            answers = list(pool.map(ask, here))
        for answer in answers:
            assert (answer.phy2log == answers[0].phy2log).all()
            assert answer.decided == answers[0].decided
        self.table = answers[0].phy2log
        return answers


def test_all_answer_alike(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    for window in WINDOWS:
        answers = cluster.window(window)
        assert answers[0].decided in {"updated", "kept"}
        assert len({answer.digest for answer in answers}) == 1
    assert cluster.group.store.num_keys() == 0
    wait_for_files()
    assert len([*tmp_path.glob("*.jsonl")]) == 1, "rank 0 alone records"


def test_one_rank_that_fails_stops_one_window(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(tmp_path)
    cluster.window(WINDOWS[0])
    before = cluster.table

    def fails(_call: Any) -> Any:
        raise MemoryError("no memory")

    monkeypatch.setattr(cluster.ranks[1]._models, "model_of", fails)
    (answer, *_) = cluster.window(WINDOWS[1])
    assert answer.decided == "old map"
    assert (cluster.table == before).all()
    assert "ranks have other plans, or one of them failed" in answer.reason
    assert "The map in force stays" in caplog.text
    monkeypatch.undo()
    # All have forgotten, so that they agree again.
    (answer, *_) = cluster.window(WINDOWS[2])
    assert answer.decided in {"updated", "kept"}


def test_all_that_fail_alike_remember(tmp_path: Path) -> None:
    cluster, other = Cluster(tmp_path / "a"), Cluster(tmp_path / "b")
    for window in WINDOWS[:4]:
        cluster.window(window)
        other.window(window)
    (answer, *_) = cluster.window(-WINDOWS[4])
    assert answer.decided == "old map"
    assert (cluster.window(WINDOWS[5])[0].phy2log == other.window(WINDOWS[5])[0].phy2log).all()


@pytest.mark.parametrize("rank", range(SIZE))
def test_another_version_ends_it(
    rank: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    cluster = Cluster(tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(eplb, "__version__", "0.0.9")
        cluster.ranks[rank] = Rebalancer("vllm", cluster.settings[rank], LOG)
    (answer, *_) = cluster.window(WINDOWS[0])
    assert answer.decided == "old map"
    (answer, *_) = cluster.window(WINDOWS[1])
    assert answer.decided == "own planner"
    assert "0.0.9" in answer.reason
    assert "The engine's own planner answers from now on" in caplog.text


def test_another_option_ends_it(tmp_path: Path) -> None:
    usual = Settings(off_file=tmp_path / "off", timeout=0.5)
    cluster = Cluster(tmp_path, replace(usual, max_copies=3))
    assert cluster.window(WINDOWS[0])[0].decided == "old map"
    assert cluster.window(WINDOWS[1])[0].decided == "own planner"


def test_options_that_no_plan_depends_on_may_differ(tmp_path: Path) -> None:
    usual = Settings(off_file=tmp_path / "off", timeout=0.5)
    cluster = Cluster(tmp_path, replace(usual, threads=2, timeout=0.7))
    assert cluster.window(WINDOWS[0])[0].decided in {"updated", "kept"}


def test_a_rank_without_the_plug_in_ends_it(tmp_path: Path) -> None:
    """That rank has answered with the engine's own planner, and so do the others."""
    cluster = Cluster(tmp_path)
    (answer, *_) = cluster.window(WINDOWS[0], absent=(2,))
    assert answer.decided == "own planner"
    assert (answer.phy2log == OWN).all()
    assert "2 of 3 ranks answered within 0.5 s" in answer.reason
    assert cluster.window(WINDOWS[1], absent=(2,))[0].decided == "own planner"


def test_one_off_file_switches_all_off(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Settings(off_file=tmp_path / "off of one", timeout=0.5))
    cluster.window(WINDOWS[0])
    (tmp_path / "off of one").touch()
    assert cluster.window(WINDOWS[1])[0].decided == "own planner"
    (tmp_path / "off of one").unlink()
    assert cluster.window(WINDOWS[2])[0].decided in {"updated", "kept"}


class Faulty:
    """A store that fails at some of its operations; if ``late``, after it has done them."""

    def __init__(self, store: Any, failing: range, *, late: bool) -> None:
        self.store, self.failing, self.late, self.done = store, failing, late, 0

    def __getattr__(self, name: str) -> Any:
        def operation(*given: Any) -> Any:
            self.done += 1
            fails = self.done - 1 in self.failing
            if fails and not self.late:
                raise RuntimeError("connection lost")
            result = getattr(self.store, name)(*given)
            if fails:
                raise RuntimeError("connection lost")
            return result

        return operation


@pytest.mark.parametrize("late", [False, True], ids=["before", "after"])
@pytest.mark.parametrize("at", range(6))
def test_a_store_that_fails_one_rank_once(at: int, late: bool, tmp_path: Path) -> None:  # noqa: FBT001
    """All ranks answer alike, whatever fails, and whether it was done or not."""
    cluster = Cluster(tmp_path)
    cluster.stores[1] = Faulty(cluster.group.store, range(at, at + 1), late=late)
    for window in WINDOWS[:3]:
        cluster.window(window)  # which compares the answers


def test_a_store_that_is_gone_leaves_it_to_the_engine(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)
    for rank in range(SIZE):
        cluster.stores[rank] = Faulty(None, range(10**6), late=False)
    (answer, *_) = cluster.window(WINDOWS[0])
    assert answer.decided == "own planner"
    assert "connection lost" in answer.reason


def test_a_rank_that_does_not_know_the_others(tmp_path: Path) -> None:
    """It leaves the answer to the engine's own planner; so do those who wait for it."""
    cluster = Cluster(tmp_path)

    def nobody() -> Any:
        raise RuntimeError("no group")

    cluster.us[1] = nobody
    assert cluster.window(WINDOWS[0])[0].decided == "own planner"
    cluster = Cluster(tmp_path)
    cluster.us = dict.fromkeys(range(SIZE), nobody)
    assert cluster.window(WINDOWS[0])[0].decided == "own planner"


def test_a_panic_is_caught_and_an_interrupt_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A panic in Rust is no Exception in Python."""

    class PanicException(BaseException):
        pass

    def raises(kind: type[BaseException]) -> Any:
        def planner(*_: Any) -> Any:
            raise kind("in the planner")

        return planner

    cluster = Cluster(tmp_path)
    monkeypatch.setattr("eplb.plugins.rebalancer.plan_of", raises(PanicException))
    assert cluster.window(WINDOWS[0])[0].decided == "old map"
    monkeypatch.setattr("eplb.plugins.rebalancer.plan_of", raises(KeyboardInterrupt))
    call = Call(WINDOWS[0], START, num_slots=20, num_gpus=4)
    with pytest.raises(KeyboardInterrupt):
        cluster.ranks[0].answer(call, lambda: Ranks(0, 1), lambda: OWN)


def test_other_histories_are_seen_though_plans_are_equal(tmp_path: Path) -> None:
    still = Settings(off_file=tmp_path / "off", timeout=0.5, max_moves=0)
    cluster = Cluster(tmp_path, *[still] * SIZE)
    cluster.window(WINDOWS[0])
    call = Call(WINDOWS[1], cluster.table, num_slots=20, num_gpus=4)
    cluster.ranks[1].answer(call, lambda: Ranks(1, 1), lambda: OWN)  # the others do not see it
    assert cluster.window(WINDOWS[2])[0].decided == "old map"
    assert cluster.window(WINDOWS[3])[0].decided == "kept"


def test_the_off_file_does_nothing_where_ranks_compare_nothing(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, Settings(off_file=tmp_path / "off of one", timeout=0.5))
    (tmp_path / "off of one").touch()
    for rank in range(SIZE):
        cluster.us[rank] = lambda rank=rank: Ranks(rank, SIZE, None)
    assert cluster.window(WINDOWS[0])[0].decided == "updated"


def test_other_ranks_may_agree_again(tmp_path: Path) -> None:
    """What ranks of one group gave up, they try again in another group."""
    cluster = Cluster(tmp_path)
    cluster.window(WINDOWS[0], absent=(2,))
    assert cluster.window(WINDOWS[1], absent=(2,))[0].decided == "own planner"
    cluster.new_group()
    assert cluster.window(WINDOWS[2])[0].decided in {"updated", "kept"}


def test_files_that_cannot_be_written_are_told_apart(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """When it begins, and when it is over: for records and metrics each."""
    records, metrics = tmp_path / "records", tmp_path / "metrics" / "eplb.prom"
    records.write_text("in the way")
    settings = Settings(off_file=tmp_path / "off", record=records, metrics=metrics)
    alone = Rebalancer("vllm", settings, LOG)
    caplog.set_level(logging.INFO, LOG.name)
    for window in range(6):
        if window == 3:
            records.unlink()
            metrics.parent.mkdir()
        call = Call(WINDOWS[window], START, num_slots=20, num_gpus=4)
        alone.answer(call, lambda: Ranks(0, 1), lambda: OWN)
        wait_for_files()
    told = [each.getMessage() for each in caplog.records if each.levelno > logging.INFO]
    assert [line.split(":")[1].split(" can")[0] for line in told] == [
        " no records",
        " no metrics",
        " records are written again; 3 windows are missing",
        " metrics are written again; 3 windows are missing",
    ]
    assert len([*records.glob("*.jsonl")]) == 1


def test_an_engine_may_use_its_tables_again(tmp_path: Path) -> None:
    """What it writes into them does not reach the record, which is written later."""
    alone = Rebalancer("vllm", Settings(off_file=tmp_path / "off", record=tmp_path), LOG)
    load, previous = WINDOWS[0].copy(), START.copy()
    call = Call(load, previous, num_slots=20, num_gpus=4)
    answered = alone.answer(call, lambda: Ranks(0, 1), lambda: OWN).phy2log.copy()
    load[:], previous[:] = 1, 0
    wait_for_files()
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("rb") as stream:
        ((_, record),) = read(stream)
    assert isinstance(record, Record)
    assert record.previous is not None
    assert (record.load == WINDOWS[0]).all()
    assert (record.previous == START).all()
    assert (record.phy2log == answered).all()


def test_a_window_that_cannot_be_described_is_told(tmp_path: Path) -> None:
    """It is counted as what it was, without figures."""
    metrics = tmp_path / "eplb.prom"
    settings = Settings(off_file=tmp_path / "off", record=tmp_path, metrics=metrics)
    call = Call(WINDOWS[0], START, num_slots=21, num_gpus=4)
    alone = Rebalancer("vllm", settings, LOG)
    assert alone.answer(call, lambda: Ranks(0, 1), lambda: OWN).decided == "default"
    wait_for_files()
    counted = [line for line in metrics.read_text().splitlines() if 'decision="default"' in line]
    assert any(line.startswith("eplb_windows_total") and line.endswith(" 1") for line in counted)


def test_a_slow_disk_does_not_hold_the_engine(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    go_on = threading.Event()
    monkeypatch.setattr("eplb.plugins.recorder.Recorder.add", lambda *_: go_on.wait(20))
    cluster = Cluster(tmp_path)
    started = time.monotonic()
    for _ in range(20):
        cluster.window(WINDOWS[0])
    assert time.monotonic() - started < 10
    assert "the disk is too slow" in caplog.text
    go_on.set()
    wait_for_files()
