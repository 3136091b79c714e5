"""`eplb record`, and other commands with records in the place of loads and placements."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.plugins.recorder import Recorder
from eplb.storage.record_file import files_of
from recorded import NOON, recorded

if TYPE_CHECKING:
    from eplb.plugins.window import Window

WINDOWS = recorded(count=10, failing=7)


def record(*windows: Window, engine: str = "vllm") -> None:
    """Adds them to the folder ``records`` as a new process does."""
    recorder = Recorder("records", engine=engine)
    for window in windows:
        recorder.add(window)


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, with a record in it."""
    monkeypatch.chdir(tmp_path)
    record(*WINDOWS)
    return tmp_path


def test_the_summary_says_what_happened(run: Any) -> None:
    code, out, err = run("record --summary records")
    assert (code, err) == (0, "")
    lines = out.splitlines()
    before, after = (
        np.array([getattr(window, f"balancedness_{name}") for window in WINDOWS])
        for name in ("before", "after")
    )
    times = np.array([window.seconds for window in WINDOWS]) * 1000
    copies = sum(window.copies for window in WINDOWS)
    shifts = [window.shifted for window in WINDOWS if window.shifted]
    figures = [
        f"mean {each.mean():.4f}, 10th percentile {np.sort(each)[0]:.4f}, worst {each.min():.4f}"
        for each in (before, after)
    ]
    worst = f"2026-11-28 12:0{before.argmin()}:00"
    assert lines == [
        "Record of 10 windows: vllm",
        "  from          2026-11-28 12:00:00 UTC",
        "  to            2026-11-28 12:09:00 UTC",
        "  written by    1 process: 1 file",
        f"  eplb          {eplb.__version__}",
        "vllm, model 0: 26 layers, 64 experts in 72 slots on 8 GPUs",
        "  windows       10: 9 updated, 1 old map",
        f"  copies        {copies}, {copies / (10 * 26 * 72):.3%} of the slots at a window",
        f"  reached       {figures[0]}",
        f"                the worst at {worst}",
        f"  planned       {figures[1]}",
        f"  planning time median {np.median(times):.2f} ms, largest {times.max():.2f} ms",
        f"  shifts        in {len(shifts)} windows, of {sum(shifts)} layers in all",
        "Fallbacks: 1 window",
        "  old map       2026-11-28 12:07:00: ranks have other loads or other maps",
    ]
    # A file is summarised too.
    assert run(f"record --summary {files_of(Path('records'))[0]}")[1] == out


def test_json_has_every_figure(run: Any) -> None:
    values = json.loads(run("record --summary records --json")[1])
    [model] = values["models"]
    assert (model["engine"], model["model"], model["windows"]) == ("vllm", 0, 10)
    assert model["decisions"] == {"updated": 9, "old map": 1}
    assert model["after"]["worst"] == min(window.balancedness_after or 2 for window in WINDOWS)
    assert (model["first"], model["last"]) == (NOON, NOON + 540)
    assert (values["files"], values["processes"], values["restarts"]) == (1, 1, 0)
    assert values["fallbacks"] == [
        {
            "time": NOON + 420,
            "series": "vllm-0",
            "decision": "old map",
            "reason": "ranks have other loads or other maps",
        }
    ]


def test_models_restarts_and_cut_lines(run: Any) -> None:
    mtp = [
        replace(
            window,
            model=1,
            load=window.load[:1],
            previous=None,
            phy2log=window.phy2log[:1],
            time=window.time + 1,
            balancedness_before=None,
            shifted=0,
        )
        for window in WINDOWS[:3]
    ]
    record(*mtp)  # at the same time
    record(*(replace(window, time=window.time + 3600, dead_gpus=(3,)) for window in WINDOWS[:2]))
    newest = files_of(Path("records"))[-1]
    with newest.open("ab") as stream:
        stream.write(b'{"format":"eplb record","ver')
    out = run("record --summary records")[1]
    assert "  written by    3 processes, 1 restart: 3 files\n" in out
    assert "Record of 15 windows: vllm\n" in out
    assert "vllm, model 0: 26 layers, 64 experts in 72 slots on 8 GPUs, 1 of them dead\n" in out
    assert "vllm, model 1: 1 layer, 64 experts in 72 slots on 8 GPUs\n" in out
    assert "  reached       not known\n  planned " in out
    assert "  shifts        none\nFallbacks: 1 window\n" in out
    assert "  old map       2026-11-28 12:07:00 vllm-0: ranks have other" in out
    assert "is cut off after 28 bytes:" in out
    assert len(out.splitlines()) <= 26
    assert max(map(len, out.splitlines())) <= 80


def test_many_fallbacks_are_not_all_shown(run: Any) -> None:
    failed = [
        replace(
            WINDOWS[0], decision="own planner", reason=f"\x1b[31m {n} " + "x" * 5000, time=NOON + n
        )
        for n in range(8)
    ]
    record(*failed)
    out = run("record --summary records")[1]
    assert "Fallbacks: 9 windows, the newest 5 kinds\n" in out
    assert "\x1b" not in out
    assert len(out) < 4000


def test_fallbacks_alike_are_one_line(run: Any) -> None:
    """From when to when, so that the beginning is seen however long it lasts."""
    record(
        *(
            replace(WINDOWS[0], decision="own planner", reason="given up", time=NOON + 3600 + n)
            for n in range(40)
        )
    )
    out = " ".join(run("record --summary records")[1].split())
    assert "own planner 40 windows, 2026-11-28 13:00:00 to 2026-11-28 13:00:39: given up" in out


def test_what_is_no_record_is_refused(run: Any, tmp_path: Path) -> None:
    Path("empty").mkdir()
    np.save("loads.npy", WINDOWS[0].load)
    broken = Path("broken")
    broken.mkdir()
    file = files_of(Path("records"))[0]
    content = file.read_bytes().splitlines(keepends=True)
    content[2] = content[2].replace(b'"copies":', b'"copies":-')
    (broken / file.name).write_bytes(b"".join(content))
    (tmp_path / "cut").mkdir()
    (tmp_path / "cut" / file.name).write_bytes(content[0][:50])
    for line, message in (
        (
            "record --summary empty",
            "empty: this is a directory without eplb-*.jsonl (records of eplb's plug-ins)\n",
        ),
        ("record --summary missing", "missing: No such file or directory\n"),
        ("record --summary loads.npy", "loads.npy: line 1: it is not valid JSON"),
        ("record --summary broken", f"broken: {file.name}: line 3: copies is -"),
        ("plan broken --gpus 8", f"broken: {file.name}: line 3: copies is -"),
        (
            "record --summary cut",
            "cut: it has no whole window\nhint: was the engine run with EPLB_RECORD?\n",
        ),
        ("record", "there is nothing to do\nhint: give --summary DIR"),
        ("plan loads.npy --gpus 8 --from record", "loads.npy: line 1: it is not valid JSON"),
    ):
        code, out, err = run(line)
        assert (code, out) == (2, ""), line
        assert err.startswith(f"eplb: {message}"), line


def test_records_are_planned_evaluated_and_compared(run: Any) -> None:
    np.save("loads.npy", np.stack([window.load for window in WINDOWS]))
    note = (
        "  note          10 windows of vllm-0, from 2026-11-28 12:00:00 to 2026-11-28\n"
        "                12:09:00 UTC\n"
    )
    digests = {}
    file = str(files_of(Path("records"))[0])
    for source in ("records", file, "loads.npy"):
        code, out, err = run(f"plan {source} --gpus 8 --redundant 8 -o plan.json")
        assert (code, err, note in out) == (0, "", source != "loads.npy")
        digests[source] = eplb.load_plan("plan.json").digest()
    assert len({*digests.values()}) == 1
    assert note in run("evaluate plan.json records")[1]
    code, out, err = run("compare records --gpus 8 --redundant 8")
    assert (code, err) == (0, "")
    assert "10 windows of vllm-0" in out
    assert run("plan records --from record --gpus 8")[0] == 0
    assert run("plan records --key vllm-0 --gpus 8")[0] == 0
    assert "hint: did you mean 'vllm-0'?" in run("plan records --key vlm-0 --gpus 8")[2]


def test_a_record_is_replayed(run: Any) -> None:
    """The newest map is the placement in force, and the record is enough for the next update."""
    balancer = eplb.Balancer()
    for window in WINDOWS:
        balancer.step(window.load, window.previous, num_gpus=8)
    history = eplb.LoadHistory()
    history.observe(np.stack([window.load for window in WINDOWS]))
    wanted = eplb.replan(history, WINDOWS[-1].phy2log, num_gpus=8).plan
    code, out, err = run("replan records --previous records --out next.json")
    assert (code, err) == (0, "")
    assert eplb.load_plan("next.json").digest() == wanted.digest()
    assert balancer.history.digest() == history.digest()
    assert (
        "  note          the placement is the newest map of vllm-0, of 2026-11-28\n"
        "                12:09:00 UTC\n"
    ) in out
    code, out, err = run("evaluate records records --json")
    assert (code, err) == (0, "")
    assert json.loads(out)["phy2log"] == WINDOWS[-1].phy2log.tolist()
    code, out, err = run("split records records")
    assert (code, err) == (0, "")


def test_what_dead_gpus_hold_is_lost(run: Any) -> None:
    load = WINDOWS[-1].load
    whole = eplb.plan(load, num_gpus=8, num_replicas=80)
    update = eplb.replan(load, whole, dead_gpus=[3])
    table = update.plan.phy2log.copy()
    assert (table[:, 30:40] == -1).all()
    table[:, 30:40] = 5  # as some engines want it
    record(replace(WINDOWS[-1], time=NOON + 1000, phy2log=table, dead_gpus=(3,)))
    values = json.loads(run("evaluate records records --json")[1])
    assert values["phy2log"] == update.plan.phy2log.tolist()
    assert values["cluster"] == update.plan.cluster.to_dict()
    assert run("replan records --previous records")[0] == 0


def test_sizes_beside_a_record_are_refused(run: Any) -> None:
    np.save("few.npy", WINDOWS[0].load[:, :32])
    for line, message in (
        (
            "replan records --previous records --previous-gpus 4",
            "records is a record, which contains its own sizes",
        ),
        (
            "evaluate records records --gpus 8",
            "records is a record, which contains its own sizes\nhint: leave out --gpus, --groups",
        ),
        (
            "evaluate records few.npy",
            "records: it has windows of 64 experts, but the loads have 32\n",
        ),
    ):
        code, out, err = run(line)
        assert (code, out) == (2, ""), line
        assert err.startswith(f"eplb: {message}"), (line, err)
    lost = WINDOWS[0].phy2log.copy()
    lost[4][lost[4] == 7] = 8
    record(replace(WINDOWS[0], time=NOON + 1000, phy2log=lost))
    for line in ("evaluate records records", "replan records --previous records"):
        code, out, err = run(line)
        assert (code, out) == (2, "")
        assert err.startswith(
            "eplb: records: the newest map of vllm-0, of 2026-11-28 12:16:40 UTC: layer 4, expert 7: "
            "the expert has no slot"
        )
