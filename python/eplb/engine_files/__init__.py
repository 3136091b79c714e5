"""Placement files of inference engines: what they load, written from a plan and read back.

The inner map is ``phy2log [layers, P]``: slot p is on GPU ``p // (P // G)``. Engines differ in which
layers they want. A *hidden layer* is one of the model's, counted from 0, dense ones too; a *MoE layer*
is one with experts, and a plan has a row for each of those.
"""

from .formats import FORMAT_NAMES, FORMATS
from .model_layers import ModelLayers, moe_layers_of
from .reading import EngineFile, load_engine_file
from .writing import save_for_engine

__all__ = [
    "FORMATS",
    "FORMAT_NAMES",
    "EngineFile",
    "ModelLayers",
    "load_engine_file",
    "moe_layers_of",
    "save_for_engine",
]
