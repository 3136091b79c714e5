"""The record of mutants: each survivor has a reason, and enough were caught."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

from counts import COUNTS

FOLDER = Path(__file__).parent / "mutants"


def load_run() -> Any:
    """`mutants/run.py`, whose name says little among all tests."""
    spec = importlib.util.spec_from_file_location("mutants_run", FOLDER / "run.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


RUN = load_run()
REASONS = json.loads(RUN.REASONS.read_text())


def test_every_survivor_has_a_reason() -> None:
    assert RUN.unexplained(RUN.record(), REASONS) == []


def test_at_least_95_percent_of_viable_mutants_are_caught() -> None:
    known = RUN.record()
    caught = sum(shard["caught"] for shard in known.values())
    survived = sum(len(shard["survived"]) for shard in known.values())
    assert caught >= 200
    assert 20 * survived <= caught + survived
    COUNTS[RUN.score(known)] = len(known)


def test_the_record_is_of_files_that_are_there() -> None:
    assert set(RUN.record()) <= set(RUN.names())
    assert set(RUN.CLOSEST) <= set(RUN.names())
    assert len(RUN.names()) >= 28


def test_control_a_survivor_without_a_reason_is_named() -> None:
    planted = {"pack.rs": {"survived": ["rust_core/src/pack.rs:3:7: replace f -> usize with 0"]}}
    name = "rust_core/src/pack.rs: replace f -> usize with 0"
    assert RUN.unexplained(planted, {}) == [name]
    assert RUN.unexplained(planted, {name: ""}) == [name]
    assert RUN.unexplained(planted, {name: "equivalent: nothing calls it"}) == []
