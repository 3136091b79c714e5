"""Runs all tests, Rust's and Python's, and ends with how many passed: what `make test` does."""

from __future__ import annotations

import re
import subprocess
import sys

COMMANDS = [
    ["cargo", "test", "--package", "eplb-core", "--locked", "--quiet", "--no-fail-fast"],
    # Optimised builds must give the same answers as debug builds: the same pinned digests.
    [
        "cargo",
        "test",
        "--package",
        "eplb-core",
        "--locked",
        "--quiet",
        "--no-fail-fast",
        "--profile=release-tests",
    ],
    [sys.executable, "-m", "pytest", "--quiet", "--numprocesses=auto", "--maxprocesses=8", "tests"],
]


def run(command: list[str]) -> tuple[int, int, int]:
    """Exit code, passed and failed tests of a command whose output is shown as it comes."""
    passed = failed = 0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout or ():
            sys.stdout.write(line)
            sys.stdout.flush()
            if re.match(r"test result:|(=+ )?\d+ (passed|failed).* in [\d.]+s", line):
                passed += sum(map(int, re.findall(r"(\d+) passed", line)))
                failed += sum(map(int, re.findall(r"(\d+) (?:failed|errors?)\b", line)))
    return process.returncode, passed, failed


def main() -> int:
    """Run every command, whatever the others gave."""
    results = [run(command) for command in COMMANDS]
    for command, (code, passed, _) in zip(COMMANDS, results, strict=True):
        if code == 0 and passed == 0:
            print(f"no test ran: {' '.join(command)}")
    passed = sum(result[1] for result in results)
    failed = sum(result[2] for result in results)
    print(f"{passed} passed, {failed} failed")
    return int(any(code or not ran for code, ran, _ in results))


if __name__ == "__main__":
    sys.exit(main())
