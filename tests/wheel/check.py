"""Checks the wheel and the source distribution in DIST: the second half of ``make wheel``.

python tests/wheel/check.py DIST [--every-python]

- the wheel's tag, against what auditwheel finds its library to need (on Linux);
- what both hold, and that they name no folder of the machine that built them;
- in bare virtual environments: what comes with eplb, and the smoke test. The wheel under each of
  ``PYTHONS`` that is here (all must be, with ``--every-python``) and once with the oldest
  dependencies that eplb allows, the source distribution under the Python that runs this.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

import bare
import interpreters
from distributions import check_source, check_wheel
from refused import RefusedError, require

if TYPE_CHECKING:
    from collections.abc import Iterable

PYTHONS = ("3.11", "3.12", "3.13")


def main(words: list[str] | None = None) -> int:
    """Check all, with a line for each; 1 if something is refused."""
    parser = argparse.ArgumentParser(description="Check the wheel and the source distribution.")
    parser.add_argument("dist", type=Path, help="the folder that holds them")
    parser.add_argument("--every-python", action="store_true", help=f"all of {', '.join(PYTHONS)}")
    arguments = parser.parse_args(words)
    start = time.monotonic()
    try:
        check(arguments.dist, every_python=arguments.every_python)
    except RefusedError as error:
        print(f"refused: {error}", file=sys.stderr)
        return 1
    print(f"checked in {time.monotonic() - start:.0f} s")
    return 0


def check(dist: Path, *, every_python: bool) -> None:
    """Check the one wheel and the one source distribution in ``dist``."""
    wheel, source = only(dist, "eplb-*.whl"), only(dist, "eplb-*.tar.gz")
    check_wheel(wheel, places())
    check_source(source, places())
    for path in (wheel, source):
        print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB, its files are right")
    pythons = found_pythons()
    missing = [version for version in PYTHONS if version not in pythons]
    require(pythons, f"no Python to try the wheel with: none of {', '.join(PYTHONS)} is here")
    require(not (every_python and missing), f"not tried under Python {', '.join(missing)}")
    for python in pythons.values():
        print(f"wheel: {tried(python, wheel)}")
    oldest = next(iter(pythons.values()))
    print(f"wheel, oldest dependencies: {tried(oldest, wheel, *bare.lowest(wheel))}")
    print(f"source distribution: {tried(sys.executable, source)}")
    print(f"the wheel was not tried under Python {', '.join(missing)}" if missing else "all tried")


def only(folder: Path, pattern: str) -> Path:
    """The one file of this name."""
    found = sorted(folder.glob(pattern))
    require(len(found) == 1, f"{folder} holds {len(found)} of {pattern}, 1 is wanted: make wheel")
    return found[0]


def places() -> Iterable[Path]:
    """Folders of this machine that nobody else should read of; one at the top says nothing."""
    home = Path.home()
    cargo = Path(os.environ.get("CARGO_HOME", home / ".cargo"))
    return [place for place in (home, cargo, Path.cwd()) if place != Path(place.anchor)]


def found_pythons() -> dict[str, str]:
    """The Pythons to try the wheel with, by version; says where each is, or what was tried."""
    found = {}
    for version in PYTHONS:
        python, tried_here = interpreters.find(version)
        if python:
            found[version] = python
        print(f"Python {version}: {python or 'NOT FOUND, tried ' + ', '.join(tried_here)}")
    return found


def tried(python: str, package: Path, *pins: str) -> str:
    """Install it in a bare environment and use it there; returns what was seen."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        inner = bare.make(python, folder / "environment")
        bare.install(inner, str(package.resolve()), *pins)
        report = bare.inspect(inner)
        company = bare.check_company(report)
        bare.check_refuses_a_stowaway(report)
        return f"{bare.smoke(inner, folder / 'empty')}; with {company}"


if __name__ == "__main__":
    sys.exit(main())
