"""Synthetic loads, as skewed as real models' were measured to be; the same on every machine."""

from __future__ import annotations

import operator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from eplb import _core
from eplb.errors import EplbError, Parameter
from eplb.inputs.names import unknown
from eplb.inputs.sizes import real_number, whole_number
from eplb.text import short

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["DOMAINS", "DRIFTS", "FAMILIES", "PRESETS", "Preset", "family", "sample"]


@dataclass(frozen=True)
class Preset:
    """A model's shape and how skewed its loads are; its name is its key in ``PRESETS``."""

    #: MoE layers, without dense ones.
    layers: int
    #: Routed logical experts of a layer.
    experts: int
    #: Experts per token.
    top_k: int
    #: Standard deviation of the log load over the experts of a layer, outliers aside.
    spread: float
    #: Fewest and most outliers of a layer.
    outliers: tuple[int, int]
    #: The model and its traffic, in a line.
    description: str
    #: Which figures were measured, and on what.
    source: str


#: The models by name.
PRESETS: dict[str, Preset] = {row[0]: Preset(*row[1:]) for row in _core.models()}

#: The names of ways in which traffic drifts, for :func:`sample`.
DRIFTS: tuple[str, ...] = tuple(_core.drifts())

#: Domains of a drift, if their number is not said: as many as were measured, for planning over time.
DOMAINS = 10

#: The names of seven textbook distributions, for :func:`family`.
FAMILIES: tuple[str, ...] = tuple(_core.families())


def sample(
    model: str = "deepseek-v3",
    *,
    seed: int = 0,
    layers: int | None = None,
    experts: int | None = None,
    top_k: int | None = None,
    tokens: int = 100_000,
    spread: float | None = None,
    outliers: int | None = None,
    windows: int | None = None,
    domains: int | None = None,
    drift: str | None = None,
) -> npt.NDArray[np.int64]:
    """Random loads like those of a model: int64 ``[layers, experts]``.

    With ``windows`` it is ``[windows, layers, experts]``. A load is a count of assignments: a layer
    has ``tokens * top_k`` of them in each window, an expert at most ``tokens``. Log loads are
    normal; outliers, if any, carry 4 to 13 times the mean; counts are multinomial on top. Log loads
    of two domains of traffic correlate at 0.30, those of two windows of a domain at 0.97.

    With a ``drift`` the mix of domains changes from window to window, the same in all layers:

    - ``"walk"``: slowly. The logarithms of the domains' shares walk: a step keeps 98 % and adds 0.3
      of a normal number.
    - ``"blocks"``: suddenly. Six windows of one domain, then of the next; all come back in turn.
    - ``"daynight"``: from a mix of the night to one of the day and back, in 24 windows.
    - ``"redraw"``: each window has a mix of its own, most of it one domain or two (Dirichlet, 0.2).

    The result depends on the arguments alone, not on the machine. A layer is the same whatever the
    number of layers, and so is a window of the first domain, or of a drift, whatever the number of
    windows. It takes time in proportion to the number of loads: about 10 ms for a window of
    DeepSeek-V3.

    Args:
        model: A name in ``PRESETS``, for the arguments that are None.
        seed: From 0 to 2**64 - 1; each gives another sample.
        layers: MoE layers.
        experts: Logical experts of a layer, at most 16,384.
        top_k: Experts per token; by default the model's, but at most a quarter of ``experts`` if
            these are given.
        tokens: Tokens of a window; ``tokens * top_k`` is below 2**32.
        spread: Standard deviation of the log load over the experts of a layer, outliers aside:
            0 to 4.
        outliers: Outliers of each layer, at most half of the experts; by default as many as the
            model has.
        windows: Windows; None for one window without an axis of its own.
        domains: Domains of traffic. Without a drift they follow one another, in equal shares of the
            windows; by default there is one. With a drift there are 2 to 64, by default 10.
        drift: One of ``DRIFTS``; None for none.

    Raises:
        EplbError: An argument is out of range; the message names it and what is accepted.
        TypeError: An argument is not a number, or ``model`` is not a string.

    >>> sample("olmoe-1b-7b", layers=2, experts=8, top_k=2, tokens=100).tolist()
    [[30, 23, 11, 35, 35, 26, 7, 33], [16, 15, 15, 52, 34, 20, 27, 21]]
    """
    if drift is not None:
        _checked_name("drift", drift, DRIFTS)
        if windows is None:
            raise EplbError(
                "one window has no drift", hint=["give the number of ", Parameter("windows")]
            )
    preset = PRESETS[_checked_name("model", model, PRESETS)]
    given = _optional("experts", experts)
    most_outliers = (preset.experts if given is None else given) // 2
    loads = _core.sample(
        model,
        _from_zero("seed", seed, 2**64 - 1),
        _optional("layers", layers),
        given,
        _optional("top_k", top_k),
        whole_number("tokens", tokens, EplbError),
        None if spread is None else real_number("spread", spread),
        None if outliers is None else _from_zero("outliers", outliers, most_outliers),
        1 if windows is None else whole_number("windows", windows, EplbError),
        (1 if drift is None else DOMAINS)
        if domains is None
        else whole_number("domains", domains, EplbError),
        drift,
    )
    return loads[0] if windows is None else loads


def family(name: str, layers: int, experts: int, seed: int = 1) -> npt.NDArray[np.int64]:
    """Loads of a textbook distribution, whatever the model: int64 ``[layers, experts]``.

    Log-normal, Zipf and Dirichlet weights, scaled to a million tokens a layer, with noise of the
    deviation of a Poisson number. The result depends on the arguments alone, not on the machine.

    Args:
        name: One of ``FAMILIES``, such as ``"zipf 1.2"``.
        layers: Layers, at most 64; a layer is the same whatever their number.
        experts: Logical experts of a layer, at most 16,384.
        seed: From 0 to 2**38 - 1; each gives other loads.

    Raises:
        EplbError: An argument is out of range; the message names it and what is accepted.
        TypeError: An argument is not a whole number, or ``name`` is not a string.

    >>> family("zipf 1.2", layers=1, experts=4).tolist()
    [[201386, 583337, 131034, 85502]]
    """
    return _core.family(
        _checked_name("family", name, FAMILIES),
        whole_number("layers", layers, EplbError),
        whole_number("experts", experts, EplbError),
        _from_zero("seed", seed, 2**38 - 1),
    )


def _checked_name(what: str, name: Any, names: Any) -> str:
    if not isinstance(name, str):
        raise TypeError(f"{what} must be a name, got {short(name)} ({type(name).__name__})")
    if name not in names:
        raise unknown(what, name, names)
    return name


def _optional(name: str, value: Any) -> int | None:
    return None if value is None else whole_number(name, value, EplbError)


def _from_zero(name: str, value: Any, most: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = None
    if number is None or isinstance(value, bool):
        kind = type(value).__name__
        raise TypeError(f"{name} must be a whole number, got {short(value)} ({kind})")
    if not 0 <= number <= most:
        raise EplbError(Parameter(name, short(number)), f" is out of range; expected 0 to {most}")
    return number
