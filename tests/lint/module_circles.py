"""Fails if modules of the core import each other in a circle: file by file and folder by folder.

python tests/lint/module_circles.py [rust_core/src]
"""

from __future__ import annotations

import re
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

Module = tuple[str, ...]
Graph = dict[Module, set[Module]]


def module_of(file: Path, source: Path) -> Module:
    """`cost/mod.rs` is `cost`."""
    parts = file.relative_to(source).with_suffix("").parts
    return parts[:-1] if parts[-1] in ("mod", "lib") else parts


def imports(text: str) -> Iterator[Module]:
    """Paths of `use` declarations, and other paths from the crate or the parent on."""
    text = re.sub(r"#\[cfg\(test\)\]\s*(#\[[^]]*\]\s*)*mod \w+ \{.*", "", text, flags=re.DOTALL)
    text = re.sub(r"//.*", "", text)
    for tree in re.findall(r"\buse ([^;]+);", text):
        yield from paths(re.sub(r"\s+", "", re.sub(r" as \w+", "", tree)))
    for path in re.findall(r"\b(?:crate|super)(?:::\w+)+", text):
        yield tuple(path.split("::"))


def paths(tree: str) -> Iterator[Module]:
    """`a::{b,c::d}` as `a::b` and `a::c::d`."""
    head, brace, rest = tree.partition("{")
    if not brace:
        yield tuple(head.split("::"))
        return
    depth, start, body = 0, 0, rest[:-1]
    for at, character in enumerate(f"{body},"):
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            if body[start:at]:
                yield from paths(head + body[start:at])
            start = at + 1


def graph_of(source: Path) -> Graph:
    """Module -> the modules that it imports; tests are left out."""
    files = {module_of(f, source): f for f in source.rglob("*.rs") if f.stem != "tests"}
    graph: Graph = {module: set() for module in files if module}
    for module in graph:
        text = files[module].read_text()
        children = set(re.findall(r"^(?:pub(?:\(\w+\))? )?mod (\w+);", text, re.MULTILINE))
        for path in imports(text):
            match path[0]:
                case "crate":
                    wanted = path[1:]
                case "super":
                    wanted = (*module[:-1], *path[1:])
                case "self":
                    wanted = (*module, *path[1:])
                case first if first in children:
                    wanted = (*module, *path)
                case _:
                    continue
            while wanted and wanted not in graph:
                wanted = wanted[:-1]
            if wanted and wanted != module:
                graph[module].add(wanted)
    return graph


def main() -> int:
    """Look for circles."""
    source = Path(sys.argv[1] if len(sys.argv) > 1 else "rust_core/src")
    files = graph_of(source)
    folders: Graph = {}
    for module, used in files.items():
        others = {other[:1] for other in used} - {module[:1]}
        folders.setdefault(module[:1], set()).update(others)
    for graph in (files, folders):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            print("circle of modules:", " -> ".join("::".join(module) for module in error.args[1]))
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
