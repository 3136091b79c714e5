"""Builds a wheel and a source distribution: the first half of ``make wheel``.

python tests/wheel/build.py DIST, by a Python that has maturin and the dependency group ``wheel``.
Earlier wheels and source distributions of eplb in DIST are removed.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

# The C library that zig brings makes a wheel for systems as old as 2014; elsewhere the system's does.
OLD_LINUX = ["--zig", "--compatibility", "manylinux2014"] if sys.platform == "linux" else []

#: On two cores.
EXPECTED = "building takes about 2 minutes, checking about 3"


def main() -> int:
    """Build both and say how long it took; the output of what fails, and its exit code, or 0."""
    dist = Path(sys.argv[1])
    dist.mkdir(parents=True, exist_ok=True)
    for old in [*dist.glob("eplb-*.whl"), *dist.glob("eplb-*.tar.gz")]:
        old.unlink()
    build = ["build", "--release", "--locked", *OLD_LINUX, "--target-dir", "target/wheel"]
    steps = {"the wheel": build, "the source distribution": ["sdist"]}
    print(EXPECTED, flush=True)
    for name, arguments in steps.items():
        start = time.monotonic()
        command = [sys.executable, "-m", "maturin", *arguments, "--out", str(dist)]
        done = subprocess.run(
            command,
            env=environment(),
            check=False,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        if done.returncode != 0:
            print(f"{name} failed:\n{done.stdout}", file=sys.stderr)
            return done.returncode
        print(f"built {name} in {time.monotonic() - start:.0f} s", flush=True)
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
