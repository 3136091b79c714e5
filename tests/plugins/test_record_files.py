"""Record files: any windows come back equal, and any bytes are read or refused clearly."""

from __future__ import annotations

import json
import tempfile
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from eplb.analysis.record_summary import summarise
from eplb.errors import LoadError
from eplb.load_files import read_loads
from eplb.storage.record_file import FALLBACKS, CutLine, Record, decode, encode, name_of
from hypothesis import given
from hypothesis import strategies as st

TEXT = st.text(max_size=20)
COUNT = st.integers(0, 2**62)
TIME = st.floats(0, 4e9)
BALANCEDNESS = st.none() | st.floats(0, 1)


def tables(draw: st.DrawFn, layers: int, slots: int, experts: int) -> Any:
    cell = st.integers(-1, experts - 1)
    rows = draw(
        st.lists(st.lists(cell, min_size=slots, max_size=slots), min_size=layers, max_size=layers)
    )
    return np.array(rows, dtype=np.int64)


@st.composite
def a_record(draw: st.DrawFn, engine: st.SearchStrategy[str] = TEXT) -> Record:
    layers, experts, slots = (draw(st.integers(1, most)) for most in (3, 5, 7))
    load = np.array(
        draw(
            st.lists(
                st.lists(st.integers(0, 2**63 - 1), min_size=experts, max_size=experts),
                min_size=layers,
                max_size=layers,
            )
        ),
        dtype=np.int64,
    )
    before = draw(st.sampled_from([None, slots, slots, slots + 1]))
    previous = None if before is None else tables(draw, layers, before, experts)
    phy2log = tables(draw, layers, slots, experts)
    if before == slots and draw(st.booleans()):
        assert previous is not None
        phy2log = previous.copy()
        if draw(st.booleans()):
            phy2log[draw(st.integers(0, layers - 1)), draw(st.integers(0, slots - 1))] = 0
    return Record(
        eplb=draw(TEXT),
        engine=draw(engine),
        model=draw(st.integers(0, 2)),
        number=draw(COUNT),
        time=draw(TIME),
        num_gpus=draw(st.integers(1, 2**20)),
        num_nodes=draw(st.integers(1, 2**20)),
        num_groups=draw(st.integers(1, 2**20)),
        dead_gpus=tuple(draw(st.lists(st.integers(0, 2**31), max_size=3))),
        decision=draw(st.sampled_from(["updated", "kept", *FALLBACKS]) | TEXT),
        reason=draw(TEXT),
        copies=draw(COUNT),
        shifted=draw(COUNT),
        balancedness_before=draw(BALANCEDNESS),
        balancedness_after=draw(BALANCEDNESS),
        seconds=draw(st.floats(0, 1e6)),
        digest=draw(TEXT),
        load=load,
        previous=previous,
        phy2log=phy2log,
    )


def plain(record: Record) -> dict[str, Any]:
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    return {
        name: value.tolist() if isinstance(value, np.ndarray) else value
        for name, value in values.items()
    }


@given(a_record())
def test_any_window_comes_back_equal(record: Record) -> None:
    line = encode(record)
    assert line.endswith(b"}\n")
    assert line.count(b"\n") == 1
    assert plain(decode(line)) == plain(record)


@given(st.lists(a_record(st.sampled_from(["vllm", "sglang"])), min_size=1, max_size=6), st.data())
def test_files_of_several_processes_are_in_the_order_of_time(
    made: list[Record], data: st.DataObject
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for record in made:
            process = data.draw(st.integers(1, 3))
            with (Path(folder) / name_of(record.engine, 0, process, 0)).open("ab") as stream:
                stream.write(encode(record))
        found = summarise(folder)
        assert sum(model.windows for model in found.models) == len(made)
        assert sum(model.copies for model in found.models) == sum(each.copies for each in made)
        assert found.num_fallbacks == sum(each.decision in FALLBACKS for each in made)
        for series in {record.series for record in made}:
            mine = [record for record in made if record.series == series]
            newest = max(record.time for record in mine)
            shapes = {record.load.shape for record in mine if record.time == newest}
            wanted = {shape: [r for r in mine if r.load.shape == shape] for shape in shapes}
            read = read_loads(folder, key=series, trust=True)
            of_shape = wanted[read.windows[0].shape]
            times = [record.time for record in of_shape]
            assert len(read.windows) == len(of_shape)
            if len({*times}) == len(times):
                ordered = sorted(of_shape, key=lambda record: record.time)
                for window, record in zip(read.windows, ordered, strict=True):
                    assert np.array_equal(window, record.load)


def outcome(path: Path) -> tuple[int, str]:
    """How many windows are read, or why none is."""
    try:
        windows = len(read_loads(path, trust=True).windows)
    except LoadError as error:
        return 0, str(error)
    assert sum(model.windows for model in summarise(path).models) >= windows
    return windows, ""


def two_lines() -> tuple[bytes, bytes]:
    record = Record(
        *("0.1.0", "vllm", 0, 0, 1.0, 2, 1, 1, (), "kept", "", 0, 0, 0.5, 0.5, 0.1, "ab"),
        load=np.array([[1, 2], [3, 4]]),
        previous=np.array([[0, 1], [1, 0]]),
        phy2log=np.array([[0, 1], [1, 0]]),
    )
    line = encode(record)
    return line, line


def test_a_file_may_be_cut_at_any_byte(tmp_path: Path) -> None:
    first, second = two_lines()
    path = tmp_path / name_of("vllm", 0, 1, 0)
    for size in range(len(first) + len(second)):
        path.write_bytes((first + second)[:size])
        windows, message = outcome(tmp_path)
        whole = (size >= len(first) - 1) + (size >= len(first) + len(second) - 1)
        assert windows == whole, size
        assert message == ("" if whole else f"{tmp_path}: it has no whole window")
        windows, message = outcome(path)
        assert windows == whole, size
        assert (
            message == ""
            or "it is empty" in message
            or "it has no whole" in message
            or (
                "not valid JSON" in message  # a few bytes, which nobody can know
            )
        )
        # What the file system had not written yet may be zeros.
        path.write_bytes((first + second)[:size] + bytes(9))
        whole = (size >= len(first)) + (size == len(first) + len(second))
        assert (outcome(tmp_path)[0] == whole) or size == len(first) - 1, size


@given(st.data())
def test_any_damage_is_read_or_refused(data: st.DataObject) -> None:
    content = bytearray(b"".join(two_lines()))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / name_of("vllm", 0, 1, 0)
        path.write_bytes(content)
        for place in (Path(folder), path):
            windows, message = outcome(place)
            assert windows or message.startswith(f"{place}: ")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("load", [[1, -2], [3, 4]], "load[0][1] is -2; expected at least 0"),
        ("load", [[1, 2], [3]], "load must be integers of shape [2, 2]; its rows differ in length"),
        ("load", [[1, 2.5], [3, 4]], "some of its cells are not integers"),
        ("load", [], "load has no cells"),
        ("load", 5, "load is 5; expected a table"),
        ("time", "now", "time is 'now'; expected a number from 0 to below"),
        ("time", 1e300, "time is 1e+300; expected"),
        ("copies", -1, "copies is -1; expected a whole number of at least 0"),
        ("num_gpus", 0, "num_gpus must be a positive whole number, got 0"),
        (
            "balancedness_after",
            2,
            "balancedness_after is 2; expected a number from 0 to below 1.001",
        ),
        ("decision", None, "decision is None; expected a text"),
        ("dead_gpus", 3, "dead_gpus must be integers"),
        ("version", 2, "unknown format 'eplb record' version 2; expected 'eplb record' version 1"),
        ("format", "eplb plan", "this is no window of a record"),
        (
            "answer",
            {"layers": [5], "slots": [0], "experts": [0]},
            "answer has layer 5; expected 0 to 1",
        ),
        ("answer", {"layers": [0], "slots": [0]}, "answer lacks experts"),
        ("answer", 3, "answer must be an object"),
        ("previous", None, "but there is no map in force; expected a table"),
        ("more", 1, "the window has unknown keys: more"),
        ("load", ..., "the window lacks load"),
    ],
)
def test_a_broken_line_is_named(tmp_path: Path, name: str, value: Any, message: str) -> None:
    first, second = two_lines()
    values = json.loads(second)
    if value is ...:
        del values[name]
    else:
        values[name] = value
    path = tmp_path / name_of("vllm", 0, 1, 0)
    path.write_bytes(first + json.dumps(values).encode() + b"\n" + first)
    for read in (read_loads, summarise):
        with pytest.raises(LoadError) as caught:
            read(tmp_path)
        assert str(caught.value).startswith(f"{tmp_path}: {path.name}: line 2: ")
        assert message in str(caught.value)


def test_a_cut_line_in_the_middle_is_refused(tmp_path: Path) -> None:
    first, _ = two_lines()
    path = tmp_path / name_of("vllm", 0, 1, 0)
    path.write_bytes(first[:100] + b"\n" + first)
    with pytest.raises(LoadError, match="line 1: it is not valid JSON"):
        read_loads(path)
    assert str(CutLine(3, 1)) == "line 3, the last one, is cut off after 1 byte: left out"


def test_several_models_and_shapes(tmp_path: Path) -> None:
    line = two_lines()[0]
    values = json.loads(line)
    mtp = {**values, "model": 1, "load": [[5, 6]], "previous": None, "answer": [[0, 1]]}
    older = {**values, "load": [[1, 2, 3]], "time": 0.5, "number": 7}
    path = tmp_path / name_of("vllm", 0, 1, 0)
    path.write_text("".join(json.dumps(each) + "\n" for each in (mtp, older, values)))
    # The first key says what the file is, and json.dumps writes with spaces.
    path.write_bytes(path.read_bytes().replace(b'": ', b'":').replace(b", ", b","))
    read = read_loads(path, trust=True)
    assert read.loads.tolist() == [[1, 2], [3, 4]]  # type: ignore[union-attr]
    assert read.notes[:2] == (
        "vllm-0 is read, which has the most layers; it also has vllm-1",
        "1 window of vllm-0, from 1970-01-01 00:00:01 to 1970-01-01 00:00:01 UTC",
    )
    assert "1 older window of another shape than the newest one's 2 x 2 left out" in read.notes
    assert read_loads(path, key="vllm-1", trust=True).loads.tolist() == [[5, 6]]  # type: ignore[union-attr]
    with pytest.raises(LoadError, match="unknown key 'vllm-2'; expected one of vllm-0, vllm-1"):
        read_loads(tmp_path, key="vllm-2")
