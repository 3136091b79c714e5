"""Bare virtual environments: a package is installed with what it asks for, and is tried there."""

from __future__ import annotations

import email
import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from refused import RefusedError, require

#: What eplb asks for; what these ask for in turn is theirs.
DEPENDENCIES = {"numpy", "rich", "typer"}
SMOKE = Path(__file__).with_name("smoke.py").resolve()

Report = dict[str, Any]


def make(python: str, folder: Path) -> str:
    """A virtual environment with nothing in it, not even pip; returns its Python."""
    run(python, "-m", "venv", "--without-pip", str(folder))
    return str(folder / ("Scripts" if os.name == "nt" else "bin") / "python")


def install(python: str, *requirements: str) -> None:
    """Install these, and what they ask for, with this Python's pip."""
    run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *requirements)


def inspect(python: str) -> Report:
    """What ``pip inspect`` says of an environment."""
    report: Report = json.loads(run(sys.executable, "-m", "pip", "--python", python, "inspect"))
    return report


def smoke(python: str, folder: Path) -> str:
    """Run the smoke test in an empty folder; returns the line that it prints."""
    folder.mkdir()
    return run(python, "-I", str(SMOKE), folder=folder).strip()


def check_company(report: Report) -> str:
    """eplb asks for numpy, rich and typer; these, what they need and nothing else is there.

    Returns the names, and the versions of those that eplb asks for.
    """
    installed = [each["metadata"] for each in report["installed"]]
    metadata: dict[str, Any] = {canonicalize_name(each["name"]): each for each in installed}
    environment = report["environment"] | {"extra": ""}

    def needs(name: str) -> set[str]:
        asked = map(Requirement, metadata.get(name, {}).get("requires_dist", []))
        return {
            canonicalize_name(each.name)
            for each in asked
            if each.marker is None or each.marker.evaluate(environment)
        }

    direct = needs("eplb")
    require(direct == DEPENDENCIES, f"eplb asks for {sorted(direct)}, not {sorted(DEPENDENCIES)}")
    needed, todo = set[str](), {"eplb"}
    while todo:
        name = todo.pop()
        needed.add(name)
        todo |= needs(name) - needed
    require(metadata.keys() >= needed, f"not installed: {sorted(needed - metadata.keys())}")
    require(metadata.keys() <= needed, f"nobody asked for {sorted(metadata.keys() - needed)}")
    versions = [f"{name} {metadata[name]['version']}" for name in sorted(direct)]
    theirs = sorted(needed - direct - {"eplb"})
    return f"{', '.join(versions)}, and what these need: {', '.join(theirs)}"


def check_refuses_a_stowaway(report: Report) -> None:
    """The check above is awake: one distribution more, and it refuses."""
    stowaway = {"metadata": {"name": "stowaway", "version": "1"}}
    try:
        check_company(report | {"installed": [*report["installed"], stowaway]})
    except RefusedError:
        return
    require(condition=False, why="a distribution that nobody asked for was not noticed")


def lowest(wheel: Path) -> list[str]:
    """The oldest releases that a wheel says it works with, as requirements."""
    with zipfile.ZipFile(wheel) as archive:
        (name,) = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        fields = email.message_from_bytes(archive.read(name))
    asked = [Requirement(text) for text in fields.get_all("Requires-Dist", [])]
    return [f"{each.name}{each.specifier}".replace(">=", "==") for each in asked if not each.marker]


def run(*command: str, folder: Path | None = None) -> str:
    """What a command printed; it must succeed. No setting of this Python reaches it."""
    clean = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=folder, env=clean
    )
    require(done.returncode == 0, f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
    return done.stdout
