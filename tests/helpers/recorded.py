"""A record as a plug-in writes it, of real loads in 30 windows and one planted failure."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
from eplb.plugins.metrics import Metrics
from eplb.plugins.recorder import Recorder
from eplb.plugins.window import Window
from real_loads import windows

if TYPE_CHECKING:
    from pathlib import Path

#: 2026-11-28 12:00:00 UTC.
NOON = 1795867200


#: A window of a tiny model.
SMALL = Window(
    engine="vllm",
    model=0,
    number=0,
    time=1.5,
    load=np.arange(8).reshape(2, 4),
    previous=np.array([[0, 1, 2, 3, 0, 1], [3, 2, 1, 0, 3, 2]]),
    phy2log=np.array([[0, 1, 2, 3, 0, 2], [3, 2, 1, 0, 3, 2]]),
    num_gpus=2,
    num_nodes=1,
    num_groups=1,
    dead_gpus=(),
    decision="updated",
    reason="",
    copies=1,
    shifted=0,
    balancedness_before=0.5,
    balancedness_after=0.75,
    seconds=0.001,
    digest="0123456789abcdef",
)


def real_windows(count: int = 30) -> Any:
    """Real loads of DeepSeek-V2-Lite, ``[windows, 26, 64]``."""
    counts = windows("deepseek-v2-lite_esft_seq_counts")
    return np.stack([part.sum(axis=0) for part in np.array_split(counts, count)]).astype(np.int64)


def recorded(
    engine: str = "vllm", count: int = 30, first: int = NOON, failing: int | None = 20
) -> list[Window]:
    """What a plug-in does with them: 72 slots on 8 GPUs, a window a minute."""
    balancer, made = eplb.Balancer(), []
    previous = np.tile(np.arange(72) % 64, (26, 1))
    for number, load in enumerate(real_windows(count)):
        start = time.perf_counter()
        update = balancer.step(load, previous, num_gpus=8)
        seconds = time.perf_counter() - start
        failed = number == failing
        answer = previous if failed else update.plan.phy2log
        copies = 0 if failed else int(update.copies.sum())
        before, after = (
            float(
                eplb.evaluate(eplb.Plan.from_phy2log(table, num_gpus=8), load).balancedness.mean()
            )
            for table in (previous, answer)
        )
        made.append(
            Window(
                engine=engine,
                model=0,
                number=number,
                time=first + 60.0 * number,
                load=load,
                previous=previous,
                phy2log=answer,
                num_gpus=8,
                num_nodes=1,
                num_groups=1,
                dead_gpus=(),
                decision="old map" if failed else "updated" if copies else "kept",
                reason="ranks have other loads or other maps" if failed else "",
                copies=copies,
                shifted=int(np.count_nonzero(update.shifted)),
                balancedness_before=before,
                balancedness_after=after,
                seconds=seconds,
                digest=balancer.digest(),
            )
        )
        previous = np.array(answer)
    return made


def write_record(folder: Path) -> None:
    """The folder ``records`` and the file ``eplb.prom`` in a folder."""
    recorder, metrics = Recorder(folder / "records", engine="vllm"), Metrics(folder / "eplb.prom")
    for window in recorded():
        recorder.add(window)
        metrics.add(window)
