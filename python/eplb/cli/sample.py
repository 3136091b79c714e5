"""``eplb sample``."""

from __future__ import annotations

import io
import json
import sys
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer

import eplb
from eplb.cli.options import number
from eplb.cli.output import say
from eplb.sampling import DOMAINS, DRIFTS, PRESETS, sample
from eplb.storage.atomic import write_whole

ENDINGS = (".npy", ".npz", ".csv", ".json")


def sample_command(
    *,
    model: Annotated[
        str, typer.Option("--model", metavar="NAME", help=f"One of: {', '.join(PRESETS)}.")
    ] = "deepseek-v3",
    seed: Annotated[int, number("--seed", "The same seed gives the same loads everywhere.")] = 0,
    layers: Annotated[int | None, number("--layers", "MoE layers, instead of the model's.")] = None,
    experts: Annotated[int | None, number("--experts", "Experts, instead of the model's.")] = None,
    top_k: Annotated[
        int | None,
        number("--top-k", "Experts per token; by default at most a quarter of them."),
    ] = None,
    tokens: Annotated[int, number("--tokens", "Tokens of a window.")] = 100_000,
    windows: Annotated[int | None, number("--windows", "Number of windows to draw.")] = None,
    drift: Annotated[
        str | None,
        typer.Option(
            "--drift",
            metavar="NAME",
            help=f"How the mix of domains of traffic changes from window to window: {', '.join(DRIFTS)}.",
        ),
    ] = None,
    domains: Annotated[
        int | None,
        number("--domains", f"Domains of traffic: by default 1, or {DOMAINS} with --drift."),
    ] = None,
    out: Annotated[
        str | None,
        typer.Option("--out", "-o", metavar="FILE", help=f"File to write: {', '.join(ENDINGS)}."),
    ] = None,
) -> None:
    """Draw synthetic loads, as skewed as a real model's.

    Without --out they are printed, as CSV.
    """
    where = None if out is None else Path(out)
    if where is not None and where.suffix not in ENDINGS:
        raise eplb.EplbError(
            f"{where.name or str(where)!r} is not a file name for loads; expected an ending "
            f"{', '.join(ENDINGS)}"
        )
    if where is None and sys.stdout is not None and sys.stdout.isatty():
        raise eplb.EplbError(
            "loads are not printed on a terminal", hint=["give --out FILE, or pipe them"]
        )
    drawn = sample(
        model,
        seed=seed,
        layers=layers,
        experts=experts,
        top_k=top_k,
        tokens=tokens,
        windows=windows,
        domains=domains,
        drift=drift,
    )
    kind = ".csv" if where is None else where.suffix
    if kind == ".csv" and drawn.ndim == 3:
        raise eplb.EplbError(
            "CSV has only one window", hint=["leave out --windows, or give --out FILE.npy"]
        )
    if where is None:
        say(_csv(drawn))
        return
    write_whole(where, _content(drawn, kind))
    shape = " x ".join(map(str, drawn.shape))
    names = "layers x experts" if drawn.ndim == 2 else "windows x layers x experts"
    drifting = "" if drift is None else f"; {domains or DOMAINS} domains, drift {drift}"
    say(f"{shape} loads ({names}) of {PRESETS[model].description}{drifting}\nwritten to {out}")


def _csv(loads: Any) -> str:
    return "\n".join(",".join(map(str, row)) for row in loads.tolist())


def _content(loads: Any, kind: str) -> bytes:
    stream = io.BytesIO()
    if kind == ".npy":
        np.save(stream, loads)
    elif kind == ".npz":
        np.savez_compressed(stream, load=loads)
    elif kind == ".csv":
        stream.write((_csv(loads) + "\n").encode())
    else:
        stream.write((json.dumps(loads.tolist()) + "\n").encode())
    return stream.getvalue()
