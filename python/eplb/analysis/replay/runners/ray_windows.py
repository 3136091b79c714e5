"""Windows of a trace in Ray's object store, for tasks on any node."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb.inputs.loads import as_array
from eplb.inputs.windows import Windows, plain_floats

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

# Bytes of the windows that are one object: a task holds one of them at a time.
_BLOCK = 2**26


class RayWindows(Windows):
    """Windows ``[layers, experts]`` in blocks, each an object that was put once.

    Sent to a task, it is references. The store of the node that started the run has the objects, on disk
    if they do not fit into memory; the loss of another node loses none of them.
    """

    def __init__(self, blocks: Sequence[Any], firsts: Sequence[int], length: int) -> None:
        self._blocks, self._firsts, self._length = blocks, firsts, length
        self._read: tuple[int, Any] = (-1, None)

    @classmethod
    def put(cls, windows: Sequence[Any]) -> RayWindows:
        """Puts windows of one shape into the store, a block at a time."""
        import ray

        blocks: list[Any] = []
        block: list[npt.NDArray[Any]] = []
        firsts, size = [0], 0
        for number, window in enumerate(windows):
            table = np.ascontiguousarray(plain_floats(*as_array(window)))
            if size and size + table.nbytes > _BLOCK:
                blocks.append(ray.put(block))
                firsts.append(number)
                block, size = [], 0
            block.append(table)
            size += table.nbytes
        blocks.append(ray.put(block))
        return cls(blocks, firsts, len(windows))

    def __len__(self) -> int:
        return self._length

    def window(self, at: int) -> npt.NDArray[Any]:
        """The window with this number, ``[layers, experts]``, read-only."""
        block = bisect_right(self._firsts, at) - 1
        if self._read[0] != block:
            import ray

            self._read = block, ray.get(self._blocks[block])
        window: npt.NDArray[Any] = self._read[1][at - self._firsts[block]]
        return window

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self._blocks, self._firsts, self._length)
