"""The benchmark: its cases, its records, and that wrong answers and rises do not pass."""

from __future__ import annotations

import json
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bench
import beside_rust
import engine_planners
import growth
import instructions
import main_thread
import numpy as np
import peak_memory
import peers
import plan_times
import plugin_times
import pytest
import records
import two_threads
import verify_times
from answers import Answer, WrongAnswerError, check
from cases import Case, Goal, Sizes, layers_of, read_cases
from planners import PLANNERS
from report import verdict

if TYPE_CHECKING:
    from cases import Loads

CASES = {case.name: case for case in read_cases()}
SMALL = Sizes(layers=3, experts=16, slots=24, gpus=4)
LOAD = layers_of("lognormal 1", SMALL.layers, SMALL.experts, seed=1)


def small(measure: str, planner: str = "eplb minimax", **more: Any) -> Case:
    return Case("small", measure, planner, SMALL, ("lognormal 1",), **more)


# --- cases, records -------------------------------------------------------------------------------


def test_every_case_is_measured() -> None:
    for case in read_cases():
        assert case.measure in {*bench.MEASURES, "peers"}
        assert case.goals or case.shown


def test_a_record_is_a_line(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(records, "FOLDER", tmp_path)
    monkeypatch.setattr(records, "commit", lambda: "abc")
    for ms in (1.0, 2.0):
        records.append("speed", {"CPU": "one"}, {"case": {"ms": ms}})
    lines = (tmp_path / "speed.jsonl").read_text().splitlines()
    assert [json.loads(line)["cases"]["case"]["ms"] for line in lines] == [1, 2]


def test_a_busy_machine_records_nothing(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench, "machine", lambda: {"load average before": "1.0"})
    monkeypatch.setattr(bench, "append", lambda *_: pytest.fail("recorded"))
    assert bench.main(["--record"]) == 1
    assert capsys.readouterr().out == "not measured: load average 1.0: record when it is below 1\n"


def test_cases_are_read_with_care() -> None:
    text = """
        [families]
        one = ["lognormal 1"]
        [[case]]
        name = "x"
        measure = "plan"
        planner = "eplb deepseek"
        sizes = { layers = 1, experts = 2, slots = 2, gpus = 1 }
        families = "one"
        goals = [{ figure = "ms", at_most = 1 }]
    """
    (case,) = read_cases(text)
    assert case.goals == (Goal("ms", at_most=1),)
    with pytest.raises(TypeError, match="effort"):
        read_cases(text + 'effort = "best"')
    for wrong in ("", ", at_most = 1, at_least = 1"):
        with pytest.raises(ValueError, match="a goal is at_most or at_least"):
            read_cases(text.replace(", at_most = 1", wrong))


@pytest.mark.parametrize(
    ("goal", "figure", "told"),
    [
        (Goal("ms", at_most=2), 2, "reached"),
        (Goal("ms", at_most=2), 3, "missed by a factor of 1.5"),
        (Goal("times", at_least=160), 161, "reached"),
        (Goal("times", at_least=160), 40, "missed by a factor of 4"),
    ],
)
def test_verdicts(goal: Goal, figure: float, told: str) -> None:
    assert verdict(goal, {goal.figure: figure}) == told


# --- wrong answers --------------------------------------------------------------------------------


def moved(answer: Answer) -> Answer:
    """Two slots exchanged, between the first and the last GPU: a plan, but another one."""
    slots = answer.phy2log.copy()
    slots[:, [0, -1]] = slots[:, [-1, 0]]
    return Answer(slots)


def forgotten(answer: Answer) -> Answer:
    """No slot holds expert 3."""
    return Answer(np.where(answer.phy2log == 3, 4, answer.phy2log))


def mistaken(answer: Answer) -> Answer:
    """Ranks that all are 0."""
    return replace(answer, rank=np.zeros_like(answer.phy2log))


def trivial(answer: Answer) -> Answer:
    """No look at the loads."""
    return Answer(np.tile(np.arange(SMALL.slots) % SMALL.experts, (len(answer.phy2log), 1)))


@pytest.mark.parametrize("planner", PLANNERS)
def test_right_answers_pass(planner: str) -> None:
    for sizes in (SMALL, replace(SMALL, groups=4, nodes=2)):
        plan_times.measure(replace(small("plan", planner), sizes=sizes), rounds=1)


@pytest.mark.parametrize("planner", ["eplb deepseek", "eplb adaptive", "eplb minimax", "numpy"])
@pytest.mark.parametrize("wrong", [moved, forgotten, mistaken, trivial])
def test_wrong_answers_do_not_pass(planner: str, wrong: Any) -> None:
    if wrong is moved and planner == "eplb minimax":
        pytest.skip("minimax promises no certain plan")
    given = PLANNERS[planner](LOAD, SMALL)
    check(planner, given, LOAD, SMALL)
    with pytest.raises(WrongAnswerError, match=planner):
        check(planner, wrong(given), LOAD, SMALL)


def test_a_wrong_answer_fails_the_bench(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def wrong(load: Loads, sizes: Sizes) -> Answer:
        return moved(Answer(PLANNERS["numpy"](load, sizes).phy2log))

    case = small("plan", "eplb deepseek")
    monkeypatch.setattr(bench, "read_cases", lambda: [case])
    monkeypatch.setattr(bench, "case_lines", lambda *_: [])
    assert bench.main([]) == 0
    monkeypatch.setitem(PLANNERS, "eplb deepseek", wrong)
    assert bench.main([]) == 1
    assert "WRONG ANSWER: eplb deepseek" in capsys.readouterr().out


def test_another_answer_in_a_later_call_does_not_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def fickle(load: Loads, sizes: Sizes) -> Any:
        calls.append(1)
        return PLANNERS["eplb deepseek" if len(calls) > 1 else "eplb minimax"](load, sizes)

    monkeypatch.setitem(PLANNERS, "eplb minimax, fickle", fickle)
    with pytest.raises(WrongAnswerError, match="not the same plan each time"):
        plan_times.measure(small("plan", "eplb minimax, fickle"), rounds=1)


# --- measures -------------------------------------------------------------------------------------


def test_growth() -> None:
    measured = growth.measure(small("growth", ladder=(32, 64, 128)), rounds=1)
    assert list(measured.details) == [f"{p} slots on {p // 8} GPUs" for p in (32, 64, 128)]
    assert growth.exponent([1, 10, 100], [2, 200, 20000]) == pytest.approx(2)


def test_threads() -> None:
    case = small("threads")
    assert two_threads.measure(case, rounds=1, least_ms=0).figures
    with pytest.raises(ValueError, match="give it more layers"):
        two_threads.measure(case, rounds=1, least_ms=1e6)


def test_main_thread(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(main_thread, "ADDITIONS", 1000)
    monkeypatch.setattr(main_thread, "CALLS", 1)
    figures = main_thread.measure(small("main thread", beside=("numpy",)), rounds=1).figures
    assert len(figures) == 2 * 3


@pytest.mark.skipif(not peak_memory.STATUS.exists(), reason="the system tells no peak")
def test_verifying() -> None:
    assert verify_times.measure(small("verify"), rounds=1).figures["times planning"] > 0


@pytest.mark.parametrize("engine", plugin_times.ASK)
def test_plugin_times(engine: str) -> None:
    assert plugin_times.measure(small("plug-in", engine), windows=2).figures["ms"] > 0


def test_memory() -> None:
    case = CASES["memory, deepseek"]
    figures = peak_memory.measure(case, processes=1).figures
    sizes = case.sizes
    held = 16 * sizes.layers * (sizes.slots + sizes.experts) / 1024
    assert figures["KiB of loads and answer"] == pytest.approx(held)


def test_rust_gives_the_same_plans() -> None:
    for planner in ("eplb deepseek", "eplb minimax fast"):
        # Built with the tests of Rust already.
        measured = beside_rust.measure(small("rust", planner), rounds=1, profile="release-tests")
        figures = measured.figures
        assert figures["ms from Rust"] > 0


# --- peers, instructions --------------------------------------------------------------------------


def test_peers_are_skipped_without_their_wheels(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setenv("EPLB_ENGINE_WHEELS", str(tmp_path))
    monkeypatch.setattr(engine_planners, "fetch", lambda *_: None)
    assert peers.main([]) == 0
    assert capsys.readouterr().out.startswith("skipped: ")


def test_peers_in_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_fetch(engine: str, _cache: Path) -> None:
        raise engine_planners.NoWheelError(engine)

    monkeypatch.setattr(engine_planners, "fetch", no_fetch)
    try:
        engines = {**engine_planners.vllm(), **engine_planners.sglang()}
    except engine_planners.NoWheelError:
        pytest.skip("no wheels of engines here: `make bench-peers` fetches them")
    for sizes in (SMALL, replace(SMALL, groups=4, nodes=2)):
        measured = peers.measure(replace(small("peers"), sizes=sizes), engines)
        assert len(measured.details) == 2 + 3


def test_a_rise_is_told() -> None:
    recorded = json.loads(instructions.COUNTS.read_text())
    counts: dict[str, int] = recorded["counts"]
    assert instructions.rises(counts, counts) == []
    name = next(iter(counts))
    a_little, much = ({**counts, name: int(counts[name] * factor)} for factor in (1.09, 1.12))
    assert instructions.rises(counts, a_little) == []
    (told,) = instructions.rises(counts, much)
    assert told.startswith(name)
    assert told.endswith("12% more than recorded")
    assert "record it" in instructions.rises(counts, {name: 1})[0]


def test_functions_of_a_profile_are_added_up() -> None:
    listing = """
123,470 (100.0%)  PROGRAM TOTALS
100,000 (81.0%)  /src/pack.rs:eplb_core::published::Packer::pack [/target/given]
 20,000 (16.2%)  /core/cmp.rs:eplb_core::published::Packer::pack
  2,470 ( 2.0%)  /core/quicksort.rs:core::slice::sort::unstable::quicksort::quicksort'2 [/target/given]
    600 ( 0.5%)  ./string/memset.S:__memset_avx2_unaligned_erms [/lib/libc.so.6]
    400 ( 0.3%)  /src/published.rs:eplb_core::published::Published<T>::plan_layer
"""
    found = instructions.by_function(listing)
    assert found == {
        "published::Packer::pack": 120_000,
        "sorting": 2_470,
        "memset": 600,
        "published::Published::plan_layer": 400,
    }
    # Of all that was counted, 123,470; what is below two percent is left out.
    assert instructions.shares(found) == {
        "published::Packer::pack": 120_000 / 123_470,
        "sorting": 2_470 / 123_470,
    }


@pytest.mark.parametrize(
    ("answer", "total", "counts"),
    [
        ('{"digest": "00"}', "100", {"pack": 100}),
        ("", "100", None),  # the program did not plan
        ('{"digest": "00"}', "101", None),  # a function is not in the listing
    ],
)
def test_counts_that_are_not_of_the_whole_plan_are_refused(
    answer: str, total: str, counts: dict[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    def run(command: list[str], **_: Any) -> subprocess.CompletedProcess[str]:
        if command[0] == "valgrind":
            (out,) = (part.partition("=")[2] for part in command if "out-file" in part)
            Path(out).write_text(f"summary: 7\ntotals: {total}\n")
            return subprocess.CompletedProcess(command, 0, stdout=answer, stderr="why")
        return subprocess.CompletedProcess(command, 0, stdout="100 (100%) pack.rs:pack [given]\n")

    monkeypatch.setattr("subprocess.run", run)
    arguments = (Path("given"), "eplb minimax", SMALL, "lognormal 1")
    if counts is None:
        with pytest.raises(ValueError, match="not all was counted: why"):
            instructions.instructions(*arguments)
    else:
        assert instructions.instructions(*arguments) == counts


@pytest.mark.parametrize(("arguments", "code"), [([], 0), (["--strict"], 1)])
def test_a_rise_is_an_error_if_that_is_asked_for(
    arguments: list[str],
    code: int,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    recorded = json.loads(instructions.COUNTS.read_text())
    monkeypatch.setattr("shutil.which", lambda _: "valgrind")
    monkeypatch.setattr(instructions, "versions", lambda: recorded["versions"])
    doubled = {name: {"f": 2 * count} for name, count in recorded["counts"].items()}
    monkeypatch.setattr(instructions, "counted", lambda: doubled)
    assert instructions.main(arguments) == code
    out = capsys.readouterr().out
    assert out.count("RISE: ") == len(doubled)
    assert ("advisory" in out) == (code == 0)
