"""The planners of released engines, each module read out of its wheel and run by itself.

Nothing is installed and nothing else of the engine is run; the wheels are fetched once.
"""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any

import engine_wheels
import numpy as np
import torch
from paths import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import numpy.typing as npt

    Loads = npt.NDArray[Any]
    Table = npt.NDArray[np.int64]
    #: Loads, and sizes as ``eplb.plan`` has them, in; phy2log and logcnt out.
    EnginePlanner = Callable[..., tuple[Table, Table | None]]

#: Engine -> the release whose planners are timed and judged.
RELEASES = {engine: engine_wheels.version(engine) for engine in ("vllm", "sglang")}
VLLM = "vllm/distributed/eplb/policy"
SGLANG = "sglang/srt/eplb/eplb_algorithms"
MINUTES = 20


class NoWheelError(Exception):
    """A wheel is not here and cannot be fetched."""


def wheel(engine: str) -> Path:
    """The wheel of an engine, fetched if it is not in the cache."""
    cache = Path(os.environ.get("EPLB_ENGINE_WHEELS") or ROOT / "build" / "wheels")
    version = RELEASES[engine]
    if not any(cache.glob(f"{engine}-{version}-*.whl")):
        fetch(engine, cache)
    found = sorted(cache.glob(f"{engine}-{version}-*.whl"))
    if not found:
        raise NoWheelError(f"{cache.name} holds no wheel of {engine} {version}")
    return found[0]


def fetch(engine: str, cache: Path) -> None:
    """Download a wheel: up to 400 MB."""
    wanted = f"{engine}=={RELEASES[engine]}"
    print(f"fetching {wanted} into the cache", flush=True)
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    only = ["--only-binary", ":all:", "--dest", str(cache), wanted]
    try:
        run = subprocess.run(
            [*command, *only], capture_output=True, text=True, timeout=MINUTES * 60
        )
    except subprocess.TimeoutExpired as error:
        raise NoWheelError(f"{wanted} did not come in {MINUTES} minutes") from error
    if run.returncode:
        reason = run.stderr.strip().splitlines() or ["no reason given"]
        raise NoWheelError(f"{wanted} cannot be fetched: {reason[-1]}")


@contextmanager
def packages(*names: str) -> Iterator[None]:
    """Empty packages of these names, as long as modules of a wheel are being run."""
    before = dict(sys.modules)
    for name in names:
        parts = name.split(".")
        for end in range(1, len(parts) + 1):
            above = ".".join(parts[:end])
            sys.modules[above] = ModuleType(above)
    try:
        yield
    finally:
        for name in set(sys.modules) - set(before):
            if name.partition(".")[0] in RELEASES:
                del sys.modules[name]


def module_of(archive: zipfile.ZipFile, path: str) -> Any:
    """A module of a wheel, run."""
    module = ModuleType(path.removesuffix(".py").replace("/", "."))
    module.__package__ = module.__name__.rpartition(".")[0]
    sys.modules[module.__name__] = module
    exec(compile(archive.read(path), path, "exec"), module.__dict__)  # noqa: S102
    return module


def vllm() -> dict[str, EnginePlanner]:
    """vLLM's default policy."""
    with zipfile.ZipFile(wheel("vllm")) as archive, packages(VLLM.replace("/", ".")):
        module_of(archive, f"{VLLM}/abstract.py")
        policy = module_of(archive, f"{VLLM}/default.py").DefaultEplbPolicy

    def default(
        load: Loads, *, num_replicas: int, num_gpus: int, num_groups: int = 1, num_nodes: int = 1
    ) -> tuple[Table, Table | None]:
        args = (num_replicas, num_groups, num_nodes, num_gpus)
        return policy.rebalance_experts(weights(load), *args).numpy(), None

    return {f"vllm {RELEASES['vllm']} default": default}


def sglang() -> dict[str, EnginePlanner]:
    """SGLang's algorithms that need no running engine; groups count where its "auto" says so."""
    with zipfile.ZipFile(wheel("sglang")) as archive, packages(SGLANG.replace("/", ".")):
        plain, vectorised = (
            module_of(archive, f"{SGLANG}/{name}.py") for name in ("deepseek", "deepseek_vec")
        )

    def deepseek(
        load: Loads, *, num_replicas: int, num_gpus: int, num_groups: int = 1, num_nodes: int = 1
    ) -> tuple[Table, Table | None]:
        args = (num_replicas, num_groups, num_nodes, num_gpus, grouped(num_groups, num_nodes))
        tables = plain.rebalance_experts(weights(load), *args)
        return tables[0].numpy(), tables[2].numpy()

    def deepseek_vec(
        load: Loads, *, num_replicas: int, num_gpus: int, num_groups: int = 1, num_nodes: int = 1
    ) -> tuple[Table, Table | None]:
        args = (num_replicas, num_replicas // num_gpus, num_groups, num_nodes)
        window = weights(load)[None]
        tables = vectorised.rebalance_experts(window, *args, grouped(num_groups, num_nodes))
        return tables[0].numpy().astype(np.int64), tables[2].numpy()

    name = f"sglang {RELEASES['sglang']}"
    return {f"{name} deepseek": deepseek, f"{name} deepseek_vec": deepseek_vec}


def grouped(groups: int, nodes: int) -> bool:
    """Whether whole groups go to nodes."""
    return nodes > 1 and groups % nodes == 0


def weights(load: Loads) -> torch.Tensor:
    """Loads as the engines hand them over."""
    return torch.from_numpy(load.astype(np.float32))
