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
import verify

ROOT = Path(__file__).parent.parent

INNOCENT = "pub fn f(x: u64) -> u64 {\n    x + 1\n}\n"
PLANTED = {
    "HashMap": "pub fn f() -> usize {\n    std::collections::HashMap::<u8, u8>::new().len()\n}\n",
    "Instant": "pub fn f() {\n    let _ = std::time::Instant::now();\n}\n",
    "SystemTime": "pub fn f() {\n    let _ = std::time::SystemTime::now();\n}\n",
    "env::var": 'pub fn f() -> bool {\n    std::env::var("X").is_ok()\n}\n',
    "floating-point arithmetic": "pub fn f(x: f64) -> f64 {\n    x * 2.0\n}\n",
    "unsafe": "pub fn f(x: &[u8]) -> u8 {\n    unsafe { *x.as_ptr() }\n}\n",
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


@pytest.mark.parametrize("what", PLANTED)
def test_clippy_refuses(what: str, tmp_path: Path) -> None:
    run = clippy(tmp_path, PLANTED[what])
    assert run.returncode != 0
    assert what in run.stderr


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
