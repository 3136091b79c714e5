"""Several ranks of vLLM, as threads: each with a plug-in of its own, at one store."""

from __future__ import annotations

import logging
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
        self.store = HashStore()

    def get_group_store(self) -> Any:
        """The store of all ranks."""
        return self.store


class Cluster:
    """The ranks of an engine."""

    def __init__(self, folder: Path, *others: Settings) -> None:
        usual = Settings(off_file=folder / "off", record=folder, timeout=0.5)
        self.settings = [*others, *[usual] * (SIZE - len(others))]
        self.ranks = [Rebalancer("vllm", settings, LOG) for settings in self.settings]
        self.group, self.table = Group(), START

    def window(self, load: Any, absent: tuple[int, ...] = ()) -> list[Answer]:
        """What each rank answers; the answer is put in force."""

        def ask(rank: int) -> Answer:
            call = Call(load, self.table, num_slots=20, num_gpus=4)
            return self.ranks[rank].answer(call, lambda: Ranks(rank, SIZE, self.group), lambda: OWN)

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


def test_a_store_that_fails_keeps_the_map(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path)

    class Broken:
        def compare_set(self, *_: Any) -> Any:
            raise RuntimeError("connection lost")

    cluster.group.store = Broken()  # type: ignore[assignment]
    (answer, *_) = cluster.window(WINDOWS[0])
    assert answer.decided == "old map"
    assert "connection lost" in answer.reason
