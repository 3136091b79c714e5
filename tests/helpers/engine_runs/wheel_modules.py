"""Modules of an engine, imported out of its wheel, and stand-ins for what they import of it.

Nothing of an engine is installed or copied: a finder answers ``import`` for the listed modules with
the source in the wheel, and for everything else of the engine only a stand-in answers.
"""

from __future__ import annotations

import sys
import zipfile
from importlib.abc import SourceLoader
from importlib.metadata import DistributionFinder, PathDistribution
from importlib.util import spec_from_loader
from types import ModuleType
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from importlib.machinery import ModuleSpec
    from pathlib import Path


class WheelLoader(SourceLoader):
    """Reads modules out of a wheel."""

    def __init__(self, wheel: Path, path: str) -> None:
        self._wheel, self._path = wheel, path

    def get_filename(self, fullname: str) -> str:
        del fullname
        return f"{self._wheel}/{self._path}"

    def get_data(self, path: str) -> bytes:
        if path != f"{self._wheel}/{self._path}":  # a cache of byte code, which there is not
            raise OSError(path)
        with zipfile.ZipFile(self._wheel) as archive:
            return archive.read(self._path)


class WheelFinder(DistributionFinder):
    """Finds the modules of a wheel whose names begin so."""

    def __init__(self, wheel: Path, released: Sequence[str]) -> None:
        self._wheel, self._released = wheel, tuple(released)
        with zipfile.ZipFile(wheel) as archive:
            self._files = frozenset(archive.namelist())

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        del path, target
        if not f"{fullname}.".startswith(tuple(f"{name}." for name in self._released)):
            return None
        inside = fullname.replace(".", "/")
        for file, is_package in ((f"{inside}/__init__.py", True), (f"{inside}.py", False)):
            if file in self._files:
                loader = WheelLoader(self._wheel, file)
                return spec_from_loader(fullname, loader, is_package=is_package)
        return None

    def find_distributions(
        self,
        context: DistributionFinder.Context = DistributionFinder.Context(),  # noqa: B008
    ) -> Iterator[PathDistribution]:
        """The release, for whoever asks which one it is."""
        name, version = self._wheel.name.split("-")[:2]
        if context.name in {None, name}:
            yield PathDistribution(zipfile.Path(self._wheel, f"{name}-{version}.dist-info/"))


def stand_in(name: str, **values: Any) -> ModuleType:
    """Lets ``import name`` find these values, and a package for each name above it."""
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        above, parent = ".".join(parts[:end]), ".".join(parts[: end - 1])
        if above not in sys.modules:
            module = ModuleType(above)
            module.__path__ = []  # so that it may have modules below
            sys.modules[above] = module
        if parent:
            setattr(sys.modules[parent], parts[end - 1], sys.modules[above])
    for key, value in values.items():
        setattr(sys.modules[name], key, value)
    return sys.modules[name]


def serve(wheel: Path, released: Sequence[str]) -> None:
    """Imports these modules, and all below them, out of a wheel from now on."""
    sys.meta_path.insert(0, WheelFinder(wheel, released))
