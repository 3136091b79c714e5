"""Fails if a module of the package imports a private name, such as `_x`, of another one.

Ruff's SLF001 sees `module._x`; `from module import _x` within one package no rule of ruff's sees.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

#: The compiled core.
ALLOWED = {"_core"}


def private_imports(file: Path) -> list[str]:
    """`file:line: name` of each."""
    return [
        f"{file}:{node.lineno}: {alias.name}"
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ImportFrom) and node.module != "__future__"
        for alias in node.names
        if re.match(r"_(?!_)", alias.name) and alias.name not in ALLOWED
    ]


def main() -> int:
    """Look at every file."""
    found = [name for file in Path("python/eplb").rglob("*.py") for name in private_imports(file)]
    print("\n".join(f"private name imported: {name}" for name in found), end="\n" if found else "")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main())
