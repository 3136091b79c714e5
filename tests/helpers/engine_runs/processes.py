"""A case run in as many processes as it has ranks, each with a time limit.

The processes are forked from one that has imported torch and nothing else, which saves seconds each.
"""

from __future__ import annotations

import faulthandler
import logging
import multiprocessing
import os
import socket
import time
import traceback
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from engine_planners import wheel
from engine_runs.case import Case, Told

#: Seconds until a run counts as hanging; all its processes are killed.
LIMIT = 120.0


class HangError(Exception):
    """A run did not end."""


def run(case: Case, limit: float = LIMIT) -> list[Told]:
    """What each rank tells, in the order of ranks.

    Raises:
        HangError: a rank did not end in time; what it had logged until then is told.
        NoWheelError: there is no wheel.
    """
    found = wheel(case.engine)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["numpy", "torch.distributed", "eplb"])
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with TemporaryDirectory() as folder:
        logs = [Path(folder, f"rank{rank}.log") for rank in range(case.ranks)]
        pipes, processes = [], []
        for rank, log in enumerate(logs):
            here, there = context.Pipe(duplex=False)
            task = _Task(case, rank, port, found, log, limit)
            process = context.Process(target=_rank, args=(task, there), daemon=True)
            process.start()
            there.close()
            pipes.append(here)
            processes.append(process)
        try:
            results = _results(pipes, limit)
        except HangError as error:
            ends = (f"rank {rank}: ...{log.read_text()[-6000:]}" for rank, log in enumerate(logs))
            raise HangError("\n".join((str(error), *ends))) from None
        finally:
            for process in processes:
                process.kill()
                process.join()
        for told, log in zip(results, logs, strict=True):
            told.log = log.read_text()
        return results


@dataclass(frozen=True)
class _Task:
    """What one process is to do."""

    case: Case
    rank: int
    port: int
    wheel: Path
    log: Path
    limit: float


def _results(pipes: list[Connection], limit: float) -> list[Told]:
    end, results, waiting = time.monotonic() + limit, {}, dict(enumerate(pipes))
    while waiting:
        ready = wait(list(waiting.values()), timeout=max(0.0, end - time.monotonic()))
        if not ready:
            raise HangError(f"ranks {sorted(waiting)} did not end within {limit:g} s")
        for rank, pipe in list(waiting.items()):
            if pipe in ready:
                del waiting[rank]
                try:
                    results[rank] = pipe.recv()
                except EOFError:
                    results[rank] = Told(rank, error="the process died")
    return [results[rank] for rank in sorted(results)]


def _rank(task: _Task, pipe: Connection) -> None:
    """What one process does."""
    os.environ.update(_environment(task.case, task.rank))
    told = Told(task.rank)
    with task.log.open("w") as log:
        # A rank that hangs says where, shortly before it is killed.
        faulthandler.dump_traceback_later(0.95 * task.limit, file=log)
        form = "%(levelname)s %(name)s: %(message)s"
        logging.basicConfig(stream=log, level=logging.INFO, format=form, force=True)
        try:
            _connect(task)
            _program(task.case)(task.case, task.rank, task.wheel, told)
        except Exception:  # noqa: BLE001 - the test tells it
            told.error = traceback.format_exc()
        log.flush()
        pipe.send(told)
        # Nobody may leave while others still talk to it; the parent ends all.
        time.sleep(2 * task.limit)


def _environment(case: Case, rank: int) -> dict[str, str]:
    own = {"EPLB_PLUGIN": "1"} if case.plugin else {}
    for name in [name for name in os.environ if name.startswith("EPLB_")]:
        if name != "EPLB_ENGINE_WHEELS":
            del os.environ[name]
    return {**own, "EPLB_TIMEOUT": "10", **case.environment, **case.environment_of.get(rank, {})}


def _connect(task: _Task) -> None:
    import torch
    from torch import distributed

    torch.set_num_threads(1)
    if os.path.exists("/sys/class/net/lo"):  # noqa: PTH110 - where the name of this machine is unknown
        os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo")
    distributed.init_process_group(
        "gloo",
        init_method=f"tcp://127.0.0.1:{task.port}",
        rank=task.rank,
        world_size=task.case.ranks,
        timeout=timedelta(seconds=2 * task.limit),
    )


def _program(case: Case) -> Any:
    from engine_runs import accelerator

    accelerator.put_in_place()
    if case.engine == "vllm" and case.mode in {"up", "down"}:
        from engine_runs import vllm_elastic

        return vllm_elastic.run
    if case.engine == "vllm":
        from engine_runs import vllm_rank

        return vllm_rank.run
    from engine_runs import sglang_rank

    return sglang_rank.run
