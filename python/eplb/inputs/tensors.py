"""Everything that knows torch. Torch is imported only for a caller that has tensors already."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.errors import LoadTypeError

if TYPE_CHECKING:
    import numpy.typing as npt
    import torch


def is_tensor(value: Any) -> bool:
    """Whether ``value`` is a torch tensor; torch need not be installed."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(value, torch.Tensor)


def tensor_array(tensor: torch.Tensor) -> tuple[npt.NDArray[Any], str | None]:
    """The values of a tensor on any device as an array, as :func:`eplb.inputs.loads.as_array` returns it.

    Raises:
        LoadTypeError: it is bool, complex, sparse or quantised, or holds no values.
    """
    import torch

    if tensor.layout != torch.strided or tensor.is_quantized:
        raise LoadTypeError(
            f"loads must be in a plain tensor, got {tensor.layout} {tensor.dtype}; "
            "call .to_dense() or .dequantize() first"
        )
    if tensor.device.type == "meta":
        raise LoadTypeError("the loads are on the meta device, which holds no values")
    tensor = tensor.detach()
    try:
        if tensor.dtype == torch.bfloat16:
            return tensor.cpu().view(torch.int16).numpy().view(np.uint16), "bfloat16"
        if str(tensor.dtype).startswith(("torch.float8_e4m3", "torch.float8_e5m2")):
            tensor = tensor.to(torch.float32)  # each of their values is a normal float32
        return tensor.cpu().numpy(), None
    except (RuntimeError, TypeError) as error:
        raise LoadTypeError(
            f"the values of a {tensor.dtype} tensor on {tensor.device} cannot be read: {error}"
        ) from error


def from_array(array: npt.NDArray[np.int64]) -> torch.Tensor:
    """A CPU tensor that shares the memory of a new, writable array.

    Raises:
        ImportError: torch is not installed.
    """
    try:
        import torch
    except ImportError as error:
        raise ImportError(
            "rebalance_experts returns torch tensors: install torch, or use eplb.plan"
        ) from error
    return torch.from_numpy(array)
