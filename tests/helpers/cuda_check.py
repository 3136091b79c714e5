"""The batched path against the core on a CUDA device, in one call: python tests/cuda_check.py

It needs torch, numpy and eplb, no pytest: equality over many kinds of loads and sizes, no
synchronisation, the same with PyTorch's deterministic algorithms, CUDA graphs replayed on new
loads, and times. `--device cpu` does what needs no CUDA device.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

POLICIES = ("deepseek", "adaptive")
LAYERS = 5

#: Experts; num_replicas, num_groups, num_nodes, num_gpus.
SIZES: dict[str, tuple[int, tuple[int, int, int, int]]] = {
    "global": (256, (288, 1, 1, 32)),
    "hierarchical": (256, (288, 8, 4, 32)),
    "heavy packs": (60, (120, 6, 2, 4)),
    "a group on each node": (64, (80, 4, 4, 8)),
    "groups on one node": (64, (80, 8, 1, 8)),
    "is_global": (66, (72, 3, 2, 8)),
    "no spares": (64, (64, 8, 2, 8)),
    "one slot on each GPU": (64, (80, 1, 1, 80)),
    "one GPU": (64, (70, 1, 1, 1)),
    "one expert": (1, (8, 1, 1, 2)),
    "one expert, 1024 copies": (1, (1024, 1, 1, 8)),
    "1024 copies for 3 experts": (3, (1026, 1, 1, 2)),
}
#: More than the 4,096 that CUDA's short sorts take.
LARGE = 4096, (4608, 1, 1, 64)
#: For 58 layers x 256 experts, of which times, kernels and CUDA graphs are told.
USUAL = ((288, 1, 1, 32), (288, 8, 4, 32))


def lognormal(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    return random.lognormal(10, 1.2, shape)


def one_hot(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    load = np.zeros(shape, np.int64)
    load[np.arange(shape[0]), random.integers(0, shape[1], shape[0])] = 7
    return load


def with_nothing(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    """Half the experts cold, and a row of zeros."""
    load = random.integers(0, 90, shape) * random.integers(0, 2, shape)
    load[0] = 0
    return load


def subnormal(random: np.random.Generator, shape: tuple[int, int]) -> npt.NDArray[Any]:
    return random.integers(0, 2**20, shape).view(np.float64)


LOADS: dict[str, Callable[[np.random.Generator, tuple[int, int]], npt.NDArray[Any]]] = {
    "counts": lambda random, shape: lognormal(random, shape).astype(np.int64),
    "floats": lognormal,
    "ties": lambda random, shape: random.integers(0, 4, shape).astype(np.int8),
    "equal": lambda _, shape: np.full(shape, 3, np.int32),
    "one hot": one_hot,
    "zeros": with_nothing,
    "powers of two": lambda random, shape: 2.0 ** random.integers(-40, 40, shape),
    "around 2^24": lambda random, shape: (2**24 + random.integers(-2, 3, shape)).astype(np.int32),
    "around 2^40": lambda random, shape: 2**40 + random.integers(-2, 3, shape),
    "up to 2^64": lambda random, shape: random.integers(0, 2**64, shape, np.uint64),
    "subnormal": subnormal,
    "subnormal float32": lambda random, shape: (
        random.integers(0, 2**16, shape).astype(np.int32).view(np.float32)
    ),
}
#: Types that numpy does not have, or not with these values.
TORCH_DTYPES = (torch.float16, torch.bfloat16, torch.float8_e4m3fn, torch.float8_e5m2)


def cases() -> Iterator[tuple[str, torch.Tensor, tuple[int, int, int, int]]]:
    """Name, loads on the CPU, sizes."""
    random = np.random.default_rng(1)
    for sizes_name, (experts, sizes) in SIZES.items():
        for loads_name, draw in LOADS.items():
            load = torch.from_numpy(draw(random, (LAYERS, experts)))
            yield f"{loads_name}, {sizes_name}", load, sizes
    for dtype in TORCH_DTYPES:
        load = torch.from_numpy(random.lognormal(-2, 4, (LAYERS, 256))).clamp(max=400).to(dtype)
        yield f"{dtype}", load, SIZES["hierarchical"][1]
    experts, sizes = LARGE
    yield "large", torch.from_numpy(lognormal(random, (2, experts))), sizes


def difference(
    made: tuple[torch.Tensor, ...], load: torch.Tensor, sizes: tuple[int, ...], policy: str
) -> str:
    """The tables in which a batched plan is not the core's, as words."""
    expected = eplb.rebalance_experts(load, *sizes, policy=policy, log2phy_width="static")
    names = ("phy2log", "log2phy", "logcnt")
    pairs = zip(names, made, expected, strict=True)
    return ", ".join(name for name, ours, core in pairs if not torch.equal(ours.cpu(), core))


def differing(device: str) -> tuple[int, list[str]]:
    """Plans compared, and a line for each that differs; raises where a plan waits for the device."""
    compared, lines = 0, []
    for name, load, sizes in cases():
        for policy in POLICIES:
            on_device = load.to(device)
            with no_synchronisation(device):
                made = eplb.rebalance_experts_batched(on_device, *sizes, policy=policy)
            compared += 1
            tables = difference(made, load, sizes, policy)
            if tables:
                lines.append(f"{name}, {policy}: {tables}")
    return compared, lines


@contextmanager
def no_synchronisation(device: str) -> Iterator[None]:
    """Waiting for the device raises RuntimeError."""
    if not device.startswith("cuda"):
        yield
        return
    torch.cuda.set_sync_debug_mode("error")
    try:
        yield
    finally:
        torch.cuda.set_sync_debug_mode("default")


@contextmanager
def deterministic_algorithms() -> Iterator[None]:
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(mode=False)


def usual_load(seed: int) -> torch.Tensor:
    counts = lognormal(np.random.default_rng(seed), (58, 256)).astype(np.int64)
    return torch.from_numpy(counts)


def captured(sizes: tuple[int, ...], policy: str) -> Callable[[torch.Tensor], Any]:
    """A plan of 58 x 256 loads as a CUDA graph: give it loads, it gives the three tables."""
    held = usual_load(0).cuda()
    eplb.rebalance_experts_batched(held, *sizes, policy=policy)  # warms up
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        tables = eplb.rebalance_experts_batched(held, *sizes, policy=policy)

    def replay(load: torch.Tensor) -> tuple[torch.Tensor, ...]:
        held.copy_(load)
        graph.replay()
        return tables

    return replay


def differing_replays(sizes: tuple[int, ...], policy: str, replays: int = 5) -> list[str]:
    """A line for each replay, on loads of its own, that does not give the core's plan."""
    replay = captured(sizes, policy)
    lines = []
    for seed in range(1, replays + 1):
        load = usual_load(seed)
        tables = difference(replay(load.cuda()), load, sizes, policy)
        if tables:
            lines.append(f"replay {seed}, {sizes}, {policy}: {tables}")
    return lines


def kernels(sizes: tuple[int, ...], policy: str) -> int:
    """What the profiler sees run on the device for one plan."""
    load = usual_load(0).cuda()
    eplb.rebalance_experts_batched(load, *sizes, policy=policy)
    torch.cuda.synchronize()
    cuda = torch.profiler.ProfilerActivity.CUDA
    with torch.profiler.profile(activities=[cuda]) as profile:
        eplb.rebalance_experts_batched(load, *sizes, policy=policy)
        torch.cuda.synchronize()
    events = profile.events() or []
    on_device = [e for e in events if e.device_type.name == "CUDA"]
    copies = [e.name for e in on_device if "Memcpy" in e.name and "DtoD" not in e.name]
    if copies:
        raise AssertionError(f"copies between host and device: {copies}")
    return len(on_device)


def milliseconds(work: Callable[[], Any], device: str, rounds: int = 20) -> float:
    """The median time of one call, waited for."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        work()
        if device.startswith("cuda"):
            torch.cuda.synchronize()
        times.append((time.perf_counter() - start) * 1000)
    return statistics.median(times[2:])


def report(device: str, policy: str, sizes: tuple[int, ...]) -> str:
    """Kernels and times of 58 x 256 -> 288 slots on 32 GPUs, as one line."""
    load = usual_load(0)
    on_device = load.to(device)
    core = milliseconds(
        lambda: eplb.rebalance_experts(load, *sizes, policy=policy, log2phy_width="static"), "cpu"
    )
    call = milliseconds(
        lambda: eplb.rebalance_experts_batched(on_device, *sizes, policy=policy), device
    )
    line = f"{policy:9} {sizes}: core {core:.2f} ms, batched {call:.2f} ms"
    if device.startswith("cuda"):
        replay = captured(sizes, policy)
        graph = milliseconds(lambda: replay(on_device), device)
        line += f", as a CUDA graph {graph:.2f} ms; {kernels(sizes, policy)} kernels"
    return line


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--device", default="cuda")
    device = parser.parse_args().device
    is_cuda = device.startswith("cuda")
    if is_cuda and not torch.cuda.is_available():
        say("there is no CUDA device here; --device cpu does the rest")
        return 2
    name = torch.cuda.get_device_name() if is_cuda else "CPU"
    say(f"torch {torch.__version__}, {name}")
    compared, lines = differing(device)
    say(f"{compared} plans compared with the core's: {len(lines)} differ")
    with deterministic_algorithms():
        compared, more = differing(device)
    say(f"{compared} with deterministic algorithms: {len(more)} differ")
    lines += more
    for policy in POLICIES:
        for sizes in USUAL:
            if is_cuda:
                lines += differing_replays(sizes, policy)
            say(report(device, policy, sizes))
    say("\n".join(lines) or "all equal")
    return int(bool(lines))


def say(line: str) -> None:
    print(line, flush=True)  # noqa: T201


if __name__ == "__main__":
    sys.exit(main())
