"""The record of mutants: each survivor has a reason, and enough were caught."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest
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


def enough(known: dict[str, Any]) -> bool:
    """Whether 95 percent of viable mutants were caught, and there were some."""
    caught = sum(shard["caught"] for shard in known.values())
    survived = sum(len(shard["survived"]) for shard in known.values())
    return bool(caught >= 200 and 20 * survived <= caught + survived)


def test_at_least_95_percent_of_viable_mutants_are_caught() -> None:
    known = RUN.record()
    assert enough(RUN.current(known))
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


def test_control_too_few_caught_are_not_enough() -> None:
    assert enough({"pack.rs": {"caught": 950, "survived": ["m"] * 50}})
    assert not enough({"pack.rs": {"caught": 949, "survived": ["m"] * 51}})
    assert not enough({"pack.rs": {"caught": 199, "survived": []}})
    assert not enough({})


def test_control_a_record_of_a_file_that_has_changed_does_not_count() -> None:
    shard = {"digest": RUN.digest("share.rs"), "caught": 2, "survived": []}
    assert RUN.score({"share.rs": shard}).startswith("2 of 2 viable")
    assert RUN.done("share.rs", {"share.rs": shard}, {})
    changed = {"share.rs": {**shard, "digest": RUN.digest("pack.rs")}}
    assert RUN.score(changed).startswith("0 of 0 viable")
    assert not RUN.done("share.rs", changed, {})
    assert not RUN.done("share.rs", {}, {})


def test_control_a_survivor_of_changed_lines_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "mutants.out"
    folder.mkdir()
    planted = "rust_core/src/pack.rs:3:7: replace f -> usize with 0"
    (folder / "missed.txt").write_text(f"{planted}\n")
    assert RUN.survivors(tmp_path, {}) == [planted]
    assert (
        RUN.survivors(tmp_path, {"rust_core/src/pack.rs: replace f -> usize with 0": "why"}) == []
    )


def test_control_a_core_that_fails_is_not_mutated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no mutant builds, or every mutant is caught, and all seems well."""
    run = subprocess.CompletedProcess[str]([], 0)
    monkeypatch.setattr(RUN.subprocess, "run", lambda *_, **__: run)
    RUN.refuse_a_core_that_fails()
    run.returncode = 101
    with pytest.raises(SystemExit, match="does not pass its tests"):
        RUN.refuse_a_core_that_fails()
