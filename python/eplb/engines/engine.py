"""What eplb knows of an engine: its placement files, its dumps of loads, its metric.

Every part is optional. An engine is a folder beside this file that defines one :class:`Engine`, and
a line in ``all_engines.py``.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from eplb.engines.start_placement import by_slot

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    import numpy as np
    import numpy.typing as npt

    from eplb.engines.hidden_layers import HiddenLayers


@dataclass(frozen=True)
class PlacementRows:
    """A placement on its way into an engine's file: a row of slots per layer, all of one length."""

    #: ``[rows, P]``, plain ints.
    table: list[list[int]]
    #: Logical experts per layer.
    num_experts: int
    num_gpus: int
    #: Hidden layer of each row; None if it is not known.
    layers: HiddenLayers | None
    #: Messages for the user, a line each; the writer adds to them.
    notes: list[str]

    @property
    def num_replicas(self) -> int:
        """Slots per layer, P."""
        return len(self.table[0])


@dataclass(frozen=True)
class DecodedPlacement:
    """A placement from an engine's file; the cells have not been checked yet."""

    rows: Any
    #: Hidden layer of each row, if the file names them.
    layers: list[int] | None = None
    #: GPUs, if the file says for how many it is.
    num_gpus: int | None = None
    #: What was left out, a line each.
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class PlacementFormat:
    """A format of placement files; its name is its key in ``FORMATS``."""

    #: Endings that the name of such a file may have.
    endings: tuple[str, ...]
    #: What it is for, in one line.
    description: str
    #: What the rows are: all hidden layers in order, hidden layers that the file names, or the MoE
    #: layers in order.
    rows: Literal["hidden", "named", "moe"]
    #: Encodes and decodes a file, given its ending.
    write: Callable[[PlacementRows, str], bytes] = field(repr=False)
    read: Callable[[bytes, str], DecodedPlacement] = field(repr=False)
    #: Whether the content of a JSON file is such a placement; other endings have one format each.
    recognises: Callable[[Any], bool] = field(default=lambda _: True, repr=False)


@dataclass(frozen=True)
class DecodedLoads:
    """Loads from a file or dump; the cells have not been checked yet."""

    #: ``[layers, experts]`` or ``[windows, layers, experts]``, or what ``axes`` says: an array, a
    #: tensor or lists.
    values: Any
    #: Hidden layer of each layer, ascending, if the dump names them.
    layers: tuple[int, ...] | None = None
    #: What was done to the loads, a line each.
    notes: tuple[str, ...] = ()
    #: Names of all axes, or of the last ones, if the dump says them: ``"slots"`` is what it counts if
    #: not experts.
    axes: tuple[str, ...] | None = None
    #: Whether it is a text table, of which less is known.
    text: bool = False
    #: Whether numbers of layers were beside the loads, so that these are none.
    labelled: bool = False
    #: ``[layers, P]`` or ``[windows, layers, P]``: the expert in each slot, if the dump has it.
    phy2log: Any = None
    #: What its slots are, in words, if a dump numbers them otherwise.
    slots: str = ""
    #: ``[passes, layers, experts]``: what was summed to ``values``, if it was.
    passes: npt.NDArray[Any] | None = None
    #: Which ranks counted which forward passes, by their numbers, if the dump is not of all ranks.
    counted: frozenset[tuple[int, int]] = frozenset()


@dataclass(frozen=True)
class FileDump:
    """Loads that an engine writes as one file; its name is its key in ``DUMPS``."""

    #: Whether the decoded content of a file is such a dump.
    recognises: Callable[[Any], bool] = field(repr=False)
    read: Callable[[Any], DecodedLoads] = field(repr=False)


@dataclass(frozen=True)
class FolderDump:
    """Loads that an engine writes as a directory; its name is its key in ``DUMPS``."""

    #: What such a directory holds, for messages.
    content: str
    recognises: Callable[[Path], bool] = field(repr=False)
    #: Reads the directory; the second argument is the key that the user gave.
    read: Callable[[Path, str | None], DecodedLoads] = field(repr=False)


@dataclass(frozen=True)
class Metric:
    """Balancedness as an engine computes it for its log; its name is its key in ``METRICS``."""

    #: The formula, in one line.
    formula: str
    #: The figure for ``[windows, layers, G]``, each window with load.
    _of: Callable[[npt.NDArray[np.float64]], float] = field(repr=False)

    def of(self, gpu_load: npt.NDArray[np.float64]) -> float | None:
        """The figure for GPU loads ``[layers, G]``; None if no layer has load.

        Engines log the mean over passes: of loads ``[windows, layers, G]``, it is the figure over
        the windows with load.
        """
        windows = gpu_load.reshape(-1, *gpu_load.shape[-2:])
        largest = windows.max(axis=(1, 2), keepdims=True)
        loaded = largest.ravel() > 0
        if not loaded.any():
            return None
        return self._of(windows[loaded] / largest[loaded])  # scaled: no sum overflows


@dataclass(frozen=True)
class Engine:
    """All that eplb knows of one engine."""

    name: str
    formats: Mapping[str, PlacementFormat] = field(default_factory=dict)
    dumps: Mapping[str, FileDump | FolderDump] = field(default_factory=dict)
    metrics: Mapping[str, Metric] = field(default_factory=dict)
    #: The placement of a layer that it starts with, by experts, slots and GPUs.
    start: Callable[[int, int, int], list[int]] = field(default=by_slot, repr=False)
