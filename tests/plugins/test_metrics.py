"""The file of metrics, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, get_args

import eplb
import pytest
from eplb.plugins.metrics import FAMILIES, Metrics
from eplb.plugins.window import Decision, Window
from prometheus_client.parser import text_string_to_metric_families
from recorded import SMALL

if TYPE_CHECKING:
    from pathlib import Path

Samples = dict[tuple[str, str, str], float]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "eplb.prom"


def written(file: Path, *windows: Window) -> Samples:
    """Samples by name, model and further label, after these windows."""
    metrics = Metrics(file)
    for window in windows:
        metrics.add(window)
    found: Samples = {}
    kinds = {name: kind for name, kind, _ in FAMILIES}
    for family in text_string_to_metric_families(file.read_text()):
        for sample in family.samples:
            assert kinds[sample.name] == family.type
            assert len(family.documentation) > 10
            labels = dict(sample.labels)
            assert labels.pop("engine") == windows[-1].engine
            key = sample.name, labels.pop("model"), "".join(labels.values())
            assert key not in found
            found[key] = sample.value
    return found


def test_every_figure(file: Path) -> None:
    found = written(
        file,
        SMALL,
        replace(SMALL, decision="old map", copies=0, shifted=2, seconds=0.25, time=9.5),
        replace(SMALL, decision="kept", copies=4, balancedness_after=0.875, seconds=0.5, time=60.0),
    )
    assert found == {
        ("eplb_info", "0", eplb.__version__): 1,
        ("eplb_balancedness_before", "0", ""): 0.5,
        ("eplb_balancedness_after", "0", ""): 0.875,
        **{("eplb_windows_total", "0", decision): 0 for decision in get_args(Decision)},
        ("eplb_windows_total", "0", "updated"): 1,
        ("eplb_windows_total", "0", "old map"): 1,
        ("eplb_windows_total", "0", "kept"): 1,
        ("eplb_fallbacks_total", "0", "old map"): 1,
        ("eplb_fallbacks_total", "0", "own planner"): 0,
        ("eplb_fallbacks_total", "0", "default"): 0,
        ("eplb_copies_total", "0", ""): 5,
        ("eplb_shifted_layers_total", "0", ""): 2,
        ("eplb_last_planning_seconds", "0", ""): 0.5,
        ("eplb_planning_seconds_total", "0", ""): 0.751,
        ("eplb_last_window_timestamp_seconds", "0", ""): 60,
    }
    assert {name for name, _, _ in found} == {name for name, _, _ in FAMILIES}


def test_models_have_series_of_their_own(file: Path) -> None:
    found = written(file, SMALL, replace(SMALL, model=1, copies=7), SMALL)
    assert found["eplb_copies_total", "0", ""] == 2
    assert found["eplb_copies_total", "1", ""] == 7
    assert file.read_text().count("# TYPE eplb_copies_total") == 1


def test_a_balancedness_that_is_not_known_has_no_sample(file: Path) -> None:
    none = replace(SMALL, balancedness_before=None, balancedness_after=None)
    found = written(file, SMALL, none)
    assert not any("balancedness" in name for name, _, _ in found)
    assert "balancedness" not in file.read_text()


def test_labels_are_escaped(file: Path) -> None:
    engine = 'a"b\\c\nd\\n'
    assert written(file, replace(SMALL, engine=engine))["eplb_copies_total", "0", ""] == 1
    Metrics(file).add(replace(SMALL, engine="\ud800"))  # which no file can hold
    assert 'engine="?"' in file.read_text()


def test_it_is_written_as_a_whole(file: Path) -> None:
    """A reader has the old file or the new one, and no other file is left beside it."""
    metrics = Metrics(file)
    metrics.add(SMALL)
    with file.open() as before:
        metrics.add(SMALL)
        assert 'eplb_copies_total{engine="vllm",model="0"} 1\n' in before.read()
    assert 'eplb_copies_total{engine="vllm",model="0"} 2\n' in file.read_text()
    assert [path.name for path in file.parent.iterdir()] == ["eplb.prom"]


def test_a_file_that_cannot_be_written_raises_and_loses_no_count(tmp_path: Path) -> None:
    folder = tmp_path / "later"
    metrics = Metrics(folder / "eplb.prom")
    with pytest.raises(FileNotFoundError, match=r"eplb\.prom"):
        metrics.add(SMALL)
    folder.mkdir()
    metrics.add(SMALL)
    assert 'eplb_copies_total{engine="vllm",model="0"} 2\n' in (folder / "eplb.prom").read_text()
