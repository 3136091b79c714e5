"""Shapes of models that are served often: what a table of another shape may be instead."""

from __future__ import annotations

from typing import NamedTuple


class Shape(NamedTuple):
    """The layers and experts of a model."""

    name: str
    moe_layers: int
    hidden_layers: int
    experts: int
    #: Layers of multi-token prediction, which records may have too.
    mtp: int = 0

    @property
    def numbers(self) -> tuple[int, ...]:
        """The numbers of layers that loads of this model may have."""
        return (
            *(self.moe_layers, self.hidden_layers),
            *(self.moe_layers + self.mtp, self.hidden_layers + self.mtp),
        )


KNOWN = (
    Shape("DeepSeek-V3", 58, 61, 256, 1),
    Shape("DeepSeek-V2", 59, 60, 160),
    Shape("DeepSeek-V2-Lite", 26, 27, 64),
    Shape("DeepSeek-MoE-16B", 27, 28, 64),
    Shape("Kimi-K2", 60, 61, 384),
    Shape("Qwen3-235B-A22B", 94, 94, 128),
    Shape("Qwen3-30B-A3B", 48, 48, 128),
    Shape("Qwen3-Next-80B-A3B", 48, 48, 512, 1),
    Shape("Qwen1.5-MoE-A2.7B", 24, 24, 60),
    Shape("Qwen2-57B-A14B", 28, 28, 64),
    Shape("GLM-4.5", 89, 92, 160, 1),
    Shape("GLM-4.5-Air", 45, 46, 128, 1),
    Shape("gpt-oss-120b", 36, 36, 128),
    Shape("gpt-oss-20b", 24, 24, 32),
    Shape("MiniMax-M2", 62, 62, 256),
    Shape("OLMoE-1B-7B", 16, 16, 64),
    Shape("Phi-3.5-MoE", 32, 32, 16),
    Shape("Hunyuan-Large", 64, 64, 16),
    Shape("Mixtral-8x7B", 32, 32, 8),
    Shape("Mixtral-8x22B", 56, 56, 8),
)


def with_layers(layers: int) -> list[Shape]:
    """The models whose loads may have so many layers."""
    return [shape for shape in KNOWN if layers in shape.numbers]


def is_known(layers: int, experts: int) -> bool:
    """Whether a model has this shape."""
    return any(shape.experts == experts for shape in with_layers(layers))


def has_experts(experts: int) -> bool:
    """Whether a model has so many experts."""
    return any(shape.experts == experts for shape in KNOWN)


def is_usual(experts: int) -> bool:
    """Whether a model may have so many experts: nearly all have a multiple of 8."""
    return experts % 8 == 0 or has_experts(experts)
