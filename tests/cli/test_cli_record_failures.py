"""`eplb record --reproduce`: what failed in an engine, again."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
from eplb.cli import main
from eplb.plugins.call import Call
from eplb.plugins.rebalancer import Ranks, Rebalancer
from eplb.plugins.reproduce import reproduce
from eplb.plugins.settings import Settings

if TYPE_CHECKING:
    from pathlib import Path

START = np.tile(np.arange(20) % 16, (3, 1))
LOAD = np.random.default_rng(3).integers(1, 1000, (3, 16))


def failure(folder: Path, load: np.ndarray[tuple[int, ...], np.dtype[np.int64]]) -> str:
    """The file of a failure in the second window."""
    settings = Settings(record=folder, off_file=folder / "off")
    rebalancer = Rebalancer("vllm", settings, logging.getLogger("eplb.test"))
    table = START
    for window in (LOAD, load):
        call = Call(window, table, num_slots=20, num_gpus=4)
        table = rebalancer.answer(call, lambda: Ranks(0, 1), lambda: START).phy2log
    (file,) = folder.glob("eplb-failure-vllm-*.npz")
    return str(file)


def test_a_failure_is_reproduced(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    bad = LOAD.copy()
    bad[1, 3] = -5
    file = failure(tmp_path, bad)
    assert main(["record", "--reproduce", file]) == 0
    assert (
        "then          ValueError: layer 1: the load of expert 3 is -5" in capsys.readouterr().out
    )
    assert main(["record", "--reproduce", file, "--json"]) == 0
    shown = json.loads(capsys.readouterr().out)
    assert shown["now"] == shown["error"]


def test_what_works_by_now(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def fails(*_args: object, **_given: object) -> None:
        raise MemoryError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr("eplb.plugins.rebalancer.plan_of", fails)
        file = failure(tmp_path, LOAD)
    assert main(["record", "--reproduce", file]) == 0
    out = capsys.readouterr().out
    assert "then          MemoryError: no memory" in out
    assert "now           it works" in out


def test_it_is_planned_from_the_history_of_then(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    windows = []

    def fails(history: eplb.LoadHistory, *_args: object, **_given: object) -> None:
        windows.append(history.windows)
        raise MemoryError("no memory")

    with monkeypatch.context() as patched:
        patched.setattr(eplb.Balancer, "step", second_fails())
        file = failure(tmp_path, LOAD * 2)
    monkeypatch.setattr("eplb.plugins.reproduce.replan", fails)
    assert reproduce(file).now == "MemoryError: no memory"
    assert windows == [2]


def second_fails() -> Any:
    """A step that works once."""
    real, calls = eplb.Balancer.step, []

    def step(*args: Any, **given: Any) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise MemoryError("no memory")
        return real(*args, **given)

    return step


@pytest.mark.parametrize("content", [b"", b"nonsense", b"[1, 2]", b'{"facts": 3}'])
def test_other_files_are_refused(
    content: bytes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "file.npz").write_bytes(content)
    assert main(["record", "--reproduce", str(tmp_path / "file.npz")]) == 2
    assert "is not the file of a failure that eplb kept" in capsys.readouterr().err
    np.savez(tmp_path / "other.npz", load=LOAD)
    assert main(["record", "--reproduce", str(tmp_path / "other.npz")]) == 2


def test_one_thing_at_a_time(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["record"]) == 2
    assert main(["record", "--summary", "a", "--reproduce", "b"]) == 2
    assert "two things to do at once" in capsys.readouterr().err
    assert main(["record", "--reproduce", "no such file"]) == 2
    assert "no such file" in capsys.readouterr().err
