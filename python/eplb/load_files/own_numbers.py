"""Experts that each rank may number on its own: their sum over ranks would be nonsense."""

from __future__ import annotations

from eplb.errors import LoadError, Parameter
from eplb.inputs.known_models import is_known
from eplb.text import count


def refuse_own_numbers(layers: int, experts: int, ranks: int, stated: int | None) -> None:
    """Refuses few experts on each of several ranks, if all ranks together have those of the model.

    Args:
        layers: how many the table has.
        experts: up to the last that the table has.
        ranks: how many the table has.
        stated: logical experts per layer; None if nothing is said.

    Raises:
        LoadError
    """
    together = experts * ranks
    fits = is_known(layers, together) and not is_known(layers, experts)
    if ranks < 2 or experts == stated or not (fits if stated is None else together == stated):
        return
    raise LoadError(
        f"it has {count(experts, 'expert')} on each of {ranks} ranks, together {together}: does each "
        "rank number its own?",
        hint=[
            "if so, write local_expert for expert in the header; if not, give ",
            Parameter("num_experts"),
            f" {experts}",
        ],
    )
