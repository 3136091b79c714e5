"""One answer from builds for different processors, debug and release.

`make verify` builds them; the digests of debug and release builds are in `make test` as well
(`rust_core/tests/digests.rs`), and processes that flush subnormals (`test_determinism.py`).
"""

from __future__ import annotations

import os
import platform
import subprocess
from pathlib import Path

import problems
import pytest
from counts import COUNTS
from paths import ROOT

TARGET = ROOT / "build" / "builds"
PROCESSORS = ("x86-64", "x86-64-v3", "native")
PROFILES = ("dev", "release")
#: What a processor must have for x86-64-v3.
V3 = {"avx2", "bmi1", "bmi2", "f16c", "fma", "movbe"}


def flags() -> set[str]:
    """What this processor has, as Linux tells it."""
    path = Path("/proc/cpuinfo")
    lines = path.read_text().splitlines() if path.exists() else []
    return {flag for line in lines[:40] if line.startswith("flags") for flag in line.split()}


def battery(processor: str, profile: str) -> list[str]:
    """The answers of a build, line by line, after two lines that say which it is."""
    run = subprocess.run(
        [
            *("cargo", "run", "--quiet", "--locked", "--package=eplb-core", "--example=battery"),
            f"--profile={profile}",
        ],
        cwd=ROOT,
        env=os.environ
        | {
            "RUSTFLAGS": f"-C target-cpu={processor}",
            "CARGO_TARGET_DIR": str(TARGET / processor),
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout.splitlines()


def differences(answers: dict[str, list[str]]) -> list[str]:
    """The first line in which a build differs from the first build, of each that does."""
    (_, first), *others = answers.items()
    found = []
    for name, lines in others:
        pairs = list(zip(lines, first, strict=True))
        found += [f"{name}: {line}" for line, expected in pairs if line != expected][:1]
    return found


@pytest.mark.skipif(not problems.DEEP, reason="builds the core six times: make verify")
@pytest.mark.skipif(platform.machine() != "x86_64", reason="these are x86-64 processors")
@pytest.mark.skipif(not flags() >= V3, reason="this processor is no x86-64-v3")
def test_builds_agree() -> None:
    answers, said = {}, {}
    for processor in PROCESSORS:
        for profile in PROFILES:
            lines = battery(processor, profile)
            said[processor, profile] = tuple(lines[:2])
            answers[f"{processor}, {profile}"] = lines[2:]
    # They are different builds.
    assert said["x86-64", "dev"] == ("avx2 false", "debug true")
    assert said["x86-64", "release"] == ("avx2 false", "debug false")
    assert said["x86-64-v3", "release"] == ("avx2 true", "debug false")
    assert said["native", "release"][0] == "avx2 true"
    assert differences(answers) == []
    lines = answers["x86-64, dev"]
    assert len(lines) == 400
    assert sum("minimax" in line and "[" in line for line in lines) > 200
    COUNTS["answers of 6 builds that agree"] += len(lines)


def test_control_a_different_answer_is_seen() -> None:
    assert differences({"a": ["1", "2"], "b": ["1", "2"]}) == []
    assert differences({"a": ["1", "2"], "b": ["1", "3"], "c": ["0", "2"]}) == ["b: 3", "c: 0"]
    with pytest.raises(ValueError, match="zip"):
        differences({"a": ["1", "2"], "b": ["1"]})
