"""Options that commands share, and what they become."""

from __future__ import annotations

import re
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

import eplb
from eplb.load_files import WRITERS
from eplb.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator


def _whole_number(text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no whole number") from None


def gap(text: str) -> float:
    """A gap as an option has it, 0.0005 or 0.05%; the planner tells whether it is one."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no number; 0.0005 and 0.05% would be") from None


def number(option: str, help_text: str) -> Any:
    """An option that takes a whole number of any size, so that its error is ours."""
    return typer.Option(option, metavar="N", parser=_whole_number, help=help_text)


def _layers(text: str) -> list[int]:
    """``"3-60"`` or ``"3,5,7-9"``, as numbers."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*([0-9]{1,9})\s*(?:-\s*([0-9]{1,9})\s*)?", part, re.ASCII)
        if found is None or (last := int(found[2] or found[1])) - int(found[1]) not in range(2**14):
            raise typer.BadParameter(f"{text!r} names no layers; 3-60 or 3,5,7-9 would")
        numbers.extend(range(int(found[1]), last + 1))
    return numbers


def _one_of(names: Collection[str]) -> Callable[[str], str]:
    """A parser that takes one of these names."""

    def name_of(text: str) -> str:
        if text not in names:
            raise typer.BadParameter(f"there is no {text!r}; there are {', '.join(names)}")
        return text

    return name_of


LoadsPath = Annotated[
    str,
    typer.Argument(
        metavar="LOADS",
        help="Loads [layers, experts] or [windows, layers, experts]: .npy, .npz, .csv, .json, .pt, "
        "an engine's dump, or - for standard input.",
    ),
]
WrittenBy = Annotated[
    str | None,
    typer.Option(
        "--from",
        metavar="WRITER",
        parser=_one_of(WRITERS),
        help=f"Who wrote the loads: {', '.join(WRITERS)}; by default recognised.",
    ),
]
Trust = Annotated[
    bool,
    typer.Option(
        "--trust-loads",
        help="Take the numbers as loads, even where they look like numbers of experts or layers.",
    ),
]
Gpus = Annotated[int, number("--gpus", "GPUs of all nodes.")]
Replicas = Annotated[
    int | None,
    number(
        "--replicas", "Slots of a layer, spares included; by default as many as fill the last GPU."
    ),
]
Redundant = Annotated[
    int | None,
    number("--redundant", "Spare slots of a layer, as SGLang and vLLM count; for --replicas."),
]
Groups = Annotated[int, number("--groups", "Groups of experts, each whole on a node.")]
Nodes = Annotated[int, number("--nodes", "Nodes.")]
Threads = Annotated[
    int, number("--threads", "Threads that plan side by side; no answer depends on how many.")
]
Key = Annotated[
    str | None,
    typer.Option("--key", metavar="NAME", help="Which of several tables to read."),
]
Metric = Annotated[
    str | None,
    typer.Option(
        "--metric",
        metavar="ENGINE",
        parser=_one_of(METRICS),
        help=f"Show balancedness as an engine's log has it: {', '.join(METRICS)}.",
    ),
]
Layers = Annotated[
    Any,
    typer.Option(
        "--layers",
        metavar="LIST",
        parser=_layers,
        help="Which hidden layers the MoE layers are, e.g. 3-60.",
    ),
]
HiddenLayers = Annotated[
    int | None, number("--num-hidden-layers", "Hidden layers of the model, dense ones too.")
]
Config = Annotated[
    str | None,
    typer.Option(
        "--config",
        metavar="FILE",
        help="The model's config.json: tells which hidden layers are MoE layers, and how many there are.",
    ),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON object, for machines.")]


@dataclass(frozen=True)
class Sizes:
    """The sizes as the options give them."""

    gpus: int
    replicas: int | None
    redundant: int | None
    groups: int
    nodes: int
    threads: int

    def arguments(self, experts: int) -> dict[str, Any]:
        """The arguments of :func:`eplb.plan` for loads of so many experts."""
        replicas = self.replicas
        if self.redundant is not None:
            if replicas is not None:
                raise eplb.EplbError("give --replicas or --redundant, not both")
            if self.redundant < 0:
                raise eplb.EplbError(f"--redundant is {self.redundant}; it must be at least 0")
            replicas = experts + self.redundant
        return {
            "num_gpus": self.gpus,
            "num_replicas": replicas,
            "num_groups": self.groups,
            "num_nodes": self.nodes,
            "threads": self.threads,
        }

    def notes(self) -> list[str]:
        """What of the sizes changes nothing."""
        if self.groups > 1 and self.nodes == 1:
            return [f"--groups {self.groups} changes nothing on one node: give --nodes too"]
        return []

    @contextmanager
    def named_in_errors(self, experts: int) -> Iterator[None]:
        """Names sizes in errors as they are named on the command line."""
        with words_of_options():
            try:
                yield
            except eplb.EplbError as error:
                if self.redundant is None or "num_replicas" not in str(error):
                    raise
                spares = f"{experts} experts and --redundant {self.redundant}"
                raise eplb.EplbError(f"{spares}: {error}") from error


_OPTIONS = {
    "num_gpus": "--gpus",
    "num_replicas": "--replicas",
    "num_groups": "--groups",
    "num_nodes": "--nodes",
    "num_hidden_layers": "--num-hidden-layers",
}


def in_words_of_options(text: str) -> str:
    """A message with arguments named as the options that they are on the command line."""
    text = re.sub(r"\bnum_\w+\b", lambda name: _OPTIONS.get(name[0], name[0]), text)
    text = re.sub(r"^(threads|seed|tokens|experts|windows)\b", r"--\1", text)
    text = re.sub(r"\btop_k\b", "--top-k", text)
    text = re.sub(r"^target_gap\b", "--target-gap", text)
    text = re.sub(r"^effort(?==)", "--effort", text)
    text = text.replace("give layers, or the model's config.json", "give --layers or --config")
    return re.sub(r"^layers(?= must| are)|(?<=leave out )layers", "--layers", text)


@contextmanager
def words_of_options(config: str | None = None) -> Iterator[None]:
    """Names arguments in errors as the options that they are on the command line.

    What is wrong within the file ``config`` keeps the words of that file.
    """
    try:
        yield
    except eplb.EplbError as error:
        if config is not None and str(error).startswith(f"{config}: "):
            raise
        text = in_words_of_options(str(error))
        if text == str(error):
            raise
        place = (error.layer, error.slot, error.expert)
        raise type(error)(text, *place) from error
