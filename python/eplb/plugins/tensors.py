"""Tensors of engines as numpy tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt


def table_of(tensor: Any) -> npt.NDArray[Any]:
    """The numbers of a tensor, int64 if all are whole; on any device.

    Raises:
        Exception: it is no tensor of numbers.
    """
    if hasattr(tensor, "detach"):
        tensor = tensor.detach().cpu()
        tensor = (tensor.double() if tensor.is_floating_point() else tensor).numpy()
    values = np.asarray(tensor)
    if values.dtype.kind == "f":
        whole = np.isfinite(values) & (np.abs(values) < 2.0**62)
        if not (whole & (np.trunc(np.where(whole, values, 0)) == values)).all():
            return values
    return np.ascontiguousarray(values, dtype=np.int64)
