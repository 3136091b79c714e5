"""The reference names every public name, parameter and default of the package, and no other."""

from __future__ import annotations

import inspect
import re
from functools import reduce
from typing import TYPE_CHECKING, Any

import eplb
import pytest
from eplb import engines, load_files, plots, sampling
from paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

PAGE = (ROOT / "docs" / "reference.md").read_text()
SPANS = set(re.findall(r"`([^`]+)`", PAGE))
#: Classes whose members are on the page.
CLASSES = {
    kind.__name__: kind
    for kind in (
        eplb.Advice,
        eplb.Plan,
        eplb.LoadHistory,
        eplb.Migration,
        eplb.Replay,
        eplb.Split,
        eplb.Transfers,
    )
}


def public_names() -> Iterator[str]:
    """Each public name as the page has it, a function or method with its parameters."""
    for name in eplb.__all__:
        value = getattr(eplb, name)
        if not inspect.ismodule(value):
            yield f"eplb.{name}{parameters(value)}"
    for module in (engines, load_files, plots, sampling):
        for name in module.__all__:
            yield f"{module.__name__}.{name}{parameters(getattr(module, name))}"
    for kind in CLASSES.values():
        for name in dir(kind):
            if not name.startswith("_"):
                yield f"{kind.__name__}.{name}{parameters(getattr(kind, name), of_class=True)}"


def parameters(value: Any, *, of_class: bool = False) -> str:
    """The parameters and defaults of a function, without types; nothing for other values."""
    if not inspect.isroutine(value):
        return ""
    signature = inspect.signature(value)
    names = [
        parameter.replace(annotation=inspect.Parameter.empty)
        for parameter in signature.parameters.values()
        if not (of_class and parameter.name == "self")
    ]
    plain = signature.replace(parameters=names, return_annotation=inspect.Signature.empty)
    return str(plain).replace("'", '"')


@pytest.mark.parametrize("name", [*public_names()])
def test_the_page_has_every_public_name(name: str) -> None:
    assert name in SPANS


def test_every_name_on_the_page_is_there() -> None:
    roots: dict[str, Any] = {"eplb": eplb, **CLASSES}
    pattern = rf"({'|'.join(roots)})(\.\w+)+"
    paths = {found[0] for span in SPANS if (found := re.match(pattern, span))}
    assert len(paths) > 90
    for path in paths:
        first, *rest = path.split(".")
        reduce(getattr, rest, roots[first])
