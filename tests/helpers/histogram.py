"""Counts of (token, expert) assignments from the expert ids of each token.

python tests/helpers/histogram.py IDS.npz COUNTS.npy [--experts 256]
"""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    import numpy.typing as npt


def histogram(ids: npt.NDArray[Any], num_experts: int) -> npt.NDArray[np.int64]:
    """Counts ``[layers, num_experts]`` of expert ids ``[tokens, layers, experts per token]``.

    Raises:
        ValueError: an id is none of 0 .. num_experts - 1.
    """
    if ids.size and not 0 <= int(ids.min()) <= int(ids.max()) < num_experts:
        raise ValueError(f"the ids are {ids.min()} to {ids.max()}, the experts {num_experts}")
    layers = [ids[:, layer].ravel() for layer in range(ids.shape[1])]
    return np.array([np.bincount(layer, minlength=num_experts) for layer in layers], dtype=np.int64)


def main() -> None:
    """Read the array ``ids`` of an .npz file, write its counts as .npy."""
    parser = argparse.ArgumentParser(description="Expert ids to counts [layers, experts].")
    parser.add_argument("ids", help=".npz file with an array ids [tokens, layers, top_k]")
    parser.add_argument("counts", help=".npy file to write")
    parser.add_argument("--experts", type=int, default=256)
    options = parser.parse_args()
    with np.load(options.ids, allow_pickle=False) as arrays:
        counts = histogram(arrays["ids"], options.experts)
    np.save(options.counts, counts)


if __name__ == "__main__":
    main()
