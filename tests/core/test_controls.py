"""Controls: what must fail does fail. The dispatch watch has its own in batched/test_batched_trace.py."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from paths import ROOT

if TYPE_CHECKING:
    from pathlib import Path

#: Forbidden in the core, by `clippy.toml` and by the workspace's lints.
FORBIDDEN = {
    "std::collections::HashMap": "drop(std::collections::HashMap::<u8, u8>::new());",
    "std::time::Instant": "drop(std::time::Instant::now());",
    "std::env::var": 'drop(std::env::var("X"));',
    "floating-point arithmetic": "assert!(f64::from(1_u8) * 2.0 > 1.0);",
}


@pytest.mark.parametrize("what", ["nothing", *FORBIDDEN])
def test_clippy_toml_is_in_force(what: str, tmp_path: Path) -> None:
    lints = (ROOT / "Cargo.toml").read_text().partition("[workspace.lints.rust]")[2]
    (tmp_path / "Cargo.toml").write_text(
        '[package]\nname = "planted"\nversion = "0.0.0"\nedition = "2024"\n[workspace]\n'
        "[lints.rust]" + lints.partition("[profile")[0].replace("workspace.lints", "lints")
    )
    (tmp_path / "src").mkdir()
    (tmp_path / "src" / "lib.rs").write_text(
        f"//! Planted.\n\n/// F.\npub fn f() {{\n    {FORBIDDEN.get(what, '')}\n}}\n"
    )
    shutil.copy(ROOT / "clippy.toml", tmp_path)
    run = subprocess.run(
        ["cargo", "clippy", "--quiet", "--offline"],
        cwd=tmp_path,
        env=os.environ | {"CARGO_TARGET_DIR": str(tmp_path / "target")},
        capture_output=True,
        text=True,
    )
    assert (run.returncode == 0) is (what == "nothing"), run.stderr
    assert what == "nothing" or what in run.stderr


CREDULOUS = """
from eplb import _core
_core.verify = lambda *_: None
"""


def test_a_verifier_that_accepts_everything_fails_the_tests(tmp_path: Path) -> None:
    (tmp_path / "credulous.py").write_text(CREDULOUS)
    run = subprocess.run(
        [sys.executable, "-m", "pytest", "-p", "credulous", "tests/planning/test_verify.py"],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 1, run.stderr
    refused = re.findall(r"FAILED .*::test_every_corruption_of_every_entry_is_refused", run.stdout)
    assert len(refused) >= 3, run.stdout
