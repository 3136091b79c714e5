"""`eplb.LoadHistory`: what it takes, that it is the same everywhere, its files."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import eplb
import numpy as np
import pytest
import torch
from eplb import EplbError, LoadError, PlanFileError

if TYPE_CHECKING:
    from pathlib import Path

WINDOWS = np.random.default_rng(3).integers(0, 1000, (6, 3, 8))


def seen(windows: Any = WINDOWS, **options: Any) -> eplb.LoadHistory:
    history = eplb.LoadHistory(**options)
    history.observe(windows)
    return history


def test_windows_one_by_one_or_together_in_any_type() -> None:
    expected = seen().digest()
    one_by_one = eplb.LoadHistory()
    for window in WINDOWS:
        one_by_one.observe(window, threads=2)
    assert (one_by_one.digest(), one_by_one.windows) == (expected, 6)
    for same in (
        WINDOWS.astype(np.float32),
        WINDOWS.astype(np.uint16),
        WINDOWS.astype(">i4"),
        np.asfortranarray(WINDOWS),
        WINDOWS.tolist(),
        [*WINDOWS],
        memoryview(WINDOWS),  # type: ignore[arg-type]  # numpy has no stub of the buffer protocol
        tuple(map(torch.tensor, WINDOWS)),
        torch.tensor(WINDOWS),
        torch.tensor(WINDOWS).double(),
    ):
        assert seen(same).digest() == expected
    halves = WINDOWS % 256
    assert seen(torch.tensor(halves).bfloat16()).digest() == seen(halves).digest()
    assert seen(halves.astype(np.float16)).digest() == seen(halves).digest()


def test_options_are_part_of_the_digest() -> None:
    digests = {seen(**options).digest() for options in ({}, {"rows": 8}, {"decay": 0.95})}
    assert len(digests) == 3
    history = seen(rows=8, decay=0.5)
    assert (history.rows, history.decay) == (8, 0.5)
    assert eplb.LoadHistory(decay=0.98).decay == 64225 / 65536


def test_before_the_first_window() -> None:
    history = eplb.LoadHistory()
    assert (history.windows, history.num_layers, history.num_experts) == (0, 0, 0)
    assert history.shifted.tolist() == []
    assert "no window yet" in repr(history)
    assert eplb.LoadHistory.from_dict(history.to_dict()) == history
    for use in (history.digest, lambda: eplb.plan(history, num_gpus=2)):
        with pytest.raises(LoadError, match="no window; call observe first"):
            use()


def test_a_copy_learns_on_its_own() -> None:
    history = seen()
    copy = history.copy()
    assert copy == history
    copy.observe(WINDOWS[0])
    assert (copy.windows, history.windows) == (7, 6)
    assert copy.digest() != history.digest() == seen().digest()


def test_windows_of_a_call_stay_together() -> None:
    """Whatever other threads do meanwhile."""
    windows = np.random.default_rng(4).integers(0, 1000, (4, 40, 256))
    calls = 16
    expected, history = eplb.LoadHistory(), eplb.LoadHistory()
    for _ in range(calls):
        expected.observe(windows)
    with ThreadPoolExecutor(8) as pool:
        for call in [pool.submit(history.observe, windows) for _ in range(calls)]:
            call.result()
    assert (history.windows, history.digest()) == (calls * 4, expected.digest())


def test_a_list_that_contains_itself() -> None:
    endless: list[Any] = []
    endless.append(endless)
    with pytest.raises(LoadError, match="more than 3 axes"):
        eplb.LoadHistory().observe(endless)


def test_a_wrong_window_leaves_the_history_as_it_was() -> None:
    history = seen()
    bad: list[tuple[Any, str]] = [
        (np.ones((2, 8)), "3 x 8, as the windows before"),
        ([WINDOWS[0], -WINDOWS[1]], "window 1: layer 0, expert .* the load is -"),
        ([WINDOWS[0], WINDOWS[1][:2]], "window 1 has 2 layers x 8 experts, but window 0 has 3"),
        ([], "empty"),
        (np.ones((0, 3, 8)), "0 windows"),
        (np.ones(8), r"shape \(8,\)"),
        (np.ones((1, 1, 3, 8)), "the loads have 4 axes; expected"),
        ([[[[1]]]], "the loads have more than 3 axes; expected"),
    ]
    for windows, message in bad:
        with pytest.raises(LoadError, match=message):
            history.observe(windows)
        assert (history.digest(), history.windows) == (seen().digest(), 6)
    with pytest.raises(eplb.LoadTypeError, match=r"window 0: .*bool"):
        history.observe(np.ones((2, 3, 8), dtype=bool))


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"rows": 2}, EplbError, "rows=2 is out of range; expected 3 to 32"),
        ({"rows": 33}, EplbError, "rows=33"),
        ({"rows": 2**40}, EplbError, "rows=1099511627776 is too large; expected at most 32"),
        ({"rows": 3.5}, EplbError, "rows must be a whole number"),
        ({"rows": "3"}, TypeError, "rows must be a whole number"),
        ({"decay": 0}, EplbError, "decay=0 is out of range; expected 1/65536 to 1"),
        ({"decay": 1.01}, EplbError, "decay=1.01"),
        ({"decay": float("nan")}, EplbError, "decay=nan"),
        ({"decay": 10**400}, EplbError, "decay="),
        ({"decay": True}, TypeError, "decay must be a number, got True"),
        ({"decay": "1"}, TypeError, "decay must be a number"),
    ],
)
def test_options_out_of_range(
    options: dict[str, Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        eplb.LoadHistory(**options)


def test_files_and_pickle(tmp_path: Path) -> None:
    history = seen()
    history.save(tmp_path / "history.json")
    read = eplb.LoadHistory.from_file(tmp_path / "history.json")
    for same in (read, pickle.loads(pickle.dumps(history))):
        assert (same, same.digest(), same.windows) == (history, history.digest(), 6)
        same.observe(WINDOWS[2])
    assert read == seen([*WINDOWS, WINDOWS[2]])
    with pytest.raises(EplbError, match=r"'history.npz' is not a file name .* expected .json"):
        history.save(tmp_path / "history.npz")
    with pytest.raises(OSError, match="nowhere"):
        eplb.LoadHistory.from_file(tmp_path / "nowhere.json")


def changed(*path: Any, to: Any) -> Any:
    values = json.loads(json.dumps(seen().to_dict()))
    place = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return values


BAD_FILES: dict[str, tuple[Any, str]] = {
    "a list": ([], "the history must be an object with keys"),
    "empty": ({}, "the history lacks decay"),
    "other version": (changed("version", to=2), "version 2; expected 'eplb history' version 1"),
    "a key more": (seen().to_dict() | {"x": 1}, "unknown keys: x"),
    "rows": (changed("rows", to=2), "rows=2 is out of range"),
    "rows of a type": (changed("rows", to="16"), "rows is '16'; expected a whole number"),
    "negative rows": (changed("rows", to=-1), "rows is -1; expected"),
    "layers": (changed("layers", to={}), "layers must be a list, got dict"),
    "a layer": (changed("layers", 1, to=3), "layer 1: it must be an object"),
    "experts": (changed("num_experts", to=9), "layer 0: rows must be integers of shape"),
    "shares": (changed("layers", 2, "rows", 0, 3, to=2**31), "layer 2: row 0 has 8 shares"),
    "a share of a type": (changed("layers", 2, "rows", 0, 3, to=0.5), "not integers"),
    "a large share": (changed("layers", 2, "rows", 0, 3, to=2**32), "fit uint32"),
    "rows of other lengths": (changed("layers", 0, "rows", 1, to=[1]), "differ in length"),
    "weights": (changed("layers", 0, "weights", to=[1]), "weights must be integers of shape"),
    "a weight": (changed("layers", 0, "weights", 0, to=2**32), "layer 0: a weight of 4294967296"),
    "nearest": (changed("layers", 0, "nearest", to=[1] * 13), "13 distances"),
    "usual": (changed("layers", 0, "usual", to=2**32), "usual is 4294967296"),
    "shifted": (changed("layers", 0, "shifted", to=1), "shifted is 1; expected true or false"),
    "newest": (changed("layers", 0, "newest", 0, to=2**50), "layer 0: a newest window"),
    "exponent": (changed("layers", 0, "exponent", to=2**31), "exponent must be integers"),
    "no layers, but windows": (changed("layers", to=[]), "no layers; expected windows and num_exp"),
    "windows": (changed("windows", to=0), "windows must be a positive whole number"),
}


@pytest.mark.parametrize("name", BAD_FILES)
def test_files_that_hold_no_history(name: str, tmp_path: Path) -> None:
    values, message = BAD_FILES[name]
    with pytest.raises(EplbError, match=message):
        eplb.LoadHistory.from_dict(values)
    file = tmp_path / "history.json"
    file.write_text(json.dumps(values))
    with pytest.raises(EplbError, match=message) as caught:
        eplb.LoadHistory.from_file(file)
    assert str(caught.value).startswith(str(file))


def test_files_that_are_no_json(tmp_path: Path) -> None:
    file = tmp_path / "history.json"
    for content in (b"", b"{", b"\xff", b"PK\x03\x04"):
        file.write_bytes(content)
        with pytest.raises(PlanFileError, match=r"history\.json: it is"):
            eplb.LoadHistory.from_file(file)


def test_only_files_that_can_be_read_again_are_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    history, file = seen(), tmp_path / "history.json"
    history.save(file)
    content = file.read_bytes()
    for name, limit in (("TEXT_BYTES", len(content)), ("JSON_VALUES", content.count(b","))):
        monkeypatch.setattr(f"eplb.limits.MAX_{name}", limit)
        history.save(file)
        assert eplb.LoadHistory.from_file(file) == history
        monkeypatch.setattr(f"eplb.limits.MAX_{name}", limit - 1)
        with pytest.raises(EplbError, match="the history is too large for a file: at most"):
            history.save(file)
        with pytest.raises(PlanFileError, match="more than"):
            eplb.LoadHistory.from_file(file)
        monkeypatch.undo()
