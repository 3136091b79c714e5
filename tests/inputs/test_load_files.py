"""Load files of every kind, odd ones and hostile ones: the loads, or a LoadError with the place."""

from __future__ import annotations

import io
import json
import math
import os
import pickle
import random
import re
import struct
import sys
import zipfile
from fractions import Fraction
from itertools import product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from eplb import EplbError, LoadError, limits
from eplb.inputs.windows import sum_of_windows
from eplb.load_files import read_loads, read_windows
from histogram import histogram
from hypothesis import given
from hypothesis.strategies import (
    DataObject,
    data,
    floats,
    integers,
    lists,
    permutations,
    sampled_from,
)

if TYPE_CHECKING:
    from collections.abc import Callable

COUNTS = np.arange(24, dtype=np.int64).reshape(4, 6) ** 3
MOST = 2**64 - 1


def npy(array: Any) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array)
    return stream.getvalue()


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def pt(value: Any, **options: Any) -> bytes:
    stream = io.BytesIO()
    torch.save(value, stream, **options)
    return stream.getvalue()


def csv(array: Any) -> bytes:
    return "\n".join(",".join(map(str, row)) for row in array.tolist()).encode()


def as_json(array: Any) -> bytes:
    return json.dumps(array.tolist()).encode()


WRITE: dict[str, Callable[[Any], bytes]] = {
    "npy": npy,
    "npz": lambda array: npz(load=array),
    "pt": lambda array: pt(torch.tensor(array)),
    "json": as_json,
    "csv": csv,
}


def written(folder: Path, name: str, content: bytes | str) -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def refusal(folder: Path, name: str, content: bytes | str, **options: Any) -> str:
    """The message of the error, less the file's name, which it must begin with."""
    path = written(folder, name, content)
    with pytest.raises(LoadError) as caught:
        read_loads(path, **options)
    message = str(caught.value)
    assert message.startswith(f"{path}: ")
    return message.removeprefix(f"{path}: ")


# --- What can be read -----------------------------------------------------------------------------

GOOD: dict[str, tuple[str, bytes]] = {
    "npy": ("a.npy", npy(COUNTS)),
    "npy, column-major": ("a.npy", npy(np.asfortranarray(COUNTS))),
    "npy, big-endian": ("a.npy", npy(COUNTS.astype(">i4"))),
    "npy under another name": ("a.csv", npy(COUNTS)),
    "npz with one array": ("a.npz", npz(anything=COUNTS)),
    "npz with counts": ("a.npz", npz(other=COUNTS + 1, counts=COUNTS)),
    "npz with load": ("a.npz", npz(other=COUNTS + 1, load=COUNTS)),
    "npz without an ending": ("a", npz(counts=COUNTS)),
    "pt": ("a.pt", pt(torch.tensor(COUNTS))),
    "pth": ("a.pth", pt(torch.tensor(COUNTS))),
    "pth of the old kind": (
        "a.pth",
        pt(torch.tensor(COUNTS), _use_new_zipfile_serialization=False),
    ),
    "pt without an ending": ("a", pt(torch.tensor(COUNTS))),
    "pt of the old kind": ("a", pt(torch.tensor(COUNTS), _use_new_zipfile_serialization=False)),
    "pt with a dict": ("a.pt", pt({"rank": 0, "logical_count": torch.tensor(COUNTS)})),
    "pt with lists": ("a.pt", pt(COUNTS.tolist())),
    "json": ("a.json", as_json(COUNTS)),
    "json without an ending": ("a", b" \n" + as_json(COUNTS)),
    "json with a mark of byte order": ("a.json", b"\xef\xbb\xbf" + as_json(COUNTS)),
    "json of layers by number": (
        "a.json",
        json.dumps({str(layer): COUNTS[layer].tolist() for layer in (3, 0, 2, 1)}).encode(),
    ),
    "json object": ("a.json", b'{"model": "x", "counts": ' + as_json(COUNTS) + b"}"),
    "json object of one key": ("a.json", b'{"x": ' + as_json(COUNTS) + b"}"),
    "csv": ("a.csv", csv(COUNTS)),
    "csv of Windows": ("a.csv", b"\xef\xbb\xbf" + csv(COUNTS).replace(b"\n", b"\r\n") + b"\r\n"),
    "csv with a header": ("a.csv", b'a,b,"c",d,e,f\n' + csv(COUNTS)),
    "csv with a header of one cell": ("a.csv", b"loads\n\n" + csv(COUNTS)),
    "csv with comments": ("a.csv", b"# 4 x 6\n" + csv(COUNTS) + b"\n# end\n"),
    "semicolons": ("a.csv", csv(COUNTS).replace(b",", b"; ")),
    "tabs": ("a.tsv", csv(COUNTS).replace(b",", b"\t")),
    "spaces": ("a.txt", csv(COUNTS).replace(b",", b"  ")),
}


@pytest.mark.parametrize("name", GOOD)
def test_reads(name: str, tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, *GOOD[name]))
    assert read.table.dtype.kind in "iu"
    assert read.table.tolist() == COUNTS.tolist()
    assert read.notes == ()


ROWS: dict[str, bytes] = {
    "a.npy": npy(COUNTS[1]),
    "a.npz": npz(load=COUNTS[1]),
    "a.pt": pt(torch.tensor(COUNTS[1])),
    "lists.pt": pt(COUNTS[1].tolist()),
    "a.json": as_json(COUNTS[1]),
    "object.json": json.dumps({"load": COUNTS[1].tolist()}).encode(),
}


@pytest.mark.parametrize("name", ROWS)
def test_one_row_is_one_layer(name: str, tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, name, ROWS[name]))
    assert read.table.tolist() == COUNTS[1:2].tolist()
    assert read.notes == ("one row, read as one layer: [6] to [1, 6]",)


def test_the_key_names_the_array(tmp_path: Path) -> None:
    contents = {
        "a.npz": npz(counts=COUNTS + 1, mine=COUNTS),
        "a.json": json.dumps({"counts": [[0]], "mine": COUNTS.tolist()}).encode(),
        "a.pt": pt({"counts": 0, "mine": torch.tensor(COUNTS)}),
    }
    for name, content in contents.items():
        read = read_loads(written(tmp_path, name, content), key="mine")
        assert read.table.tolist() == COUNTS.tolist()


@pytest.mark.parametrize("ending", ["json", "csv", "npy", "npz"])
def test_large_integers_stay_exact(ending: str, tmp_path: Path) -> None:
    load = np.array([[MOST, 2**53 + 1, 0, 10**19]], dtype=np.uint64)
    read = read_loads(written(tmp_path, f"a.{ending}", WRITE[ending](load)))
    assert read.table.tolist() == [[MOST, 2**53 + 1, 0, 10**19]]


def test_floats(tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, "a.csv", "1.5,2e3,.25,+4,5.\n0,1E-3,7,8,9"))
    assert read.table.tolist() == [[1.5, 2000.0, 0.25, 4.0, 5.0], [0.0, 0.001, 7.0, 8.0, 9.0]]
    half = [[0.5, 1.25], [3.0, 65504.0]]
    for dtype in (torch.float16, torch.float32, torch.float64):
        content = pt(torch.tensor(half, dtype=dtype))
        assert read_loads(written(tmp_path, "a.pt", content)).table.tolist() == half
    content = pt(torch.tensor([[0.5, 1.25], [3.0, 65536.0]], dtype=torch.bfloat16))
    assert read_loads(written(tmp_path, "a.pt", content)).table.tolist()[1] == [3.0, 65536.0]
    content = npy(np.array(half, dtype=np.float16))
    assert read_loads(written(tmp_path, "a.npy", content)).table.tolist() == half


@pytest.mark.parametrize("content", [npy(COUNTS), as_json(COUNTS), csv(COUNTS), npz(a=COUNTS)])
def test_standard_input(content: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(content)))
    assert read_loads("-").table.tolist() == COUNTS.tolist()
    with pytest.raises(LoadError, match=r"^standard input: it is empty"):
        read_loads("-")


def test_closed_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", None)
    with pytest.raises(LoadError, match=r"^standard input: it is closed"):
        read_loads("-")


def test_the_system_s_errors_are_its_own(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read_loads(tmp_path / "missing.npy")
    if os.geteuid() != 0:  # root may read everything
        locked = written(tmp_path, "locked.npy", npy(COUNTS))
        locked.chmod(0)
        with pytest.raises(PermissionError):
            read_loads(locked)


# --- Windows --------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["npy", "json", "pt"])
def test_windows_are_summed(ending: str, tmp_path: Path) -> None:
    windows = np.array([COUNTS, COUNTS[::-1], COUNTS * 5])
    read = read_loads(written(tmp_path, f"a.{ending}", WRITE[ending](windows)))
    assert read.table.tolist() == windows.sum(axis=0).tolist()
    assert (len(read.windows), read.notes) == (3, ())


@pytest.mark.parametrize("ending", ["npy", "json"])
def test_sums_of_integers_beyond_int64(ending: str, tmp_path: Path) -> None:
    windows = np.array([[[2**63, 2**53]], [[2**63 - 1, 1]]], dtype=np.uint64)
    read = read_loads(written(tmp_path, "a", WRITE[ending](windows)))
    assert read.table.tolist() == [[MOST, 2**53 + 1]]
    windows = np.array([[[1, 1]], [[1, MOST]]], dtype=np.uint64)
    read = read_loads(written(tmp_path, "a", WRITE[ending](windows)))
    with pytest.raises(LoadError, match=f"layer 0, expert 1: the windows sum to {2**64}; "):
        read.table.sum()


@given(data())
def test_sums_of_integers_are_exact(data: DataObject) -> None:
    """Against Python's integers, to which the core of the sum knows no way."""
    shape = (data.draw(integers(1, 4)), 1, data.draw(integers(1, 3)))
    cells = lists(integers(0, MOST // 4), min_size=math.prod(shape), max_size=math.prod(shape))
    windows = np.array(data.draw(cells), dtype=np.uint64).reshape(shape)
    exact = [sum(map(int, windows[:, 0, expert])) for expert in range(shape[2])]
    assert sum_of_windows(windows).tolist() == [exact]


def test_one_window(tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, "a.npy", npy(COUNTS[None])))
    assert (len(read.windows), read.table.tolist()) == (1, COUNTS.tolist())


def test_sums_of_int8_do_not_wrap(tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, "a.npy", npy(np.full((300, 2, 3), 127, dtype=np.int8))))
    assert read.table.tolist() == [[38100] * 3] * 2


def test_sums_of_floats_are_the_nearest_whatever_the_order(tmp_path: Path) -> None:
    chance = random.Random(1)
    cells = [chance.lognormvariate(0, 30) for _ in range(200)] + [1e16, 1.0, 1e-16]
    exact = float(sum(map(Fraction, cells)))
    naive = set()
    for _ in range(5):
        chance.shuffle(cells)
        read = read_loads(written(tmp_path, "a.npy", npy(np.array(cells).reshape(-1, 1, 1))))
        assert read.table.tolist() == [[exact]]
        naive.add(sum(cells))
    assert naive - {exact}, "these cells would not tell an exact sum from another"


def test_sums_of_floats_beyond_float64(tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, "a.npy", npy(np.full((2, 1, 3), 1.7e308))))
    with pytest.raises(LoadError, match="layer 0, expert 0: the sum of 2 windows exceeds float64"):
        read.table.sum()


def test_notes_of_several_files_are_told_once(tmp_path: Path) -> None:
    first, second = written(tmp_path, "a.npy", npy(COUNTS[0])), tmp_path / "b.npy"
    second.write_bytes(npy(COUNTS[1]))
    read = read_windows([first, second, first])
    assert len(read.windows) == 3
    assert len(read.notes) == 1


def test_a_list_of_too_many_loads(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = written(tmp_path, "a.pt", pt([1] * 100))
    monkeypatch.setattr("eplb.limits.MAX_LIST_LOADS", 100)
    assert len(read_loads(file).table[0]) == 100
    monkeypatch.setattr("eplb.limits.MAX_LIST_LOADS", 99)
    with pytest.raises(LoadError, match="its lists hold 100 loads; at most 99"):
        read_loads(file)


def test_there_are_not_too_many_windows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each takes memory of its own."""
    file = written(tmp_path, "a.npy", npy(np.ones((3, 1, 4))))
    monkeypatch.setattr("eplb.limits.MAX_WINDOWS", 3)
    assert len(read_loads(file).windows) == 3
    monkeypatch.setattr("eplb.limits.MAX_WINDOWS", 2)
    with pytest.raises(LoadError, match="the loads have 3 windows; at most 2 are read"):
        read_loads(file)


def test_a_bad_cell_is_not_hidden_by_the_sum(tmp_path: Path) -> None:
    windows = np.array([[[1, 2]], [[3, -1]]])
    for content in (npy(windows), as_json(windows)):
        message = refusal(tmp_path, "a", content)
        assert re.match("window 1.* layer 0, expert 1: the load is -1; ", message)
    windows = np.array([[[1, 2]], [[math.inf, 1]], [[-math.inf, 1]]])
    message = refusal(tmp_path, "a.npy", npy(windows))
    assert message.startswith("window 1, layer 0, expert 0: the load is inf; ")


# --- What cannot ----------------------------------------------------------------------------------

BAD: dict[str, tuple[str, bytes | str, str]] = {
    "empty": ("a.npy", b"", "it is empty"),
    "blank": ("a.csv", b" \n\n", "it has no row of numbers"),
    "binary": ("a.csv", bytes(range(256)), "neither .npy, .npz, .pt nor text"),
    "a NUL": ("a.csv", b"1,2\0", "neither .npy"),
    "UTF-16": ("a.csv", "1,2".encode("utf-16"), "neither .npy"),
    "an .npy that is none": (
        "a.npy",
        b"<html>not found",
        "not a valid .npy file: it begins with b'<html>",
    ),
    "an .npz that is none": ("a.npz", b"[[1]]", "not a valid .npz file"),
    # .npy
    "npy cut short": ("a.npy", npy(COUNTS)[:-1], "declares shape .*holds 191"),
    "npy with more": ("a.npy", npy(COUNTS) + b"x", "declares shape .*holds 193"),
    "npy of nothing but magic": ("a.npy", b"\x93NUMPY", "cannot be read as an .npy file"),
    "npy with a broken header": ("a.npy", npy(COUNTS).replace(b"}", b"("), "cannot be read"),
    "npy that declares 2**60": ("a.npy", npy(COUNTS).replace(b"(4, 6)", b"(2**9,)"), "cannot be"),
    "npy that declares much": (
        "a.npy",
        npy(np.zeros((1, 11111111))).replace(b"(1, 11111111)", b"(9, 99999999)")[:200],
        "declares shape",
    ),
    "npy, 4-D": ("a.npy", npy(np.ones((1, 2, 3, 4))), r"shape \[1, 2, 3, 4\]"),
    "npy, no layers": ("a.npy", npy(np.ones((0, 4))), r"shape \[0, 4\]"),
    "npy, no windows": ("a.npy", npy(np.ones((0, 4, 3))), r"shape \[0, 4, 3\]"),
    "npy of bools": ("a.npy", npy(COUNTS > 3), "integers or floats as loads, got bool"),
    "npy of complex": ("a.npy", npy(COUNTS * 1j), "got complex128"),
    "npy of strings": ("a.npy", npy(COUNTS.astype(str)), "got str"),
    "npy with NaN": ("a.npy", npy(np.array([[1, 2], [3, np.nan]])), "layer 1, expert 1: .* nan;"),
    "npy, negative": ("a.npy", npy(COUNTS - 1), "layer 0, expert 0: the load is -1;"),
    # .npz
    "npz of nothing": ("a.npz", npz(), r"it has no table"),
    "npz of several": (
        "a.npz",
        npz(a=COUNTS, b=COUNTS),
        "several tables: 'a', 'b'; choose one with key",
    ),
    "npz of two known": ("a.npz", npz(load=COUNTS, counts=COUNTS), "several tables"),
    "npz cut short": ("a.npz", npz(a=COUNTS)[:-30], "not a zip file"),
    "npz of pickles": ("a.npz", npz(a=np.array([[{}]])), "holds Python objects"),
    # .pt
    "pt that is none": ("a.pt", b"[[1]]", "cannot be read as a .pt file"),
    "pt cut short": ("a.pt", pt(torch.ones(2, 3))[:-40], "cannot be read"),
    "pt of None": ("a.pt", pt(None), "expected a table of loads, found None"),
    "pt on no device": ("a.pt", pt(torch.ones(2, 3, device="meta")), "meta device"),
    "pt, sparse": ("a.pt", pt(torch.ones(2, 3).to_sparse()), "to_dense"),
    "pt, expanded": ("a.pt", pt(torch.ones(1, 3).expand(5, 3)), r"save it with \.contiguous"),
    "pt of many lists": (
        "a.pt",
        pt([[1] * 2**13] * 2**13),
        f"its lists hold {2**26} loads; at most",
    ),
    "pt of many windows": ("a.pt", pt([[[1] * 99] * 2**9] * 2**9), "its lists hold .* at most"),
    "pt of many cells": ("a.pt", pt(torch.ones(1).expand(10**6, 10**6)), f"holds {10**12} loads"),
    # JSON
    "json cut short": ("a.json", b"[[1, 2", "not valid JSON: .*column 7"),
    "json that is text": ("a.json", b"one, two", "not valid JSON"),
    "json, deep": ("a.json", b"[" * 10**6, "nested too deeply"),
    "json with NaN": ("a.json", b"[[1, NaN]]", "NaN is not a JSON number"),
    "json with a huge integer": ("a.json", b"[[1" + b"0" * 5000 + b"]]", "not valid JSON"),
    "json with a huge float": ("a.json", b"[[1, 1e999]]", "layer 0, expert 1: the load is inf"),
    "json beyond 2**64 - 1": ("a.json", f"[[1, {2**64}]]", f"expert 1: the load is {2**64};"),
    "json, negative": ("a.json", b"[[1], [-2]]", "layer 1, expert 0: the load is -2"),
    "json, ragged": ("a.json", b"[[1, 2], [3]]", "layer 1 has 1 load, layer 0 has 2"),
    "json, a number under a name": (
        "a.json",
        b'{"a": 1}',
        "expected a table of loads; 'a' is 1",
    ),
    "json, a number": ("a.json", b"7", "expected a table of loads, found 7"),
    "json, a row with null": ("a.json", b"[1, null]", "layer 0, expert 1: the load is None"),
    "json, a row with a list": ("a.json", b"[1, [2]]", "layer 0, expert 1: the load is a list"),
    "json, a row of bools": ("a.json", b"[true]", "layer 0, expert 0: the load is True"),
    "json, a negative row": ("a.json", b"[1, -2]", "layer 0, expert 1: the load is -2"),
    "npy, an empty row": (
        "a.npy",
        npy(np.ones(0)),
        r"shape \[0\]; expected \[layers, experts\] or",
    ),
    "npy, a number": ("a.npy", npy(np.array(7)), r"shape \[\]; expected \[layers, experts\] or"),
    "json, empty list": ("a.json", b"[]", "empty list"),
    "json, empty rows": ("a.json", b"[[], []]", r"shape \[2, 0\]"),
    "json, text in it": ("a.json", b'[[1, "2"]]', "layer 0, expert 1: the load is '2'"),
    "json, null in it": ("a.json", b"[[1, null]]", "expert 1: the load is None"),
    "json, a key twice": ("a.json", b'{"load": [[1]], "load": [[2]]}', "duplicate key"),
    "json, an empty object": ("a.json", b"{}", "it has no table"),
    "json, objects in objects": ("a.json", b'{"load": {"a": 1}}', "found an object"),
    "json, windows of other layers": (
        "a.json",
        b"[[[1, 2]], [[1, 2], [3, 4]]]",
        "window 1 has 2 layers, but window 0 has 1 layer",
    ),
    "json, windows of other experts": (
        "a.json",
        b"[[[1, 2]], [[1, 2, 3]]]",
        "window 1 has 3 experts, but window 0 has 2",
    ),
    "json, a window that is none": ("a.json", b"[[[1, 2]], 3]", "window 1 has 3, but window 0"),
    "json, text in a window": ("a.json", b'[[[1]], [["x"]]]', "window 1: layer 0, expert 0: .*'x'"),
    "json, four levels": ("a.json", b"[[[[1]]]]", "window 0: layer 0, expert 0: .* a list"),
    "json, rounded in a sum": (
        "a.json",
        f"[[[0.5]], [[{2**53 + 1}]]]",
        "9007199254740993; .*exact",
    ),
    # CSV
    "csv with text": (
        "a.csv",
        b"a,b\n1,2\n3,x",
        "line 3, column 2: expected a finite number, found 'x'",
    ),
    "csv with two headers": ("a.csv", b"a,b\nc,d\n1,2", "line 2, column 1: .* found 'c'"),
    "csv with a mixed header": (
        "a.csv",
        b",1,2\n0,7,9\n",
        r"line 1 starts with an empty cell; .* to_csv\(index=False, header=False\)",
    ),
    "csv with a header that is too short": (
        "a.csv",
        b"e0,e1\n0,7,9\n",
        "header has 2 columns, but",
    ),
    "csv of one column": ("a.csv", b"7\n9\n9\n", "1 column of 3 numbers; .*axes=experts,layers"),
    "csv of two columns": ("a.csv", b"7,3\n9,4\n9,4\n", "2 columns of 3 numbers; .*expert,count"),
    "npy of one column": ("a.npy", npy(COUNTS[:, :1]), "1 column of 4 numbers; "),
    "npy with numbered layers": ("a.npy", npy(np.c_[3:7, COUNTS]), "column 1 only counts 3, 4,"),
    "csv with named layers and one expert": ("a.csv", b"Layer;e0\n0;7\n1;9\n", "1 column of 2"),
    "csv with a layer twice": (
        "a.csv",
        b"layer,e0,e1\n0,7,1\n0,9,1\n",
        "lines 2 and 3 are both for layer 0; add a column window",
    ),
    "csv, two numbered layers": ("a.csv", b"l,a\n0,9\n1,4", "column 1 only counts 0, 1, "),
    "csv with NaN": ("a.csv", b"nan,inf\n1,2", "line 1, column 1: .* found 'nan'"),
    "csv with a huge float": ("a.csv", b"1,1e999", "line 1, column 2: the load is 1e999"),
    "csv, negative": ("a.csv", b"# x\n\n1,2\n3,-4", "line 4, column 2: the load is -4"),
    "csv beyond 2**64 - 1": ("a.csv", f"1\n{2**64}", f"line 2, column 1: the load is {2**64};"),
    "csv with a huge integer": ("a.csv", "9" * 5000, "line 1, column 1: .*finite"),
    "csv, a cell without end": ("a.csv", "1" * 10**6, "line 1, column 1: .{,100}$"),
    "csv, a line without end": ("a.csv", "x," * 10**6, "line 1 has more than 65536 columns"),
    "csv, spaces without end": ("a.csv", "1 " * 10**6, "line 1 has more than 65536 columns"),
    "csv, ragged": ("a.csv", b"x,y\n\n1,2\n3,4,5", "line 4 has 3 columns, but line 3 has 2"),
    "csv, a comma at the end": ("a.csv", b"1,2,\n3,4,", "line 1, column 3: .* found nothing"),
    "csv, decimal commas": ("a.csv", b"1,5;2,5\n", "line 1, column 1: .* found '1,5'; .*a point"),
    "csv, underscores": ("a.csv", b"1_000,2", "line 1, column 1: .* found '1_000'"),
    "csv, other digits": ("a.csv", "\u0663,2", "line 1, column 1"),
    "csv with quoted numbers": (
        "a.csv",
        b'"1,000","2,000"\n300,400',
        "line 1, column 1: .*'1,000'; .*without thous",
    ),
    "csv, header only": ("a.csv", b"a,b,c\n", "it has no row of numbers"),
    "csv, numbered columns": (
        "a.csv",
        b"0,1,2,3\n9,8,7,6",
        "line 1 only counts 0, 1, ...; is it the he",
    ),
    "csv, numbered layers": ("a.csv", b"l,a\n3,9\n4,9\n5,9\n6,9", "column 1 only counts 3, 4,"),
}


@pytest.mark.parametrize("name", BAD)
def test_refuses(name: str, tmp_path: Path) -> None:
    file, content, wanted = BAD[name]
    message = refusal(tmp_path, file, content)
    assert re.search(wanted, message)
    assert len(message) < 6000


def test_labels_are_loads_if_they_are_trusted(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "layer,e0,e1\n0,5,1\n1,7,2")
    assert read_loads(path).table.tolist() == [[5, 1], [7, 2]]
    assert read_loads(path, trust=True).table.tolist() == [[0, 5, 1], [1, 7, 2]]


def test_hidden_layers_of_a_json_object(tmp_path: Path) -> None:
    read = read_loads(written(tmp_path, "a.json", b'{"10": [1, 5], "9": [3, 4]}'))
    assert (read.table.tolist(), read.layers) == ([[3, 4], [1, 5]], (9, 10))


def test_errors_know_the_place(tmp_path: Path) -> None:
    with pytest.raises(LoadError) as caught:
        read_loads(written(tmp_path, "a.npy", npy(np.array([[0, 1], [2, -3]]))))
    assert (caught.value.layer, caught.value.expert) == (1, 1)


def test_keys_that_are_not_there(tmp_path: Path) -> None:
    message = refusal(tmp_path, "a.npz", npz(a=COUNTS, b=COUNTS), key="c")
    assert message == "unknown key 'c'; expected one of a, b"
    message = refusal(tmp_path, "a.npz", npz(counts=COUNTS, b=COUNTS), key="count")
    assert message.endswith("did you mean 'counts'?")
    assert refusal(tmp_path, "a.json", "{}", key="c") == "it has no table"
    for name, content in (("a.npy", npy(COUNTS)), ("a.csv", csv(COUNTS)), ("a", as_json(COUNTS))):
        assert "not 'c'" in refusal(tmp_path, name, content, key="c")
    many = json.dumps({f"key {i} " + "x" * 99: 0 for i in range(999)})
    assert len(refusal(tmp_path, "a.json", many)) < 500


def test_pickles_are_never_run(tmp_path: Path) -> None:
    trap = tmp_path / "sprung"

    class Trap:
        def __reduce__(self) -> Any:
            return Path.touch, (trap,)

    array = np.array([[Trap()]], dtype=object)
    contents = [npy(array), npz(a=array), pt(Trap()), pickle.dumps(Trap())]
    for content in contents:
        for name in ("a.npy", "a.npz", "a.pt", "a"):
            refusal(tmp_path, name, content)
    assert not trap.exists()
    pickle.loads(contents[-1])
    assert trap.exists(), "a trap that cannot spring proves nothing"


def test_limits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as limited:
        limited.setattr(limits, "MAX_FILE_BYTES", 50)
        assert refusal(tmp_path, "a.npy", npy(COUNTS)) == "it holds more than 50 bytes"
        assert read_loads(written(tmp_path, "a.csv", b"1,2,3\n" * 8)).table.shape == (8, 3)
    with monkeypatch.context() as limited:
        limited.setattr(limits, "MAX_TEXT_BYTES", 50)
        assert "52 bytes of text; at most 50" in refusal(tmp_path, "a.csv", b"1,2\n" * 13)
        assert "at most 50" in refusal(tmp_path, "a.json", as_json(COUNTS))
    with monkeypatch.context() as limited:
        limited.setattr(limits, "MAX_LOADS", 23)
        assert refusal(tmp_path, "a.npy", npy(COUNTS)) == "it holds 24 loads; at most 23 are read"


def declaring(content: bytes, size: int) -> bytes:
    """A zip file whose first member is said to inflate to ``size`` bytes."""
    at = content.index(b"PK\x01\x02") + 24
    return content[:at] + struct.pack("<I", size) + content[at + 4 :]


def test_what_inflates_too_much_is_not_inflated(tmp_path: Path) -> None:
    size = 2**31
    for name, content in (("a.npz", npz(a=COUNTS)), ("a.pt", pt(torch.tensor(COUNTS)))):
        message = refusal(tmp_path, name, declaring(content, size))
        assert re.search(
            rf"hold {size}\d* bytes; at most {2**30} are read|hold 2\d+ bytes", message
        )


def test_what_inflates_to_more_than_it_declares(tmp_path: Path) -> None:
    assert "cannot be read" in refusal(tmp_path, "a.npz", declaring(npz(a=COUNTS), 150))


def test_members_that_are_no_arrays(tmp_path: Path) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("a.txt", "hello")
    assert "cannot be read" in refusal(tmp_path, "a.npz", stream.getvalue())


def test_torch_is_asked_for_where_it_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = pt(torch.tensor(COUNTS))
    monkeypatch.setitem(sys.modules, "torch", None)
    message = refusal(tmp_path, "a.pt", content)
    assert message == "torch is needed to read it; pip install torch"
    assert read_loads(written(tmp_path, "a.npy", npy(COUNTS))).table.tolist() == COUNTS.tolist()


@pytest.mark.parametrize("name", ["npy", "npz with counts", "pt", "json", "csv"])
def test_spoilt_files_give_loads_or_a_load_error(name: str, tmp_path: Path) -> None:
    file, content = GOOD[name]
    chance = random.Random(name)
    refused = 0
    for _ in range(300):
        spoilt = bytearray(content)
        for _ in range(chance.choice([1, 2, 8])):
            spoilt[chance.randrange(len(spoilt))] = chance.randrange(256)
        if chance.random() < 0.2:
            del spoilt[chance.randrange(len(spoilt)) :]
        try:
            read = read_loads(written(tmp_path, file, bytes(spoilt)))
        except LoadError:
            refused += 1
        else:
            assert read.table.ndim == 2
    assert refused > 30


# --- Axes and weights -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("axes", "equation"),
    [
        ("layers,experts,windows", "lew->wle"),
        ("ranks,layers,experts", "rle->le"),
        ("experts,ranks,layers,windows", "erlw->wle"),
        ("experts,layers", "el->le"),
        ("layers, experts", "le->le"),
    ],
)
def test_axes(axes: str, equation: str, tmp_path: Path) -> None:
    """Beside numpy's einsum, which sums what has no name on the right."""
    array = np.random.default_rng(1).integers(0, 99, (3, 4, 5, 6)[: axes.count(",") + 1])
    wanted = np.einsum(equation, array)
    read = read_loads(written(tmp_path, "a.npy", npy(array)), axes=axes)
    assert np.array_equal(read.windows, wanted if wanted.ndim == 3 else [wanted])


def test_slots_of_ranks_are_side_by_side(tmp_path: Path) -> None:
    array = np.arange(24).reshape(2, 3, 4)  # layers, slots of a rank, ranks
    written(tmp_path, "map.json", json.dumps([[*range(11, -1, -1)]] * 2))
    read = read_loads(
        written(tmp_path, "a.npy", npy(array)),
        axes="layers,slots,ranks",
        placement=tmp_path / "map.json",
    )
    slots = array.transpose(0, 2, 1).reshape(2, 12)
    assert read.table.tolist() == slots[:, ::-1].tolist()


def test_weighted_sums(tmp_path: Path) -> None:
    windows = np.array([COUNTS, COUNTS[::-1]])
    files = [written(tmp_path, "a.npy", npy(windows)), written(tmp_path, "b.npy", npy(windows + 1))]
    read = read_windows(files, weights=[0.3, 0.1])
    assert np.array_equal(read.windows, 3 * windows + (windows + 1))
    halves = [written(tmp_path, f"{name}.npy", npy(COUNTS / 2)) for name in "cd"]
    assert read_windows(halves, weights=[1, 2]).table.tolist() == (COUNTS * 1.5).tolist()
    large = written(tmp_path, "large.npy", npy(np.full((2, 3), MOST, np.uint64)))
    short = written(tmp_path, "short.npy", npy(COUNTS))
    for sources, weights, wanted in (
        ([*files, short], [1, 1, 1], "short.npy: it has 1 window, but .*a.npy has 2; a weighted"),
        ([large, large], [1, 2], f"a load of {MOST} times 2 is beyond"),
        ([large, large], [1, 1], f"the windows sum to {2 * MOST}"),
        ([halves[0], short], [1, 1], "some windows have integers and some have floats"),
        (files, [1, 10**12], "weights are too far apart"),
        (files, [1, math.inf], "weights must be positive numbers, got inf"),
        (files, [1, 2, 3], "weights has 3 numbers for 2 files"),
    ):
        with pytest.raises(EplbError, match=wanted):
            read_windows(sources, weights=weights)


# --- Long tables ----------------------------------------------------------------------------------

BAD_LONG: dict[str, tuple[str, str]] = {
    "an expert beyond all": (
        "layer,expert,count\n0,16384,1",
        "an expert 16384; at most 16384 are read",
    ),
    "a layer that is none": (
        "layer,expert,count\n0.5,1,1",
        "line 2, column 1: expected the number of",
    ),
    "a negative layer": ("layer,expert,count\n0,1,1\n-1,1,1", "line 3, column 1: "),
    "text": ("layer,expert,count\n0,1,many", "line 2, column 3: expected a finite number"),
    "no loads": (
        "layer,expert\n0,1",
        "it has no column of loads; expected for example layer,expert,co",
    ),
    "two layers": (
        "layer,layer_id,expert,count\n0,0,1,1",
        "columns 1 and 2 both seem to be the layer",
    ),
    "two counts": (
        "layer,expert,count,tokens\n0,0,1,1",
        "several .* 'count', 'tokens'; choose one",
    ),
    "windows without layers": (
        "step,e0,e1,e2\n0,1,1,1",
        "a column 'step', but none of layers; name it",
    ),
    "labels alone": ("layer,rank\n0,1\n1,1", "it has no column of loads"),
    "quotes that do not match": ('layer,e0,e1\n0,"1,2', "line 2: its quotes do not match"),
    "a sum beyond 64 bits": (f"layer,expert,count\n0,0,{2**63}\n0,0,{2**63}", "sum to 1844674407"),
}


@pytest.mark.parametrize("name", BAD_LONG)
def test_refuses_long_tables(name: str, tmp_path: Path) -> None:
    content, wanted = BAD_LONG[name]
    assert re.search(wanted, refusal(tmp_path, "a.csv", content))


@given(data())
def test_a_long_table_is_a_table(data: DataObject) -> None:
    """In any order, shared by any ranks, with any pairs absent: beside sums of Python's integers."""
    cells = lists(
        sampled_from([(layer, expert) for layer in (4, 6, 7) for expert in range(5)]), min_size=1
    )
    rows = [(*pair, data.draw(integers(0, 2**60))) for pair in data.draw(cells)]
    layers = sorted({layer for layer, _, _ in rows})
    exact = [[0] * 5 for _ in layers]
    for layer, expert, load in rows:
        exact[layers.index(layer)][expert] += load
    text = "layer,expert,n\n" + "".join(f"{layer},{expert},{n}\n" for layer, expert, n in rows)
    if max(map(max, exact)) > MOST:
        return
    with TemporaryDirectory() as folder:
        read = read_loads(written(Path(folder), "a.csv", text), num_experts=5)
    assert read.table.tolist() == exact
    assert read.layers == tuple(layers)


def test_long_tables_are_not_larger_than_they_say(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = "layer,expert,count\n0,0,1\n1,99,1"
    monkeypatch.setattr("eplb.limits.MAX_LOADS", 200)
    assert read_loads(written(tmp_path, "a.csv", text)).table.shape == (2, 100)
    assert read_loads(written(tmp_path, "a.csv", text + "\n0,0,1")).table[0, 0] == 2
    assert "a table of 202 loads; at most 200" in refusal(
        tmp_path, "a.csv", text.replace("99", "100")
    )


@pytest.mark.parametrize(
    ("times", "words"),
    [
        (["2026-11-28 9:00", "2026-11-28 10:00", "2026-11-28 11:30"], "2026-11-28 11:30"),
        (["2026/1/2", "2026/1/10", "2026/2/1"], "2026/2/1"),
        (["2026-01-02T03:00:00Z", "2026-01-02T03:00:00.5Z", "2026-01-02T03:00:01Z"], ":01Z"),
        (
            ["2026-01-02T03:00:00+02:00", "2026-01-02T01:30:00+0000", "2026-01-02T00:00:00-0200"],
            "200",
        ),
        (["step_8", "step_9", "step_10"], "step_10"),
        (["step-8", "step-9", "step-10"], "step-10"),
        (["60s", "120.5s", "1800s"], "1800s"),
        (["9e2", "1.5e3", "1.7e9"], "1.7e9"),
        (["-2", "-1", "0"], "0"),
    ],
)
def test_times_are_in_order(tmp_path: Path, times: list[str], words: str) -> None:
    rows = {
        time: "".join(f"{time},0,{expert},{100 * window + expert}\n" for expert in range(4))
        for window, time in enumerate(times)
    }
    for order in (times, times[::-1], sorted(times)):
        text = "timestamp,layer,expert,count\n" + "".join(rows[time] for time in order)
        read = read_loads(written(tmp_path, "a.csv", text))
        assert [window[0, 0] for window in read.windows] == [0, 100, 200]
        note = next(str(note) for note in read.notes if "windows by column" in str(note))
        assert note.endswith(words), note


def test_times_of_rows_are_no_windows(tmp_path: Path) -> None:
    rows = [f"{10 * layer + expert},{layer},{expert},7" for layer in (0, 1) for expert in range(8)]
    text = "\n".join(["timestamp,layer,expert,count", *rows])
    read = read_loads(written(tmp_path, "a.csv", text))
    assert (len(read.windows), read.table.shape) == (1, (2, 8))


def test_one_cell_of_a_trace_many_times(tmp_path: Path) -> None:
    """The table is as large as its cells, however often one is there."""
    rows = "".join(f"{token},{token % 61},{token % 383}\n" for token in range(20_000))
    rows += "".join(f"{token},0,383\n" for token in range(20_000, 30_000))
    read = read_loads(written(tmp_path, "a.csv", "token_id,layer,expert\n" + rows))
    assert read.table.shape == (61, 384)
    assert (read.table[0, 383], read.table.sum()) == (10_000, 30_000)


@pytest.mark.parametrize("total", ["total", "tokens", "load"])
def test_a_total_beside_columns_of_layers_is_left_out(tmp_path: Path, total: str) -> None:
    text = f"expert,layer_0,layer_1,{total}\n0,1,2,3\n1,3,4,7\n2,5,4,9\n"
    read = read_loads(written(tmp_path, "a.csv", text))
    assert read.table.tolist() == [[1, 3, 5], [2, 4, 4]]
    assert f"columns left out: '{total}'" in read.notes


def test_a_key_that_is_a_number_beside_records(tmp_path: Path) -> None:
    columns = {
        "layer": [0, 0, 1, 1],
        "expert": [0, 1, 0, 1],
        "count": [1, 2, 3, 4],
        3: [5, 6, 7, 8],
    }
    torch.save(columns, tmp_path / "a.pt")
    read = read_loads(tmp_path / "a.pt")
    assert read.table.tolist() == [[1, 2], [3, 4]]


@given(data())
def test_tables_in_other_clothes_are_one_table(data: DataObject) -> None:
    """Rows and columns in any order, of experts, of slots by rank, of layers, of tokens, of JSON."""
    layers, ranks, local = (data.draw(integers(2, 4)) for _ in range(3))
    experts = ranks * local
    numbers = lists(integers(1, 9), min_size=layers * experts, max_size=layers * experts)
    loads = np.array(data.draw(numbers)).reshape(layers, experts)
    cells = [(layer, expert) for layer in range(layers) for expert in range(experts)]
    cells = data.draw(permutations(cells))
    across, down = data.draw(permutations(range(experts))), data.draw(permutations(range(layers)))
    pairs = list(product(down, range(ranks)))
    tables = {
        "layer,rank,local_expert,count": [
            (layer, expert // local, expert % local, loads[layer, expert])
            for layer, expert in cells
        ],
        ",".join(["rank", "layer", *(f"local_{number}" for number in range(local))]): [
            (rank, layer, *loads[layer, rank * local :][:local]) for layer, rank in pairs
        ],
        ",".join(["layer", *(f"expert_{expert}" for expert in across), "total"]): [
            (layer, *loads[layer, across], loads[layer].sum()) for layer in down
        ],
        ",".join(["expert", *(f"layers.{layer}" for layer in down)]): [
            (expert, *loads[down, expert]) for expert in across
        ],
        "layer_name,expert,count": [
            (f"layers.{layer}.mlp", expert, loads[layer, expert]) for layer, expert in cells
        ],
        "token_id,layer,expert,weight": [
            (token, layer, expert, 0.5)
            for layer, expert in cells
            for token in range(loads[layer, expert])
        ],
    }
    contents = {
        f"{number}.csv": "\n".join([header, *(",".join(map(str, row)) for row in rows)])
        for number, (header, rows) in enumerate(tables.items())
    }
    objects = {f"layer_{layer}": dict(enumerate(loads[layer].tolist())) for layer in down}
    records = [{"e": 1, "layer": at[0], "expert": at[1], "n": int(loads[at])} for at in cells]
    contents |= {"a.json": json.dumps(objects), "b.json": json.dumps(records)}
    contents["c.json"] = json.dumps(loads.ravel().tolist())
    with TemporaryDirectory() as folder:
        for name, content in contents.items():
            path = written(Path(folder), name, content)
            read = read_loads(path, num_layers=layers, num_experts=experts)
            assert read.table.tolist() == loads.tolist(), content


BAD_WIDE: dict[str, tuple[str, str]] = {
    "one number twice": ("layer,e1,e1\n0,5,6", "columns 2 and 3 are both 'e1'; delete one"),
    "one named layer and expert": ("layer,e0\n3,5\n4,6", "1 column of 2 numbers"),
    "a layer in words, twice": (
        "layer,e0,e1\nlayers.0,5,6\nlayers.0,7,8",
        "lines 2 and 3 are both for layer 0; add a column window",
    ),
    "times without layers": (
        "timestamp,e0,e1\n1,5,6\n2,7,8",
        "it has a column 'timestamp', but none of layers",
    ),
    "experts and layers in columns": ("name,layer_0,e0,e1,layer_1\nx,5,6,7,8", "several groups"),
    "a column of loads, none of experts": (
        "layer,unit,count\n0,0,5\n0,1,6",
        "its column 'count' seems to have the loads, but which has the experts: 'unit'. name it exp",
    ),
    "layers and times": ("time,layer_0,layer_1\n5,1,2\n6,1,2", "none of experts; name it expert"),
    "slots and ranks": (
        "rank,layer,slot,count\n0,0,0,1\n1,0,0,1",
        "1 slot .summed over 2 ranks: if each rank numbers its own, write local for slot.",
    ),
    "many slots of many ranks": (
        "rank,layer,local_expert,count\n999,0,999,1",
        "1000 x 1000 slots; at most 16384 are read",
    ),
}


@pytest.mark.parametrize("name", BAD_WIDE)
def test_refuses_tables_that_are_not_clear(name: str, tmp_path: Path) -> None:
    content, wanted = BAD_WIDE[name]
    assert re.search(wanted, refusal(tmp_path, "a.csv", content))


@pytest.mark.parametrize("form", ["long", "wide"])
def test_experts_that_each_rank_may_number_on_its_own(form: str, tmp_path: Path) -> None:
    """58 layers of 8 experts are no model, but on 32 ranks they are DeepSeek-V3; the hints work."""
    loads = np.arange(58 * 256).reshape(58, 32, 8) % 997
    cells = product(range(58), range(32))
    if form == "wide":
        header = ",".join(["layer", "rank", *(f"expert_{number}" for number in range(8))])
        rows = [f"{layer},{rank},{','.join(map(str, loads[layer, rank]))}" for layer, rank in cells]
    else:
        header = "layer,rank,expert,count"
        rows = [
            f"{layer},{rank},{number},{loads[layer, rank, number]}"
            for layer, rank in cells
            for number in range(8)
        ]
    text = "\n".join([header, *rows])
    path = written(tmp_path, "a.csv", text)
    wanted = (
        "8 experts on each of 32 ranks, together 256: does each .* write local_expert for expert"
    )
    for stated in (None, 256):
        with pytest.raises(LoadError, match=wanted):
            read_loads(path, num_experts=stated)
    assert read_loads(path, num_experts=8).table.tolist() == loads.sum(axis=1).tolist()
    path = written(tmp_path, "a.csv", text.replace("expert", "local_expert"))
    assert read_loads(path, num_experts=256).table.tolist() == loads.reshape(58, 256).tolist()


BAD_RECORDS: dict[str, tuple[Any, str]] = {
    "a list among them": (
        [{"layer": 0, "counts": [1]}, [2]],
        "record 1 is .2.; expected an object",
    ),
    "one key more": (
        [{"layer": 0, "counts": [1]}, {"layer": 1, "counts": [1], "x": 2}],
        "record 1 has 'x', but record 0 has not",
    ),
    "lists of other lengths": (
        [{"layer": 0, "counts": [1, 2]}, {"layer": 1, "counts": [1]}],
        "record 1, 'counts': expected 2 loads as in record 0, found 1 load",
    ),
    "an object for a list": (
        [{"layer": 0, "counts": [1, 2]}, {"layer": 1, "counts": {"0": 1}}],
        "record 1, 'counts': expected 2 loads as in record 0, found {'0': 1}",
    ),
    "two lists": (
        [{"layer": 0, "a": [1, 2], "b": [1, 2]}],
        "several lists of its records may be the loads: 'a', 'b'; choose one with key",
    ),
    "true": ([{"layer": 0, "expert": 0, "count": True}], "record 0, column 3: .* found 'True'"),
    "null": ([{"layer": 0, "expert": 0, "count": None}], "record 0, column 3: .* found nothing"),
    "one cell twice": (
        [{"rank": 0, "layer": 0, "local_id": 0, "count": 1}] * 2,
        "records 0 and 1 are both for layer 0, rank 0, local expert 0",
    ),
}


@pytest.mark.parametrize("name", BAD_RECORDS)
def test_refuses_records(name: str, tmp_path: Path) -> None:
    content, wanted = BAD_RECORDS[name]
    assert re.search(wanted, refusal(tmp_path, "a.json", json.dumps(content)))


def test_lists_of_records_by_key(tmp_path: Path) -> None:
    records = [{"layer": layer, "a": [1, layer], "b": [layer, 2]} for layer in (3, 4)]
    path = written(tmp_path, "a.jsonl", "\n".join(map(json.dumps, records)))
    read = read_loads(path, key="b")
    assert (read.table.tolist(), read.layers) == ([[3, 2], [4, 2]], (3, 4))
    records = [{"layer": layer, "physical_count": [4, layer, 5]} for layer in range(2)]
    path = written(tmp_path, "b.json", json.dumps(records))
    assert "it counts 3 slots, not experts" in refusal(tmp_path, "b.json", json.dumps(records))
    map_file = written(tmp_path, "map.json", "[[0, 1, 0], [1, 1, 0]]")
    assert read_loads(path, placement=map_file).table.tolist() == [[9, 0], [5, 5]]


def test_a_row_of_all_layers_of_a_model(tmp_path: Path) -> None:
    loads = np.arange(58 * 256) % 997
    for row in (loads, loads[None], loads[:, None]):
        with pytest.raises(LoadError, match="as DeepSeek-V3 has experts in 58 layers; is it one"):
            read_loads(written(tmp_path, "a.npy", npy(row)))
        read = read_loads(tmp_path / "a.npy", num_layers=58, num_experts=256)
        assert read.table.tolist() == loads.reshape(58, 256).tolist()
        assert read_loads(tmp_path / "a.npy", num_experts=58 * 256).table.tolist() == [
            loads.tolist()
        ]


@pytest.mark.parametrize(
    "header",
    [
        "layer,expert,count,layer_name",
        "layer,expert,count,local_expert_id",
        "layer,expert,count,timestamp",
        "layer,expert,count,token_id",
        "layer,expert,count,p50",
        "layer,expert,count,",
        "layer_name,expert,count,module",
    ],
)
def test_columns_beside_those_that_say_all(header: str, tmp_path: Path) -> None:
    """A column more does not change what is read; it is left out, and a note says so."""
    rows = "0,0,5,7\n0,1,6,7\n1,0,7,7\n1,1,8,7"
    read = read_loads(written(tmp_path, "a.csv", f"{header}\n{rows}"))
    name = header.split(",")[3]
    assert (read.table.tolist(), read.layers) == ([[5, 6], [7, 8]], None)
    shown = repr(name) if name else "without a name"
    assert read.notes[1:] == (f"columns left out: {shown}",)


FORMS = {
    "experts in any order, without layers": "e1,e0,total\n6,5,0\n7,8,0",
    "a column for each window": "layer,expert,w_10,w_20\n0,0,2,3\n0,1,4,2\n1,0,8,0\n1,1,0,7",
    "floats as numbers of layers": "layer,e0,e1\n0e0,5,6\n1e0,8,7",
    "a short name of layers": "expert,L0,L1\n1,6,7\n0,5,8",
}


@pytest.mark.parametrize("form", FORMS)
def test_other_forms(form: str, tmp_path: Path) -> None:
    text = FORMS[form].replace("w_", "window_")
    read = read_loads(written(tmp_path, "a.csv", text))
    assert (read.table.tolist(), read.layers) == ([[5, 6], [8, 7]], None)
    assert len(read.windows) == 1 + ("window" in text)


def test_step_is_the_window_even_beside_other_times(tmp_path: Path) -> None:
    text = "global_step,step,layer,expert,count\n7,0,0,0,5\n7,0,0,1,6\n8,1,0,0,7\n8,1,0,1,8"
    read = read_loads(written(tmp_path, "a.csv", text))
    assert [window.tolist() for window in read.windows] == [[[5, 6]], [[7, 8]]]


def test_loads_beside_numbers_of_layers_may_count(tmp_path: Path) -> None:
    path = written(tmp_path, "a.csv", "layer,e0,e1\n0,5,9\n1,6,9\n2,7,8\n3,8,8")
    assert read_loads(path).table.tolist() == [[5, 9], [6, 9], [7, 8], [8, 8]]


# --- The histogram of ids -------------------------------------------------------------------------


def test_histogram() -> None:
    ids = np.array([[[0, 2], [1, 1]], [[2, 3], [0, 1]]], dtype=np.uint8)
    assert histogram(ids, 4).tolist() == [[1, 0, 2, 1], [1, 3, 0, 0]]
    with pytest.raises(ValueError, match="the ids are 0 to 3, the experts 3"):
        histogram(ids, 3)


# --- Text and numbers -----------------------------------------------------------------------------

NUMBERS = {
    "integers": integers(0, MOST),
    "floats": floats(0, allow_infinity=False, allow_nan=False, allow_subnormal=True),
    "short": integers(0, 10**9).map(lambda number: number / 1000),
}


@pytest.mark.parametrize("kind", NUMBERS)
@pytest.mark.parametrize("ending", ["csv", "json", "npy", "npz"])
@given(data=data())
def test_every_number_comes_back(kind: str, ending: str, data: DataObject) -> None:
    """To the last bit, whether a row is read at once or cell by cell."""
    width = data.draw(integers(1, 5))
    rows = lists(lists(NUMBERS[kind], min_size=width, max_size=width), min_size=1, max_size=4)
    table = np.array(data.draw(rows), dtype=np.uint64 if kind == "integers" else np.float64)
    separator = data.draw(sampled_from([",", ", ", ";", "\t", " "]))
    content = WRITE[ending](table)
    if ending == "csv":
        content = content.replace(b",", separator.encode())
    with TemporaryDirectory() as folder:
        read = read_loads(written(Path(folder), f"a.{ending}", content), trust=True)
    assert read.table.astype(table.dtype).tobytes() == table.tobytes()
    assert read.table.tolist() == table.tolist()


def test_limits_of_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_ROWS", 3)
    monkeypatch.setattr(limits, "MAX_JSON_LISTS", 5)
    monkeypatch.setattr(limits, "MAX_JSON_VALUES", 7)
    assert read_loads(written(tmp_path, "a.csv", "1,5,2\n" * 3)).table.shape == (3, 3)
    assert "line 4: at most 3 rows" in refusal(tmp_path, "a.csv", "1,5\n" * 4)
    assert read_loads(written(tmp_path, "a.json", "[[1],[1],[1],[1]]"), trust=True).table.size == 4
    assert "more than 5 lists" in refusal(tmp_path, "a.json", "[[1],[1],[1],[1],[1]]")
    assert "more than 7 values" in refusal(tmp_path, "a.json", "[[1,2,3,4,5,6,7,8,9]]")


def test_ranks_that_number_their_own_experts_of_one_layer(tmp_path: Path) -> None:
    rows = [f"{rank},{expert},7" for rank in range(8) for expert in range(8)]
    path = written(tmp_path, "a.csv", "\n".join(["rank,expert,count", *rows]))
    with pytest.raises(LoadError, match="8 experts on each of 8 ranks, together 64: does each"):
        read_loads(path, num_experts=64)
    assert read_loads(path, num_experts=8).table.tolist() == [[56] * 8]


def test_experts_numbered_from_one_in_any_order(tmp_path: Path) -> None:
    """As text, expert_10 comes before expert_2."""
    table = np.arange(24).reshape(2, 12)
    for order in ([*range(12)], sorted(range(12), key=lambda at: str(at + 1))):
        header = ",".join(["layer", *(f"expert_{at + 1}" for at in order)])
        rows = [",".join(map(str, [layer, *table[layer, order]])) for layer in range(2)]
        read = read_loads(written(tmp_path, "a.csv", "\n".join([header, *rows])))
        assert read.table.tolist() == table.tolist()
    path = tmp_path / "a.csv"
    assert read_loads(path, num_experts=12).table.tolist() == table.tolist()
    # Of 13 experts, 0 has no column.
    assert read_loads(path, num_experts=13).table.tolist() == [[0, *row] for row in table.tolist()]
