"""The recorder: what is written is read back, in a bounded folder, whatever happens to a process."""

from __future__ import annotations

import os
import time
import tracemalloc
from dataclasses import fields, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from eplb.load_files import read_loads
from eplb.plugins.recorder import Recorder
from eplb.plugins.window import Window
from eplb.storage.record_file import CutLine, Record, files_of, read
from recorded import SMALL, recorded


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "not" / "yet"


def records(folder: Path) -> list[Record]:
    found = []
    for file in files_of(folder):
        with file.open("rb") as stream:
            found += [record for _, record in read(stream)]
    assert not any(isinstance(record, CutLine) for record in found)
    return [record for record in found if isinstance(record, Record)]


def assert_equal(record: Record, window: Window) -> None:
    for field in fields(window):
        written, given = getattr(record, field.name), getattr(window, field.name)
        if isinstance(given, np.ndarray):
            assert written.dtype == np.int64
            assert np.array_equal(written, given), field.name
        else:
            assert (written, type(written)) == (given, type(given)), field.name


def total(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.iterdir())


def test_a_record_has_the_fields_of_a_window() -> None:
    names = {field.name for field in fields(Window)}
    assert {field.name for field in fields(Record)} == names | {"eplb"}


def test_what_is_added_is_read_back(folder: Path) -> None:
    recorder = Recorder(folder, engine="vllm")
    assert not folder.exists()
    windows = recorded(count=4)
    for number, window in enumerate(windows, 1):
        recorder.add(window)
        assert len(records(folder)) == number  # at once, for another process
    for record, window in zip(records(folder), windows, strict=True):
        assert_equal(record, window)
    assert np.array_equal(read_loads(folder).loads, [window.load for window in windows])


@pytest.mark.parametrize(
    "change",
    [
        {"previous": None},
        {"phy2log": SMALL.previous},
        {"phy2log": np.full((2, 6), 3)},
        {"phy2log": np.array([[0, 1, 2, 3], [0, 1, 2, 3]]), "num_gpus": 4},
        {"previous": np.full((2, 9), -1), "dead_gpus": (1,)},
        {"previous": np.full((2, 6), 2**40)},
        {"reason": 'quote " line\nfeed \ud800 ü', "engine": "../x y"},
        {"balancedness_before": None, "balancedness_after": None, "copies": 2**40},
        {"load": np.full((2, 4), 2**62)},
    ],
)
def test_what_is_unusual_is_read_back(folder: Path, change: dict[str, Any]) -> None:
    window = replace(SMALL, **change)
    Recorder(folder, engine=window.engine).add(window)
    [record] = records(folder)
    assert_equal(record, window)


@pytest.mark.parametrize("load", [np.zeros((2, 4)), np.zeros(4, np.int64), np.zeros((0, 4), int)])
def test_no_table_of_integers_is_refused(folder: Path, load: Any) -> None:
    with pytest.raises(ValueError, match="expected integers of shape"):
        Recorder(folder, engine="vllm").add(replace(SMALL, load=load))
    assert not folder.exists()


def test_numbers_of_numpy_are_numbers(folder: Path) -> None:
    numbers: Any = {"copies": np.int64(3), "dead_gpus": (np.int64(1),), "seconds": np.float32(0.5)}
    Recorder(folder, engine="vllm").add(replace(SMALL, **numbers))
    [record] = records(folder)
    assert (record.copies, record.dead_gpus, record.seconds) == (3, (1,), 0.5)
    with pytest.raises(ValueError, match="not JSON compliant"):
        Recorder(folder, engine="vllm").add(replace(SMALL, seconds=float("nan")))


def test_names_sort_by_time_and_no_process_overwrites(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "time", lambda: 1795867200.0)
    first, second = Recorder(folder, engine="vllm"), Recorder(folder, engine="vllm")
    other = Recorder(folder, engine="sglang")
    for number in range(3):
        for recorder in (first, second, other):
            recorder.add(replace(SMALL, number=number))
    process = os.getpid()
    assert [file.name for file in files_of(folder)] == [
        f"eplb-sglang-20261128T120000-{process}.00000.jsonl",
        f"eplb-vllm-20261128T120000-{process}.00000.jsonl",
        f"eplb-vllm-20261128T120001-{process}.00000.jsonl",
    ]
    assert [record.number for record in records(folder)] == [0, 1, 2] * 3


def test_the_folder_is_bounded(folder: Path) -> None:
    recorder = Recorder(folder, engine="vllm", max_bytes=20_000)
    other = folder / "eplb-sglang-20200101T000000-1.00000.jsonl"
    folder.mkdir(parents=True)
    other.write_bytes(b"not mine\n")
    (folder / "notes.txt").write_bytes(b"nor this")
    older = folder / "eplb-vllm-20200101T000000-1.00000.jsonl"
    older.write_bytes(b"x" * 15_000)  # of an earlier process
    os.utime(older, (1, 1))
    for number in range(200):
        recorder.add(replace(SMALL, number=number))
        mine = sum(file.stat().st_size for file in files_of(folder, "vllm"))
        assert mine <= 20_000
    assert not older.exists()
    assert other.exists()
    other.unlink()
    numbers = [record.number for record in records(folder)]
    assert numbers == [*range(numbers[0], 200)]
    assert mine > 17_000  # not much is thrown away
    line = len(files_of(folder)[0].read_bytes().splitlines()[0])
    small = Recorder(folder / "small", engine="vllm", max_bytes=line - 10)
    with pytest.raises(OSError, match="a window takes"):
        small.add(SMALL)
    assert not (folder / "small").exists()


def test_after_a_failure_the_next_window_is_whole(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that is full cuts a line, and the next one must not be joined to it."""
    recorder = Recorder(folder, engine="vllm")
    recorder.add(SMALL)

    class Full:
        def __init__(self, stream: Any) -> None:
            self._stream = stream

        def __enter__(self) -> Self:
            return self

        def __exit__(self, *_: object) -> None:
            self._stream.close()

        def write(self, line: bytes) -> int:
            return int(self._stream.write(line[: len(line) // 2]))

    real = Path.open
    monkeypatch.setattr(Path, "open", lambda path, mode, **more: Full(real(path, mode, **more)))
    with pytest.raises(OSError, match="No space left"):
        recorder.add(replace(SMALL, number=1))
    monkeypatch.setattr(Path, "open", real)
    recorder.add(replace(SMALL, number=2))
    read_back = read_loads(folder)
    assert len(read_back.windows) == 2
    assert "line 2, the last one, is cut off after" in read_back.notes[0]


def test_a_folder_that_cannot_be_made_raises(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = Recorder(tmp_path / "file" / "records", engine="vllm")
    with pytest.raises(OSError, match="Not a directory"):
        recorder.add(SMALL)


def test_a_folder_that_was_deleted_is_made_again(folder: Path) -> None:
    recorder = Recorder(folder, engine="vllm")
    recorder.add(SMALL)
    files_of(folder)[0].unlink()
    folder.rmdir()
    with pytest.raises(FileNotFoundError):
        recorder.add(SMALL)
    recorder.add(SMALL)
    assert len(records(folder)) == 1


def test_a_window_of_a_large_model_is_small_and_quick(folder: Path) -> None:
    """As docs/recording.md says; the time is that of this process, as other ones may run."""
    random = np.random.default_rng(0)
    load = random.lognormal(7, 1.2, (58, 256)).astype(np.int64)
    before = random.permuted(np.tile(np.arange(288) % 256, (58, 1)), axis=1)
    after = before.copy()
    after[random.integers(0, 58, 600), random.integers(0, 288, 600)] = 3
    window = replace(SMALL, load=load, previous=before, phy2log=after)
    recorder, times = Recorder(folder, engine="vllm"), []
    for _ in range(30):
        start = time.process_time()
        recorder.add(window)
        times.append(time.process_time() - start)
    assert 120 * 2**10 < total(folder) / 30 < 132 * 2**10
    assert min(times) < 0.005


def test_memory_does_not_grow(folder: Path) -> None:
    recorder = Recorder(folder, engine="vllm", max_bytes=2**20)
    windows = [replace(SMALL, reason=str(number)) for number in range(100)]
    for window in windows * 40:  # until files are deleted
        recorder.add(window)
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        for _ in range(100):
            for window in windows:
                recorder.add(window)
        after, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 10_000
    assert peak - before < 150_000
    assert total(folder) <= 2**20
