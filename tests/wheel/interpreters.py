"""Finds a Python of a version: on the path, among those of pyenv, or the one that runs this."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

# A Python that cannot make virtual environments is of no use here.
_VERSION = "import sys, venv; print('%d.%d' % sys.version_info[:2])"


def find(version: str) -> tuple[str | None, list[str]]:
    """A Python of version "3.x", or None; and what was tried, in that order."""
    tried: list[str] = []
    for candidate in candidates(version):
        if candidate not in tried:
            tried.append(candidate)
            if version_of(candidate) == version:
                return candidate, tried
    return None, tried


def candidates(version: str) -> Iterator[str]:
    """Where a Python of this version may be. Windows names it ``python``, whatever its version."""
    for name in (f"python{version}", "python3", "python"):
        for folder in os.get_exec_path():
            found = shutil.which(name, path=folder)
            if found:
                yield found
    pyenv = shutil.which("pyenv")
    if pyenv:
        root = subprocess.run([pyenv, "root"], capture_output=True, text=True, check=False)
        if root.returncode == 0:
            yield from sorted(
                map(str, Path(root.stdout.strip()).glob(f"versions/{version}.*/bin/python"))
            )
    yield sys.executable


def version_of(python: str) -> str | None:
    """ "3.x" of a Python, or None if it does not run (as a shim of a version that is switched off)."""
    try:
        run = subprocess.run([python, "-c", _VERSION], capture_output=True, text=True, check=False)
    except OSError:
        return None
    return run.stdout.strip() if run.returncode == 0 else None
