"""A device whose work is done as soon as it is asked for: the CPU, with a GPU's names.

Engines order work on streams by events. On a CPU every copy has happened when the call returns, so
that an event has come once it is recorded and a stream has nothing to wait for.
"""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import torch


class Event:
    """Has come when it is recorded."""

    def __init__(self, *_: Any, **__: Any) -> None:
        self._time = 0.0

    def record(self, stream: Any = None) -> None:
        del stream
        self._time = time.perf_counter()

    def wait(self, stream: Any = None) -> None:
        del stream

    def synchronize(self) -> None:
        """Nothing is under way."""

    def elapsed_time(self, end: Event) -> float:
        return (end._time - self._time) * 1000


class Stream:
    """Has nothing under way."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass

    def synchronize(self) -> None:
        """Nothing is under way."""


def put_in_place() -> None:
    """Lets torch's names for a device's events and streams mean these, in this process."""
    only = Stream()
    torch.Event, torch.Stream = Event, Stream  # type: ignore[misc,assignment]
    names: dict[str, Any] = {
        "current_accelerator": lambda: torch.device("cpu"),
        "current_stream": lambda: only,
        "set_stream": lambda _: None,
        "set_device_index": lambda _: None,
        "synchronize": lambda: None,
    }
    for name, value in names.items():
        setattr(torch.accelerator, name, value)
    nothing = SimpleNamespace(synchronize=lambda: None, empty_cache=lambda: None)
    torch.get_device_module = lambda *_: nothing  # type: ignore[assignment]
