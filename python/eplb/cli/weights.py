"""Bytes of the weights of experts, as given or as the model's config.json says."""

from __future__ import annotations

from typing import TYPE_CHECKING

import eplb
from eplb.engines import expert_bytes_of
from eplb.text import count

if TYPE_CHECKING:
    from eplb.analysis.comparison import PlanSizes

# No GPU has so many bytes.
_MOST = 288 * 10**9


def expert_bytes(
    config: str | None, given: int | None = None, *, needed: bool = False
) -> int | None:
    """Bytes of an expert; None if they are not known.

    Raises:
        PlanFileError: they are needed, and the config does not say.
    """
    if given is not None or config is None:
        return given
    try:
        return expert_bytes_of(config)
    except eplb.PlanFileError:
        if needed:
            raise
        return None


def weight_notes(sizes: PlanSizes, of_expert: int | None) -> list[str]:
    """That the experts of all layers fit on no GPU."""
    slots = sizes.num_replicas // sizes.num_gpus
    total = slots * sizes.num_layers * (of_expert or 0)
    if total <= _MOST:
        return []
    held = f"{count(slots, 'slot')} per GPU in {count(sizes.num_layers, 'layer')}"
    weights = f"{held} are {total / 1e9:.0f} GB of expert weights"
    return [f"{weights}, by the config: are {sizes.num_gpus} all GPUs of all nodes?"]
