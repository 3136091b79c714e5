"""The gates hold: each linter refuses a planted violation, and passes the same code without it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import run_all
import verify

ROOT = Path(__file__).parent.parent

INNOCENT = "pub fn f(x: u64) -> u64 {\n    x + 1\n}\n"
CLIPPY = tomllib.loads((ROOT / "clippy.toml").read_text())
#: A type or a function that clippy.toml names -> what is called of it.
CALLED = {
    "std::collections::HashMap": "::<u8, u8>::new()",
    "std::collections::HashSet": "::<u8>::new()",
    "std::hash::RandomState": "::new()",
    "std::time::Instant": "::now()",
    "std::time::SystemTime": "::now()",
    "std::env::var": '("X")',
    "std::env::var_os": '("X")',
    "std::env::vars": "()",
    "std::env::args": "()",
    "std::thread::available_parallelism": "()",
}
#: What is said -> what it is said of.
PLANTED = {
    **{
        f"`{name}`": f"pub fn f() {{\n    drop({name}{call});\n}}\n"
        for name, call in CALLED.items()
    },
    "floating-point arithmetic": "pub fn f(x: f64) -> f64 {\n    x * 2.0\n}\n",
    "unsafe": "pub fn f(x: &[u8]) -> u8 {\n    unsafe { *x.as_ptr() }\n}\n",
    "missing documentation": f"{INNOCENT}pub struct S;\n",
    "is never used": f"{INNOCENT}fn g() {{}}\n",
    "unreachable `pub`": f"{INNOCENT}mod m {{\n    pub fn g() {{}}\n}}\n",
    "clippy::needless_range_loop": (
        "pub fn f(x: &[u64]) -> u64 {\n    let mut sum = 0;\n    for i in 0..x.len() {\n"
        "        sum += x[i];\n    }\n    sum\n}\n"
    ),
    "clippy::needless_pass_by_value": "pub fn f(x: Vec<u64>) -> usize {\n    x.len()\n}\n",
}


def clippy(folder: Path, code: str) -> subprocess.CompletedProcess[str]:
    """Lint `code` with this workspace's lints, as a crate of the core's kind."""
    lints = (ROOT / "Cargo.toml").read_text().partition("[workspace.lints.rust]")
    manifest = lints[2].partition("[profile")[0].replace("workspace.lints", "lints")
    (folder / "src").mkdir()
    (folder / "Cargo.toml").write_text(
        '[package]\nname = "planted"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
        "[lints.rust]" + manifest
    )
    head = (ROOT / "rust_core" / "src" / "lib.rs").read_text()
    assert "#![forbid(unsafe_code)]" in head
    body = f"//! Planted.\n#![forbid(unsafe_code)]\n/// F.\n#[must_use]\n{code}"
    (folder / "src" / "lib.rs").write_text(body.replace("#[must_use]\n", "", "f() {" in code))
    shutil.copy(ROOT / "clippy.toml", folder)
    return subprocess.run(
        ["cargo", "clippy", "--quiet", "--offline"],
        cwd=folder,
        env=os.environ | {"CARGO_TARGET_DIR": str(folder / "target")},
        capture_output=True,
        text=True,
    )


def test_innocent_code_passes_clippy(tmp_path: Path) -> None:
    run = clippy(tmp_path, INNOCENT)
    assert run.returncode == 0, run.stderr


def test_each_name_in_clippy_toml_is_planted() -> None:
    named = [*CLIPPY["disallowed-types"], *CLIPPY["disallowed-methods"]]
    assert {entry["path"] for entry in named} == CALLED.keys()


@pytest.mark.parametrize("what", PLANTED)
def test_clippy_refuses(what: str, tmp_path: Path) -> None:
    run = clippy(tmp_path, PLANTED[what])
    assert run.returncode != 0
    assert what in run.stderr


#: What lints a file -> its command, the file's name, what it passes there, what it refuses.
LINTERS = {
    "ruff check": ("ruff check --config=pyproject.toml", "a.py", "X = 1\n", "import os\n"),
    "ruff format": ("ruff format --check --config=pyproject.toml", "a.py", "X = 1\n", "X  =  1\n"),
    "mypy": ("mypy", "a.py", "X: int = 1\n", 'X: int = "1"\n'),
    "mypy, strict": ("mypy", "a.py", "def f() -> None: ...\n", "def f(): ...\n"),
    "rustfmt": ("rustfmt --check --config-path=.", "a.rs", "fn f() {}\n", "fn f(){}\n"),
}


@pytest.mark.parametrize("name", LINTERS)
def test_linters_refuse_what_is_planted(name: str, tmp_path: Path) -> None:
    command, file, innocent, planted = LINTERS[name]
    program, *options = command.split()
    beside = Path(sys.executable).with_name(program)
    for code, expected in ((innocent, 0), (planted, 1)):
        # Beside a package nothing asks for one.
        (tmp_path / "__init__.py").write_text('"""Planted."""\n')
        (tmp_path / file).write_text(code if file == "a.rs" else f'"""Planted."""\n\n{code}')
        run = subprocess.run(
            [str(beside) if beside.exists() else program, *options, str(tmp_path / file)],
            cwd=ROOT,
            capture_output=True,
            text=True,
        )
        assert run.returncode == expected, run.stdout + run.stderr


def test_release_builds_check_overflow() -> None:
    profiles = tomllib.loads((ROOT / "Cargo.toml").read_text())["profile"]
    assert profiles["release"]["overflow-checks"] is True


def test_stubtest_refuses_a_false_stub(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "python" / "eplb", tmp_path / "eplb")
    stub = tmp_path / "eplb" / "_core.pyi"
    stub.write_text(stub.read_text().replace("def digest(self)", "def digests(self)"))
    run = subprocess.run(
        [sys.executable, "-m", "mypy.stubtest", "eplb._core"],
        cwd=tmp_path,
        env=os.environ
        | {"MYPYPATH": str(tmp_path), "PYTHONPATH": str(tmp_path)}
        | {"MYPY_CACHE_DIR": str(ROOT / ".mypy_cache")},
        capture_output=True,
        text=True,
    )
    assert run.returncode != 0
    assert "digests" in run.stdout


def test_make_verify_fails_where_too_little_was_compared() -> None:
    assert verify.shortfalls(verify.LEAST) == []
    assert len(verify.shortfalls({})) == len(verify.LEAST)
    little = verify.LEAST | {next(iter(verify.LEAST)): 999_999}
    assert verify.shortfalls(little) == [f"{next(iter(little))}: 999,999, fewer than 1,000,000"]


def test_make_verify_fails_where_nothing_was_counted(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(pytest, "main", lambda _: 0)
    monkeypatch.setattr(verify, "COUNTS", dict(verify.LEAST))
    assert verify.main() == 0
    monkeypatch.setattr(verify, "COUNTS", {})
    assert verify.main() == len(verify.LEAST)
    assert capsys.readouterr().out.count("fewer than") == len(verify.LEAST)
    monkeypatch.setattr(verify, "COUNTS", dict(verify.LEAST))
    monkeypatch.setattr(pytest, "main", lambda _: 1)
    assert verify.main() == 1


@pytest.mark.parametrize(
    ("printed", "code", "all_is_well"),
    [
        ("3 passed in 0.1s", 0, True),
        ("test result: ok. 3 passed; 0 failed; 0 ignored; finished in 0.00s", 0, True),
        ("1 failed, 2 passed in 0.1s", 1, False),
        ("no tests ran in 0.1s", 0, False),
    ],
)
def test_make_test_fails_where_a_command_does_or_no_test_ran(
    printed: str, code: int, monkeypatch: pytest.MonkeyPatch, *, all_is_well: bool
) -> None:
    def says(text: str, code: int) -> list[str]:
        return [sys.executable, "-c", f"import sys; print({text!r}); sys.exit({code})"]

    monkeypatch.setattr(run_all, "COMMANDS", [says("2 passed in 0.1s", 0), says(printed, code)])
    assert (run_all.main() == 0) is all_is_well


CREDULOUS = """
from eplb import _core
_core.verify = _core.verify_structure = lambda *_: None
"""


def test_a_verifier_that_accepts_everything_fails_the_suite(tmp_path: Path) -> None:
    (tmp_path / "credulous.py").write_text(CREDULOUS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "credulous", "tests/test_verify.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stderr
    refused = re.findall(r"FAILED .*::test_every_corruption_of_every_entry_is_refused", run.stdout)
    assert len(refused) >= 3, run.stdout
