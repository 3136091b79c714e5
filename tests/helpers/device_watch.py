"""A dispatch mode that refuses what a CUDA graph, or a plan that is the same everywhere, forbids.

It looks at every operation that reaches a device. Under FakeTensorMode, with tensors that say they
are on a CUDA device, it needs no such device.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


class Violation(AssertionError):  # noqa: N818 -- it is one, of a rule
    """An operation that is not allowed."""


def always(_: torch.Tensor) -> bool:
    return True


def never(_: torch.Tensor) -> bool:
    return False


#: What PyTorch lists as non-deterministic, by the name of the operation, and whether it is so where
#: this is the first tensor. Never: only when differentiated, or for tensors that are sparse or
#: quantised. Sums of integers are the same in every order.
LISTED: dict[str, Callable[[torch.Tensor], bool]] = {
    "bincount": always,
    "histc": always,
    "index_add": always,
    "index_copy": always,
    "index_put": always,
    "index_reduce": always,
    "kthvalue": always,
    "median": always,
    "put": always,
    "scatter": always,
    "scatter_reduce": always,
    "cumsum": torch.is_floating_point,
    "scatter_add": torch.is_floating_point,
    "bmm": never,
    "gather": never,
    "getitem": never,
    "grid_sample": never,
    "index_select": never,
    "interpolate": never,
    "repeat_interleave": never,
    "resize": never,
}


def listed_by_torch() -> set[str]:
    """The functions that the installed PyTorch lists; its neural modules aside."""
    text = torch.use_deterministic_algorithms.__doc__ or ""
    start = text.index("normally-nondeterministic")
    names = re.findall(r"`torch\.(?:Tensor\.|nn\.functional\.)?(\w+)`", text[start:])
    return {name.strip("_") for name in names}


#: The quotient of two float64 tensors is correctly rounded everywhere; a narrower one does not order
#: like the fraction, and by a number CUDA multiplies with its inverse.
QUOTIENTS = ("div", "divide", "true_divide", "reciprocal")

#: These take memory and start no kernel.
ALLOCATIONS = ("empty", "empty_like", "empty_strided", "new_empty", "new_empty_strided")


def tensors_of(*trees: Any) -> Iterator[torch.Tensor]:
    return (leaf for leaf in tree_leaves(trees) if isinstance(leaf, torch.Tensor))


class DeviceWatch(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Raises :class:`Violation`; counts what starts a kernel in ``launches``."""

    def __init__(self, device_type: str) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.device_type = device_type
        self.launches: int = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        del types
        namespace, _, name = func._schema.name.partition("::")
        given = list(tensors_of(args, kwargs))
        # Before it runs: fake tensors raise errors of their own for some of these.
        refuse_waiting(func)
        refuse_listed(func, name.strip("_"), given)
        result = func(*args, **(kwargs or {}))
        results = list(tensors_of(result))
        for tensor in given + results:
            if tensor.device.type != self.device_type:
                raise Violation(f"{func}: a copy to or from the {tensor.device.type}")
        if name in QUOTIENTS and results[0].is_floating_point():
            refuse_inexact(func, given, results[0])
        returns = func._schema.returns
        is_view = any(x.alias_info and not x.alias_info.is_write for x in returns)
        if namespace == "aten" and name not in ALLOCATIONS and not is_view:
            self.launches += 1
        return result


def refuse_waiting(func: Any) -> None:
    if torch.Tag.data_dependent_output in func.tags or "local_scalar_dense" in str(func):
        raise Violation(f"{func}: the host waits for a value")
    if torch.Tag.dynamic_output_shape in func.tags:
        raise Violation(f"{func}: a shape that depends on values")


def refuse_listed(func: Any, name: str, given: list[torch.Tensor]) -> None:
    if torch.Tag.nondeterministic_seeded in func.tags:
        raise Violation(f"{func}: random")
    if name in LISTED and LISTED[name](given[0]):
        raise Violation(f"{func}: not deterministic on CUDA")


def refuse_inexact(func: Any, given: list[torch.Tensor], result: torch.Tensor) -> None:
    if result.dtype != torch.float64 or len(given) < 2:
        raise Violation(f"{func}: an inexact quotient")
