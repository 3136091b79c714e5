"""The record of mutants: each survivor has a reason, and enough were caught."""

from __future__ import annotations

import importlib.util
import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from counts import COUNTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

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
    assert RUN.unexplained(RUN.current(RUN.record()), REASONS) == []


def test_every_reason_is_of_a_survivor() -> None:
    known = RUN.current(RUN.record())
    survivors = RUN.unexplained(known, {})
    current = [name for name in REASONS if RUN.is_of(name, known)]
    assert sorted(current) == survivors


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
    planted = {"pack.rs": {"survived": ["rust_core/src/pack.rs:3:5: replace f -> usize with 0"]}}
    name = "rust_core/src/pack.rs: replace f -> usize with 0: crate::items::Item;"
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


def test_words_of_comments_make_no_other_file(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(RUN, "SOURCES", tmp_path)

    def digest(text: str) -> str:
        (tmp_path / "a.rs").write_text(text)
        return str(RUN.digest("a.rs"))

    same = {digest("//! One.\nfn f() {\n    // two\n}\n"), digest("/// A\nfn f() {\n  //\n}\n")}
    assert len(same) == 1
    # A line more moves the mutants below it, and other code is another file.
    for other in ("//! One.\n//! More.\nfn f() {\n    // two\n}\n", "//\nfn g() {\n//\n}\n"):
        assert digest(other) not in same


def test_control_a_survivor_of_changed_lines_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "mutants.out"
    folder.mkdir()
    planted = "rust_core/src/pack.rs:3:5: replace f -> usize with 0"
    (folder / "missed.txt").write_text(f"{planted}\n")
    assert RUN.survivors(tmp_path, {}) == [planted]
    # Of the same mutant elsewhere it says nothing.
    what = "rust_core/src/pack.rs: replace f -> usize with 0"
    reasons = {f"{what}: crate::tournament::Key;": "why"}
    assert RUN.survivors(tmp_path, reasons) == [planted]
    assert RUN.survivors(tmp_path, {f"{what}: crate::items::Item;": "why"}) == []


def test_control_a_core_that_fails_is_not_mutated(monkeypatch: pytest.MonkeyPatch) -> None:
    """Else no mutant builds, or every mutant is caught, and all seems well."""
    run = subprocess.CompletedProcess[str]([], 0)
    monkeypatch.setattr(RUN.subprocess, "run", lambda *_, **__: run)
    RUN.refuse_a_core_that_fails()
    run.returncode = 101
    with pytest.raises(SystemExit, match="does not pass its tests"):
        RUN.refuse_a_core_that_fails()


# --- the script, with a cargo that says what is planted -------------------------------------------

FILE = "share.rs"
THIRD_LINE = (RUN.SOURCES / FILE).read_text().splitlines()[2]


def mutant(name: str) -> str:
    """As cargo names it in its lists."""
    return f"rust_core/src/{FILE}:3:5: {name}"


def reason_name(name: str) -> str:
    """As `survivors.json` names it: the third line without `/// `."""
    return f"rust_core/src/{FILE}: {name}: {THIRD_LINE[4:]}"


class Cargo:
    """Stands for `cargo mutants`, run by run: each mutant that is left becomes what its run says."""

    def __init__(self, *runs: Mapping[str, Sequence[str]]) -> None:
        self.runs = list(runs)
        self.tests: list[list[str]] = []
        self.arguments: list[list[str]] = []
        self.core_was_tested = False

    def __call__(self, arguments: list[str], tests: list[str], out: Path) -> None:
        assert self.core_was_tested
        self.arguments.append(arguments)
        self.tests.append(tests)
        folder = out / "mutants.out"
        folder.mkdir(parents=True, exist_ok=True)
        earlier = [folder / f"{kind}.txt" for kind in ("previously_caught", "caught", "unviable")]
        settled = ""
        if "--iterate" in arguments:  # what is settled is not run again, and listed as one
            settled = "".join(path.read_text() for path in earlier if path.exists())
        earlier[0].write_text(settled)
        run = self.runs.pop(0)
        for kind in ("caught", "missed", "timeout", "unviable"):
            lines = [f"{mutant(name)}\n" for name in run.get(kind, ())]
            assert not set(lines) & set(settled.splitlines(keepends=True))
            (folder / f"{kind}.txt").write_text("".join(lines))

    def test_core(self) -> None:
        self.core_was_tested = True


def planted(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    *runs: Mapping[str, Sequence[str]],
    reasons: Mapping[str, str] | None = None,
) -> Cargo:
    """The script in a folder of its own, with such a cargo."""
    cargo = Cargo(*runs)
    monkeypatch.setattr(RUN, "cargo_mutants", cargo)
    monkeypatch.setattr(RUN, "refuse_a_core_that_fails", cargo.test_core)
    monkeypatch.setattr(RUN, "OUT", tmp_path / "out")
    monkeypatch.setattr(RUN, "RECORD", tmp_path / "results.json")
    monkeypatch.setattr(RUN, "REASONS", tmp_path / "survivors.json")
    (tmp_path / "survivors.json").write_text(json.dumps(dict(reasons or {})))
    return cargo


def run_script(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr("sys.argv", ["run.py", *arguments])
    return int(RUN.main())


#: Of seven mutants one does not build, and two are let live by all tests.
THREE_RUNS = (
    {"caught": ["a"], "unviable": ["b"], "missed": ["c", "d", "e", "f"], "timeout": ["g"]},
    {"caught": ["c"], "missed": ["d", "e", "f"]},
    {"caught": ["d"], "missed": ["e", "f"]},
)


def test_a_file_goes_through_three_sets_of_tests(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cargo = planted(monkeypatch, tmp_path, *THREE_RUNS)
    assert run_script(monkeypatch, FILE) == 1  # two survive without a reason
    assert cargo.tests == [RUN.CLOSEST[FILE], RUN.PLANNING, RUN.ALL]
    assert RUN.record() == {
        FILE: {
            "digest": RUN.digest(FILE),
            "caught": 4,
            "unviable": 1,
            "survived": [mutant("e"), mutant("f")],
        }
    }


def test_no_more_tests_are_run_for_survivors_that_have_a_reason(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    reasons = {reason_name(name): "equivalent" for name in "def"}
    cargo = planted(monkeypatch, tmp_path, *THREE_RUNS, reasons=reasons)
    assert run_script(monkeypatch, FILE) == 0
    assert cargo.tests == [RUN.CLOSEST[FILE], RUN.PLANNING]
    assert RUN.record()[FILE]["survived"] == [mutant(name) for name in "def"]


def test_a_file_whose_mutants_are_all_caught_is_done(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    cargo = planted(monkeypatch, tmp_path, {"caught": ["a", "c"]})
    assert run_script(monkeypatch, FILE) == 0
    assert RUN.record()[FILE]["caught"] == 2
    assert run_script(monkeypatch, FILE) == 0  # and is not run again: there is no second run
    assert len(cargo.tests) == 1


def test_survivors_without_a_reason_are_run_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """There may be new tests; the one that has a reason is left alone."""
    reasons = {reason_name("f"): "equivalent"}
    again = {"missed": ["e"]}
    cargo = planted(
        monkeypatch,
        tmp_path,
        *THREE_RUNS,
        again,
        again,
        again,
        again,
        {"caught": ["e"]},
        reasons=reasons,
    )
    assert run_script(monkeypatch, FILE) == 1
    assert run_script(monkeypatch, FILE) == 1
    assert RUN.record()[FILE]["survived"] == [mutant("e"), mutant("f")]
    assert run_script(monkeypatch, FILE) == 0
    assert RUN.record()[FILE]["survived"] == [mutant("f")]
    assert RUN.record()[FILE]["caught"] == 5
    assert [argument for argument in cargo.arguments[-1] if argument.startswith("--re=")] == [
        f"--re=^{RUN.re.escape(mutant('e'))}$"
    ]


def test_an_interrupted_run_goes_on(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    first, second, third = THREE_RUNS
    cargo = planted(monkeypatch, tmp_path, first)
    with pytest.raises(IndexError):  # cut off before the second set of tests
        run_script(monkeypatch, FILE)
    assert not RUN.record()
    cargo.runs = [{"missed": first["missed"]}, second, third]
    assert run_script(monkeypatch, FILE) == 1
    assert RUN.record()[FILE]["caught"] == 4
    assert RUN.record()[FILE]["unviable"] == 1


def test_changed_lines_that_no_test_holds_are_an_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def git(command: Sequence[str], **_: Any) -> subprocess.CompletedProcess[bytes]:
        return subprocess.CompletedProcess(
            command, 0, stdout=b"a diff" if command[1] == "diff" else b""
        )

    monkeypatch.setattr(RUN.subprocess, "run", git)
    planted(monkeypatch, tmp_path, {"caught": ["a"], "missed": ["e"]})
    assert run_script(monkeypatch, "--changed", "HEAD~1") == 1
    planted(monkeypatch, tmp_path, {"caught": ["a", "e"]})
    assert run_script(monkeypatch, "--changed", "HEAD~1") == 0
