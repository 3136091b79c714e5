"""What the plug-in records inside the engines is what they counted, and the maps they had in force."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from engine_runs.case import Case
from engine_runs.measures import problems
from engine_runs.processes import run
from engine_runs.sglang_rank import DENSE
from engine_runs.traffic import v2_lite
from eplb.storage import record_file

if TYPE_CHECKING:
    from pathlib import Path

WINDOWS, EXPERTS, LAYERS = 4, 64, 3
TRAFFIC = v2_lite(WINDOWS)[None, :, :, :LAYERS]


@pytest.mark.parametrize(
    ("engine", "mode", "dense"),
    [("vllm", "sync", 0), ("vllm", "async", 0), ("sglang", "plain", DENSE)],
)
def test_rank_0_records_the_loads_and_the_maps(
    engine: str, mode: str, dense: int, tmp_path: Path
) -> None:
    folder, metrics = tmp_path / "records", tmp_path / "eplb.prom"
    environment = {"EPLB_RECORD": str(folder), "EPLB_METRICS": str(metrics)}
    told = run(Case(engine, mode, TRAFFIC, slots=80, environment=environment))
    assert list(problems(told, EXPERTS)) == []
    (file,) = record_file.files_of(folder)
    with file.open("rb") as stream:
        lines = [record for _, record in record_file.read(stream)]
    records = [each for each in lines if isinstance(each, record_file.Record) and each.load.any()]
    assert [record.decision for record in records] == ["updated"] * WINDOWS
    for window, record in enumerate(records):
        assert record.engine == engine
        assert not record.load[:dense].any()
        assert np.array_equal(record.load[dense:], TRAFFIC[0, window].sum(axis=0))
        assert record.previous is not None
        assert np.array_equal(record.previous[dense:], told[0].maps[0][window])
        assert np.array_equal(record.phy2log[dense:], told[0].maps[0][window + 1])
    text = metrics.read_text()
    assert f'engine="{engine}"' in text
    copies = sum(record.copies for record in records)
    assert any(
        line.startswith("eplb_copies") and line.endswith(f" {copies}") for line in text.splitlines()
    )
