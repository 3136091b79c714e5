"""``eplb verify``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

import eplb
from eplb.cli.options import (
    AsJson,
    Axes,
    CountedUnder,
    Key,
    LoadOptions,
    LoadsPaths,
    ModelConfig,
    NumExperts,
    NumLayers,
    Trust,
    Weights,
    WrittenBy,
)
from eplb.cli.output import say
from eplb.engines import HiddenLayers
from eplb.load_files import FileLoads


def verify_command(
    plan: Annotated[str, typer.Argument(metavar="PLAN", help="A plan file, .json or .npz.")],
    loads: LoadsPaths,
    *,
    key: Key = None,
    written_by: WrittenBy = None,
    axes: Axes = None,
    num_layers: NumLayers = None,
    num_experts: NumExperts = None,
    placement: CountedUnder = None,
    weights: Weights = None,
    config: ModelConfig = None,
    trust_loads: Trust = False,
    as_json: AsJson = False,
) -> None:
    """Check a plan file against the loads that it is for."""
    reading = LoadOptions(
        key, written_by, axes, num_layers, num_experts, config, placement, weights, trust_loads
    )
    try:
        read = eplb.load_plan(plan)
        given = reading.read(loads)
        message = _verified(read, given)
    except eplb.VerificationError as error:
        if as_json:
            place = {name: getattr(error, name) for name in ("layer", "slot", "expert")}
            say(json.dumps({"verified": False, "message": str(error), **place}))
        raise
    if as_json:
        checked = "certificate" if read.certified else "structure"
        say(json.dumps({"verified": True, "checked": checked, "message": message}))
        return
    say(message)


def _verified(plan: eplb.Plan, given: FileLoads) -> str:
    """The line of ``eplb.verify``; an error also names the hidden layer, if the loads do."""
    try:
        return eplb.verify(plan, given.loads)
    except eplb.VerificationError as error:
        hidden = "" if given.layers is None else HiddenLayers(given.layers).place(error.layer)
        if not hidden:
            raise
        raise error.within(also=hidden) from error
