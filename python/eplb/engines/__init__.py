"""Inference engines: their placement files, dumps of loads, metrics and model layers.

The placement is ``phy2log [layers, P]``: slot p is on GPU ``p // (P // G)``. Engines differ in the
layers that they want. A *hidden layer* is a layer of the model, counted from 0, dense ones included.
A *MoE layer* is a hidden layer with experts; a plan has a row for each MoE layer.
"""

from eplb.engines.all_engines import DUMPS, ENGINE_OF, ENGINES, FORMAT_NAMES, FORMATS, METRICS
from eplb.engines.expert_bytes import expert_bytes_of
from eplb.engines.hidden_layers import HiddenLayers
from eplb.engines.model_config import ModelLayers, moe_layers_of
from eplb.engines.reading import EngineFile, load_engine_file
from eplb.engines.recognise import placement_format_of

__all__ = [
    "DUMPS",
    "ENGINES",
    "ENGINE_OF",
    "FORMATS",
    "FORMAT_NAMES",
    "METRICS",
    "EngineFile",
    "HiddenLayers",
    "ModelLayers",
    "expert_bytes_of",
    "load_engine_file",
    "moe_layers_of",
    "placement_format_of",
]
