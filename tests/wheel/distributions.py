"""What a wheel and a source distribution must be and hold, looked at without installing them."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING

from refused import require

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

#: The oldest system that the wheel promises, by ``sys.platform``.
PLATFORMS = {"linux": "manylinux_2_17_", "darwin": "macosx_", "win32": "win_"}
IN_BOTH = ("eplb/__init__.py", "eplb/py.typed", "eplb/_core.pyi", "eplb/cli/program.py", "LICENSE")
TO_BUILD = (
    *("README.md", "pyproject.toml", "Cargo.toml", "Cargo.lock"),
    *("python/src/lib.rs", "rust_core/src/lib.rs"),
)
IN_NEITHER = ("tests/loads/", "tests/golden/", "fuzz/", ".venv/", ".pyc")
MOST_BYTES = 5_000_000


def check_wheel(wheel: Path, places: Iterable[Path], platform: str = sys.platform) -> None:
    """Its tag, its library and its files."""
    require("-cp311-abi3-" in wheel.name, f"{wheel.name}: not for CPython 3.11 and all later ones")
    promised = PLATFORMS[platform]
    require(promised in wheel.name, f"{wheel.name}: not for {promised}*")
    files = read_zip(wheel)
    libraries = [name for name in files if name.endswith((".so", ".pyd", ".dylib", ".dll"))]
    require(len(libraries) == 1, f"{wheel.name}: holds the libraries {libraries}, 1 is wanted")
    check_files(wheel.name, files, IN_BOTH, places)
    if platform == "linux":
        check_audit(wheel.name, audit(wheel))


def check_source(source: Path, places: Iterable[Path]) -> None:
    """Its files: all that a build needs, and nothing built."""
    files = read_tar(source)
    libraries = [name for name in files if name.endswith((".so", ".pyd", ".dylib", ".dll"))]
    require(not libraries, f"{source.name}: holds the built {libraries}")
    check_files(source.name, files, (*IN_BOTH, *TO_BUILD), places)


def check_files(
    owner: str, files: dict[str, bytes], wanted: Iterable[str], places: Iterable[Path]
) -> None:
    """All that is wanted is there; no tests' data, and no path of the machine that built it."""
    for end in wanted:
        require(any(f"/{name}".endswith(f"/{end}") for name in files), f"{owner}: lacks {end}")
    for part in IN_NEITHER:
        held = [name for name in files if part in name]
        require(not held, f"{owner}: holds {held[:1]}")
    for place in places:
        forms = b"|".join(re.escape(form.encode()) for form in {str(place), place.as_posix()})
        for name, content in files.items():
            named = re.search(b"(" + forms + rb")(?![\w.-])", content)
            require(not named, f"{owner}: {name} names {place}, a folder of this machine")
    size = sum(map(len, files.values()))
    require(size <= MOST_BYTES, f"{owner}: {size} bytes unpacked, at most {MOST_BYTES} are right")


def check_audit(owner: str, found: dict[str, object]) -> None:
    """What auditwheel found the library to need is what the wheel's name says."""
    tag = str(found["overall_tag"])
    require(
        tag.startswith(PLATFORMS["linux"]), f"{owner}: its library needs {tag}, says auditwheel"
    )
    require(not found["external_libs"], f"{owner}: needs the libraries {found['external_libs']}")


def audit(wheel: Path) -> dict[str, object]:
    """The report of auditwheel."""
    command = [sys.executable, "-m", "auditwheel", "show", "--json", str(wheel)]
    report: dict[str, object] = json.loads(subprocess.check_output(command))
    return report


def read_zip(path: Path) -> dict[str, bytes]:
    """The files of a wheel, by name."""
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def read_tar(path: Path) -> dict[str, bytes]:
    """The files of a source distribution, by name."""
    with tarfile.open(path) as archive:
        streams = {member.name: archive.extractfile(member) for member in archive.getmembers()}
        return {name: stream.read() for name, stream in streams.items() if stream}
