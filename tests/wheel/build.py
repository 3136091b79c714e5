"""Builds a wheel and a source distribution: the first half of ``make wheel``.

python tests/wheel/build.py DIST, by a Python that has maturin and the dependency group ``wheel``.
Earlier wheels and source distributions of eplb in DIST are removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

# The C library that zig brings makes a wheel for systems as old as 2014; elsewhere the system's does.
OLD_LINUX = ["--zig", "--compatibility", "manylinux2014"] if sys.platform == "linux" else []


def main() -> int:
    """Build both; the exit code of what failed first, or 0."""
    dist = Path(sys.argv[1])
    dist.mkdir(parents=True, exist_ok=True)
    for old in [*dist.glob("eplb-*.whl"), *dist.glob("eplb-*.tar.gz")]:
        old.unlink()
    maturin = [sys.executable, "-m", "maturin"]
    build = [
        "build",
        "--release",
        "--locked",
        "--quiet",
        *OLD_LINUX,
        "--target-dir",
        "target/wheel",
    ]
    commands = [[*maturin, *build, "--out", str(dist)], [*maturin, "sdist", "--out", str(dist)]]
    for command in commands:
        code = subprocess.run(command, env=environment(), check=False).returncode
        if code != 0:
            return code
    return 0


def environment() -> dict[str, str]:
    """That of this process, with ziglang's Python first and flags that leave out where this ran."""
    places = [Path.home(), Path(os.environ.get("CARGO_HOME", Path.home() / ".cargo")), Path.cwd()]
    flags = [f"--remap-path-prefix={place}=." for place in places]
    path = [str(Path(sys.executable).parent), *os.get_exec_path()]
    # Encoded, as a path may have spaces.
    new = {"PATH": os.pathsep.join(path), "CARGO_ENCODED_RUSTFLAGS": "\x1f".join(flags)}
    return os.environ | {"PIP_QUIET": "1"} | new


if __name__ == "__main__":
    sys.exit(main())
