"""Shapes of models that are served often: what a table of another shape may be instead."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """The layers and experts of a model."""

    name: str
    moe_layers: int
    hidden_layers: int
    experts: int


KNOWN = (
    Shape("DeepSeek-V3", 58, 61, 256),
    Shape("DeepSeek-V2", 59, 60, 160),
    Shape("DeepSeek-V2-Lite", 26, 27, 64),
    Shape("DeepSeek-MoE-16B", 27, 28, 64),
    Shape("Kimi-K2", 60, 61, 384),
    Shape("Qwen3-235B-A22B", 94, 94, 128),
    Shape("Qwen3-30B-A3B", 48, 48, 128),
    Shape("Qwen3-Next-80B-A3B", 48, 48, 512),
    Shape("Qwen1.5-MoE-A2.7B", 24, 24, 60),
    Shape("Qwen2-57B-A14B", 28, 28, 64),
    Shape("GLM-4.5", 89, 92, 160),
    Shape("GLM-4.5-Air", 45, 46, 128),
    Shape("gpt-oss-120b", 36, 36, 128),
    Shape("gpt-oss-20b", 24, 24, 32),
    Shape("MiniMax-M2", 62, 62, 256),
    Shape("OLMoE-1B-7B", 16, 16, 64),
    Shape("Mixtral-8x7B", 32, 32, 8),
    Shape("Mixtral-8x22B", 56, 56, 8),
)


def with_layers(layers: int) -> list[Shape]:
    """The models with so many MoE layers, or hidden layers."""
    return [shape for shape in KNOWN if layers in (shape.moe_layers, shape.hidden_layers)]


def is_known(layers: int, experts: int) -> bool:
    """Whether a model has this shape."""
    return any(shape.experts == experts for shape in with_layers(layers))


def is_usual(experts: int) -> bool:
    """Whether a model may have so many experts: nearly all have a multiple of 8."""
    return experts % 8 == 0 or any(shape.experts == experts for shape in KNOWN)
