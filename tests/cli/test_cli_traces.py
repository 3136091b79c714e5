"""Traces of every writer through `eplb replay`: read as a whole, and window by window."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import recorded
import torch
from eplb import limits
from eplb.inputs.windows import Windows
from eplb.load_files import read_trace, read_windows
from eplb.plugins.recorder import Recorder
from eplb.plugins.window import Window
from safetensors.numpy import save_file

if TYPE_CHECKING:
    from collections.abc import Callable

TRACE = np.random.default_rng(3).lognormal(5, 1, (12, 3, 16)).astype(np.int64)
SIZES: dict[str, Any] = {"num_gpus": 4, "num_replicas": 20}
EXPECTED = eplb.replay(TRACE, "trivial multiwindow", **SIZES).to_dict()["rows"]


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(params=["whole", "one by one"])
def way(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Files as large as any are read one by one, and only one is kept."""
    if request.param == "one by one":
        monkeypatch.setattr(limits, "MAX_TRACE_BYTES", 0)
        monkeypatch.setattr(limits, "MAX_KEPT_BYTES", 0)
    return request.param


def slots(load: Any) -> Any:
    """Counts of 20 slots, by PHY2LOG, of loads of 16 experts."""
    counts = np.zeros((*load.shape[:-1], 20), np.int64)
    counts[..., :16] = load - load // 3 * (np.arange(16) < 4)
    counts[..., 16:] = (load // 3)[..., :4]
    return counts


PHY2LOG = [[*range(16), *range(4)]] * 3


def npy() -> str:
    np.save("trace.npy", TRACE)
    return "trace.npy"


def npy_of_floats() -> str:
    np.save("trace.npy", TRACE.astype(np.float32))
    return "trace.npy"


def fortran() -> str:
    np.save("trace.npy", np.asfortranarray(TRACE))
    return "trace.npy"


def turned() -> str:
    np.save("trace.npy", TRACE.swapaxes(1, 2))
    return "trace.npy --axes windows,experts,layers"


def windows_in_the_middle() -> str:
    np.save("trace.npy", TRACE.swapaxes(0, 1))
    return "trace.npy --axes layers,windows,experts"


def counts_of_slots() -> str:
    np.save("trace.npy", slots(TRACE))
    eplb.Plan.from_phy2log(PHY2LOG, num_gpus=4).save("placed.json")
    return "trace.npy --placement placed.json"


def npz() -> str:
    np.savez_compressed("trace.npz", load=TRACE)
    return "trace.npz"


def tensor() -> str:
    torch.save(torch.tensor(TRACE), "trace.pt")
    return "trace.pt"


def lines() -> str:
    Path("trace.jsonl").write_text("".join(f"{json.dumps(w.tolist())}\n\n" for w in TRACE))
    return "trace.jsonl"


def objects() -> str:
    texts = [json.dumps({"engine": "mine", "load": window.tolist()}) for window in TRACE]
    Path("trace.jsonl").write_text("\n".join(texts))
    return "trace.jsonl"


def objects_by_time() -> str:
    order = [5, 0, 11, 3, 4, 1, 2, 6, 10, 9, 8, 7]
    texts = [json.dumps({"time": 100 + at, "loads": TRACE[at].tolist()}) for at in order]
    Path("trace.ndjson").write_text("\n".join(texts))
    return "trace.ndjson"


def folder_of_arrays() -> str:
    Path("morning").mkdir()
    for at, window in enumerate(TRACE):
        np.save(f"morning/window-{at}.npy", window)  # 10 is after 9
    Path("morning/README").write_text("not a window")
    return "morning"


def files() -> str:
    np.save("a.npy", TRACE[:5])
    Path("b.json").write_text(json.dumps(TRACE[5:6].tolist()))
    np.save("c.npy", TRACE[6:])
    return "a.npy b.json c.npy"


def sglang() -> str:
    for at, part in enumerate((TRACE[:7], TRACE[7:])):
        values = {"rank": 0, "logical_count": torch.tensor(part)}
        torch.save(values, f"expert_distribution_recorder_{at}.pt")
    return "expert_distribution_recorder_0.pt expert_distribution_recorder_1.pt"


def folder_of_sglang() -> str:
    Path("dumps").mkdir()
    for at in range(12):
        values = {"rank": 0, "logical_count": torch.tensor(TRACE[at : at + 1])}
        torch.save(values, f"dumps/expert_distribution_recorder_{999 + at}.5.pt")
    return "dumps"


def passes_of_sglang() -> str:
    """Of two ranks, summed for each pass."""
    Path("dumps").mkdir()
    for rank, part in enumerate((TRACE // 2, TRACE - TRACE // 2)):
        records = [
            {
                "forward_pass_id": at,
                "rank": rank,
                "global_physical_count": torch.tensor(slots(window)),
            }
            for at, window in enumerate(part)
        ]
        values = {"records": records, "last_physical_to_logical_map": torch.tensor(PHY2LOG)}
        torch.save(values, f"dumps/expert_distribution_recorder_1_{rank}.pt")
    return "dumps"


def trtllm() -> str:
    """Iterations, which a plan sums, are the windows of a trace."""
    Path("dump").mkdir()
    Path("dump/meta_info.json").write_text('{"num_experts": 16}')
    for rank, part in enumerate((TRACE // 2, TRACE - TRACE // 2)):
        arrays = {
            f"{100 + at}_{3 + layer}": part[at, layer] for at in range(12) for layer in range(3)
        }
        save_file(arrays, f"dump/rank{rank}.safetensors")
    return "dump"


def record() -> str:
    """Two engines; that with more layers is read."""
    table = np.tile(np.arange(20) % 16, (3, 1))
    for engine, loads in (("vllm", TRACE), ("sglang", TRACE[:, :2])):
        recorder = Recorder(Path("records"), engine=engine)
        for at, load in enumerate(loads):
            own = {"engine": engine, "number": at, "time": recorded.NOON + 60.0 * at, "load": load}
            maps = {"previous": table[: len(load)], "phy2log": table[: len(load)], "num_gpus": 4}
            recorder.add(Window(**{**vars(recorded.SMALL), **own, **maps}))
    return "records"


def one_record_file() -> str:
    record()
    (file,) = Path("records").glob("eplb-vllm-*.jsonl")
    return str(file)


def record_in_another_order() -> str:
    """As another program may write it, with the last line cut."""
    file = Path(one_record_file())
    texts = [json.loads(line) for line in file.read_text().splitlines()]
    first = ("format", "version", "load")
    ordered = [
        {name: t[name] for name in [*first, *(k for k in t if k not in first)]} for t in texts
    ]
    rest = "\n".join(json.dumps(text, separators=(",", ":")) for text in ordered)
    file.write_text(rest + '\n{"format":"eplb record","ver')
    return str(file)


TRACES = [
    npy, npy_of_floats, fortran, turned, windows_in_the_middle, counts_of_slots, npz, tensor, lines, objects,
    objects_by_time, folder_of_arrays, files, sglang, folder_of_sglang, passes_of_sglang, trtllm, record,
    one_record_file, record_in_another_order,
]  # fmt: skip
#: These are read one by one even if they are one file.
ONE_BY_ONE = {
    npy, npy_of_floats, files, turned, counts_of_slots, lines, objects, objects_by_time, record, one_record_file,
    record_in_another_order,
}  # fmt: skip


def without_times(rows: Any) -> Any:
    return [{name: value for name, value in row.items() if name != "seconds"} for row in rows]


@pytest.mark.parametrize("write", TRACES, ids=lambda write: write.__name__)
def test_every_trace_is_replayed(write: Callable[[], str], way: str, run: Any) -> None:
    what = write()
    code, out, err = run(
        f"replay {what} --gpus 4 --redundant 4 --json --settings", "trivial multiwindow"
    )
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert without_times(values["rows"]) == without_times(EXPECTED)
    one_by_one = any("windows read one by one" in note for note in values["notes"])
    assert one_by_one == (way == "one by one" and write in ONE_BY_ONE)
    if write in (record, one_record_file):
        assert any(
            note.startswith("12 windows of vllm-0, from 2026-11-28 12:00")
            for note in values["notes"]
        )
    if write is trtllm:
        assert "12 passes, each a window" in values["notes"]


@pytest.mark.parametrize("write", TRACES, ids=lambda write: write.__name__)
def test_windows_are_those_of_read_windows(write: Callable[[], str]) -> None:
    what, _, option = write().partition(" --")
    name, _, value = option.partition(" ")
    options: Any = {name: value} if name else {}
    whole = read_windows(what.split(), **options)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(limits, "MAX_TRACE_BYTES", 0)
        read = read_trace(what.split(), **options)
        assert isinstance(read.windows, Windows)
        windows = whole.recorded if len(whole.windows) == 1 else whole.windows
        assert len(read.windows) == len(windows)
        for at in (3, 0, 11, -1):
            assert read.windows[at].tolist() == windows[at].tolist()
        assert [window.tolist() for window in read.windows[4:9:2]] == [
            window.tolist() for window in windows[4:9:2]
        ]
        assert read.layers == whole.layers
        merged = read.merged(3).windows
    assert [w.tolist() for w in merged] == [
        w.tolist() for w in eplb.load_files.FileLoads(tuple(windows)).merged(3).windows
    ]
    with pytest.raises(IndexError, match="there is no window 12 of 12"):
        read.windows[12]


@pytest.fixture
def large(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every file is too large to be read as a whole."""
    monkeypatch.setattr(limits, "MAX_TRACE_BYTES", 0)
    monkeypatch.setattr("eplb.cli.options.is_large", lambda _: True)


@pytest.mark.usefixtures("large")
@pytest.mark.parametrize("policy", ["", "--policy minimax"])
def test_plan_and_replan_of_a_large_trace(policy: str, run: Any) -> None:
    """The plans of the same windows in memory."""
    windows = np.concatenate([TRACE] * 12)  # more than are summed together
    np.save("trace.npy", windows)
    code, out, err = run(f"plan trace.npy --gpus 4 --redundant 4 {policy} --out plan.json --json")
    assert (code, err) == (0, "")
    made = eplb.plan(windows, policy=policy.removeprefix("--policy ") or "multiwindow", **SIZES)
    assert json.loads(out)["digest"] == made.digest()
    assert any(note.startswith("no figures of each window") for note in json.loads(out)["notes"])
    assert eplb.load_plan("plan.json").digest() == made.digest()
    code, out, err = run("replan trace.npy --previous plan.json --json")
    assert (code, err) == (0, "")
    history = eplb.LoadHistory()
    history.observe(windows)
    assert json.loads(out)["digest"] == eplb.replan(history, made).plan.digest()


@pytest.mark.usefixtures("large")
def test_replan_of_some_layers_of_a_large_trace(run: Any) -> None:
    """Loads of all hidden layers, of which the first is dense."""
    dense = np.zeros((12, 1, 16), np.int64)
    np.save("trace.npy", np.concatenate([dense, TRACE], axis=1))
    np.save("first.npy", TRACE[0])
    line = "--layers 1-3 --num-hidden-layers 4 --format trtllm"
    assert run(f"plan first.npy --gpus 4 --redundant 4 {line} --out placed.yaml")[0] == 0
    previous = "--previous placed.yaml --previous-format trtllm --previous-gpus 4"
    code, out, err = run(f"replan trace.npy {previous} --json")
    assert (code, err) == (0, "")
    values = json.loads(out)
    assert any("left out: the placement does not have" in note for note in values["notes"]), values[
        "notes"
    ]
    history = eplb.LoadHistory()
    history.observe(TRACE)
    expected = eplb.replan(history, eplb.plan(TRACE[0], **SIZES)).plan
    assert values["digest"] == expected.digest()


@pytest.mark.usefixtures("large")
def test_histories_learn_from_windows_of_a_file() -> None:
    trace = np.concatenate([TRACE] * 12)
    np.save("trace.npy", trace)
    ours, theirs = eplb.LoadHistory(), eplb.LoadHistory()
    ours.observe(read_trace(["trace.npy"]).windows)
    theirs.observe(trace)
    assert ours.digest() == theirs.digest()
    settings: Any = {"every": 70, "warmup": 70, **SIZES}
    replayed = eplb.replay(read_trace(["trace.npy"]), "multiwindow static", **settings).to_dict()
    expected = eplb.replay(trace, "multiwindow static", **settings).to_dict()
    assert without_times(replayed["rows"]) == without_times(expected["rows"])
    trace[100, 1, 2] = -1
    np.save("trace.npy", trace)
    before = ours.digest()
    with pytest.raises(eplb.LoadError, match="window 100: layer 1, expert 2: the load is -1"):
        ours.observe(read_trace(["trace.npy"]).windows)
    assert ours.digest() == before, "of invalid loads it learns nothing"
    np.save("trace.npy", trace.astype(np.float32) + 1.5)
    with pytest.raises(eplb.LoadError, match="144 windows of floats are not summed one by one"):
        eplb.plan(read_trace(["trace.npy"]).windows, policy="minimax", **SIZES)


def bad_array() -> None:
    trace = TRACE.copy()
    trace[5, 2, 7] = -1
    np.save("trace.npy", trace)


def bad_line() -> None:
    lines()
    texts = Path("trace.jsonl").read_text().split("\n")
    Path("trace.jsonl").write_text("\n".join([*texts[:10], "[[1, 2", *texts[11:]]))


def short_line() -> None:
    lines()
    texts = Path("trace.jsonl").read_text().split("\n")
    Path("trace.jsonl").write_text("\n".join([*texts[:10], "[[1, 2]]", *texts[11:]]))


def bad_record() -> None:
    file = Path(one_record_file())
    content = file.read_text().splitlines(keepends=True)
    content[5] = content[5].replace('"load":[[', '"load":[[-')
    file.write_text("".join(content))
    file.rename("trace.jsonl")


def cut_record() -> None:
    file = Path(one_record_file())
    content = file.read_text().splitlines(keepends=True)
    content[5] = content[5][:99] + "\n"
    file.write_text("".join(content))
    file.rename("trace.jsonl")


def another_shape() -> None:
    np.save("trace.npy", TRACE)
    np.save("more.npy", TRACE[:, :2])


REFUSED: dict[str, tuple[Callable[[], None], str, str]] = {
    "array": (
        bad_array,
        "trace.npy",
        "trace.npy: window 5: layer 2, expert 7: the load is -1; expected a finite number",
    ),
    "line": (bad_line, "trace.jsonl", "trace.jsonl: line 11: it is not valid JSON"),
    "short line": (
        short_line,
        "trace.jsonl",
        "trace.jsonl: window 5: line 11 has shape [1, 2], but the first one [3, 16]",
    ),
    "record": (bad_record, "trace.jsonl", "trace.jsonl: window 5: load[0][0] is -"),
    "cut record": (cut_record, "trace.jsonl", "trace.jsonl: line 6: it is not valid JSON"),
    "another shape": (
        another_shape,
        "trace.npy more.npy",
        "more.npy: it has 2 layers x 16 experts, but trace.npy has 3 x 16",
    ),
}


@pytest.mark.parametrize("name", [*REFUSED])
def test_what_is_wrong_is_said(name: str, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TRACE_BYTES", 0)
    spoil, what, words = REFUSED[name]
    spoil()
    code, out, err = run(f"replay {what} --gpus 4 --redundant 4")
    assert (code, out) == (2, "")
    assert err.startswith(f"eplb: {words}"), err


def test_a_folder_without_loads(run: Any) -> None:
    Path("empty").mkdir()
    for command in ("replay", "plan"):
        code, _, err = run(f"{command} empty --gpus 4")
        assert code == 2
        assert err.startswith("eplb: empty: this is a directory without ")
        assert "files with loads (.npy, .npz," in err


def test_a_file_that_changes_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_TRACE_BYTES", 0)
    monkeypatch.setattr(limits, "MAX_KEPT_BYTES", 0)
    np.save("a.npy", TRACE)
    Path("b.json").write_text(json.dumps(TRACE[:4].tolist()))
    Path("c.json").write_text(json.dumps(TRACE[:4].tolist()))
    read = read_trace(["a.npy", "b.json", "c.json"])
    np.save("a.npy", TRACE[:6])
    with pytest.raises(eplb.LoadError, match=r"a\.npy: window 11: the file is shorter than it was"):
        read.windows[11]
    Path("b.json").write_text(json.dumps(TRACE[:3].tolist()))
    with pytest.raises(eplb.LoadError, match=r"b\.json: it has 3 windows now, and had 4"):
        read.windows[12]


def test_memory_does_not_grow_with_the_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of 64 MB of windows, a few are in memory at once; numpy's maps are read so too."""
    import tracemalloc

    monkeypatch.setattr(limits, "MAX_TRACE_BYTES", 2**20)
    np.save("trace.npy", np.tile(TRACE.repeat(16, 2).repeat(10, 1), (170, 1, 1)))
    assert Path("trace.npy").stat().st_size > 60e6
    options: Any = {"num_gpus": 4, "num_replicas": 260, "every": 500}
    peaks = []
    for trace in (lambda: read_trace(["trace.npy"]), lambda: np.load("trace.npy", mmap_mode="r")):
        tracemalloc.start()
        eplb.replay(trace(), "trivial", **options)
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert max(peaks) < 40e6
