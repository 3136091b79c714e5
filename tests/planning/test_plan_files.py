"""Plans to dicts and files and back; files that hold no plan; files of strangers."""

from __future__ import annotations

import copy
import io
import json
import os
import pickle
import signal
import zipfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import eplb
import numpy as np
import pytest
from eplb import PlanFileError, VerificationError
from eplb.storage import plan_file
from eplb.storage.json_text import parse_json
from hypothesis import given
from hypothesis import strategies as st

LOAD = np.random.default_rng(3).integers(0, 50, (4, 8))
HIERARCHICAL = eplb.plan(LOAD, num_gpus=4, num_replicas=12, num_groups=4, num_nodes=2)
PLANS = {
    "hierarchical": HIERARCHICAL,
    "is_global": eplb.plan(LOAD, num_gpus=4, num_replicas=12, num_groups=3, num_nodes=2),
    "deepseek": eplb.plan(LOAD * 1e-300, num_gpus=3, num_replicas=9, policy="deepseek"),
    "zeros": eplb.plan(LOAD * 0, num_gpus=4),
    "uncertified": eplb.Plan.from_phy2log([[0, 1, 1, 2]], num_gpus=2),
}


@pytest.mark.parametrize("name", PLANS)
def test_round_trips(name: str, tmp_path: Path) -> None:
    plan = PLANS[name]
    values = plan.to_dict()
    assert eplb.Plan.from_dict(json.loads(json.dumps(values))) == plan
    assert pickle.loads(pickle.dumps(plan)) == plan
    assert copy.deepcopy(plan) == plan
    for ending in (".json", ".npz"):
        path = tmp_path / f"plan{ending}"
        plan.save(path)
        loaded = eplb.load_plan(path)
        assert loaded == plan
        assert loaded.to_dict() == values
        assert loaded.digest() == plan.digest()
        assert str(loaded).splitlines()[0] == str(plan).splitlines()[0]
        assert list(tmp_path.iterdir()) == [path]
        path.unlink()


def test_the_file_has_the_engines_key(tmp_path: Path) -> None:
    HIERARCHICAL.save(tmp_path / "plan.json")
    values = json.loads((tmp_path / "plan.json").read_text())
    assert values["phy2log"] == HIERARCHICAL.phy2log.tolist()
    HIERARCHICAL.save(tmp_path / "plan.npz")
    with np.load(tmp_path / "plan.npz", allow_pickle=False) as arrays:
        assert (arrays["phy2log"] == HIERARCHICAL.phy2log).all()


def test_saving(tmp_path: Path) -> None:
    with pytest.raises(PlanFileError, match=r"'plan.yaml' is not a file name for the format plan"):
        HIERARCHICAL.save(tmp_path / "plan.yaml")
    with pytest.raises(FileNotFoundError):
        HIERARCHICAL.save(tmp_path / "missing" / "plan.json")
    path = tmp_path / "plan.json"
    path.write_text("old")
    link = tmp_path / "link.json"
    link.symlink_to(path)
    HIERARCHICAL.save(link)
    assert link.is_symlink()
    assert eplb.load_plan(path) == HIERARCHICAL


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    path.write_text("old")

    def full(self: Path, content: bytes) -> int:
        with self.open("wb") as stream:
            stream.write(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="No space"):
        HIERARCHICAL.save(path)
    assert path.read_text() == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["plan.json"]


def test_threads_that_save_to_one_path(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plans = [HIERARCHICAL, PLANS["deepseek"]] * 4
    HIERARCHICAL.save(path)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(10):
            saved = [pool.submit(plan.save, path) for plan in plans]
            loaded = [pool.submit(eplb.load_plan, path) for _ in plans]
            assert all(future.result() in plans for future in loaded)
            assert all(future.result() == [] for future in saved)
    assert list(tmp_path.iterdir()) == [path]


def changed(*path: Any, to: Any) -> dict[str, Any]:
    values = HIERARCHICAL.to_dict()
    place: Any = values
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = to
    return values


def without(*path: str) -> dict[str, Any]:
    values = HIERARCHICAL.to_dict()
    place = values
    for key in path[:-1]:
        place = place[key]
    del place[path[-1]]
    return values


def cluster(**columns: Any) -> dict[str, Any]:
    """A plan file with a cluster of four GPUs in which these columns are wrong."""
    columns = {
        "gpu_node": [0, 0, 1, 1],
        "gpu_slots": [3] * 4,
        "gpu_speed": [1] * 4,
        "gpu_state": ["live"] * 4,
        **columns,
    }
    return changed("cluster", to=columns)


BAD_DICTS: dict[str, tuple[Any, str]] = {
    "list": ([1, 2], "the plan must be an object with keys, got list"),
    "empty": ({}, "the plan lacks certificate, cluster, format"),
    "no phy2log": (without("phy2log"), "the plan lacks phy2log"),
    "one key more": (HIERARCHICAL.to_dict() | {"extra": 1}, "unknown keys: extra"),
    "no bound": (without("certificate", "bound"), "the certificate lacks bound"),
    "other format": (changed("format", to="pickle"), "format 'pickle' version 2"),
    "other version": (changed("version", to=3), "version 3; expected 'eplb plan' version 1 or 2"),
    "policy": (changed("policy", to=3), "policy is 3"),
    "options": (changed("options", to=[]), r"options is \[\]; expected an object"),
    "an option": (changed("options", "effort", to=[1]), "options is .*; expected an object"),
    "made from": (changed("made_from", to=3), "made_from must be an object"),
    "windows": (changed("made_from", "windows", to=0), "windows must be a positive"),
    "history": (changed("made_from", "history", to=3), "history is 3; expected a digest"),
    "cluster": (changed("cluster", to={"gpu_speed": [1]}), "the cluster lacks gpu_node, gpu_slots"),
    "cluster of fewer GPUs": (cluster(gpu_slots=[3, 3]), "gpu_slots must be integers of shape"),
    "states": (cluster(gpu_state=["live"] * 3 + ["gone"]), "must be 4 of live, draining, dead"),
    "speeds": (cluster(gpu_speed=[1, 1, 0, 1]), "the speed of GPU 2 is 0; expected 1 to 65536"),
    "other slots": (cluster(gpu_slots=[3, 3, 3, 4]), "num_replicas is 12, but 13 by the cluster"),
    "dead": (cluster(gpu_state=["live"] * 3 + ["dead"]), "node 1 have 3 slots for 4 experts"),
    "float size": (
        changed("num_gpus", to=4.0),
        "num_gpus must be a positive whole number, got 4.0",
    ),
    "true size": (
        changed("num_gpus", to=True),
        "num_gpus must be a positive whole number, got True",
    ),
    "2**70 layers": (changed("num_layers", to=2**70), f"num_layers={2**70} is too large"),
    "sizes": (changed("num_gpus", to=5), "num_replicas=12 is not divisible by num_gpus=5"),
    "2**70 GPUs": (changed("num_gpus", to=2**70), f"num_gpus={2**70}"),
    "layers": (changed("num_layers", to=5), r"phy2log .*shape \[5, 12\], got \[4, 12\]"),
    "short row": (changed("rank", 1, to=[0]), "rank .* differ in length"),
    "row of floats": (changed("rank", 1, to=[0.0] * 12), "rank .* cells are not integers"),
    "true in a row": (changed("rank", 1, 0, to=True), "rank .* cells are not integers"),
    "2**70 in a row": (changed("phy2log", 1, 0, to=2**70), "phy2log must be integers"),
    "string": (changed("logcnt", to="1234"), "logcnt .* got str"),
    "hash": (changed("certificate", "loads_sha256", to="12"), "64 hex digits"),
    "hash of a type": (changed("certificate", "loads_sha256", to=12), "64 hex digits"),
    "bound": (changed("certificate", "bound", 2, to="guess"), "bound must be 4 of mean, adams"),
    "bound of a type": (changed("certificate", "bound", 2, to=[]), "bound must be 4 of mean"),
    "negative load": (changed("certificate", "max_load", 1, to=-1), "max_load must be integers"),
    "exponent": (changed("certificate", "exponents", 1, to=2**31), "exponents must be integers"),
    "exponent beyond 2**32": (changed("certificate", "exponents", 0, to=2**32), "fit int32"),
    "gaps": (changed("certificate", "gap", to=[0.0]), "gap must be 4 numbers"),
}


@pytest.mark.parametrize("name", BAD_DICTS)
def test_dicts_that_hold_no_plan(name: str) -> None:
    values, message = BAD_DICTS[name]
    with pytest.raises(PlanFileError, match=message):
        eplb.Plan.from_dict(values)


def npz(**arrays: Any) -> bytes:
    stream = io.BytesIO()
    np.savez(stream, **arrays)
    return stream.getvalue()


def declared(shape: str, dtype: str = "<i8") -> bytes:
    """An .npz whose array declares another shape than it has bytes for."""
    header = f"{{'descr': '{dtype}', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    member = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header + b"\0" * 8
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("phy2log.npy", member)
    return stream.getvalue()


def deflated(size: int) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in "ab":
            with archive.open(f"{name}.npy", "w") as member:
                for _ in range(size >> 24):
                    member.write(b"\0" * 2**24)
    return stream.getvalue()


HOSTILE_FILES: dict[str, tuple[bytes, str]] = {
    "empty": (b"", "it is empty"),
    "garbage": (os.urandom(999), "not valid JSON"),
    "no text": (b"\xff\xfe{}", "not valid JSON"),
    "half": (json.dumps(HIERARCHICAL.to_dict()).encode()[:500], "not valid JSON"),
    "deep": (b"[" * 10**6, "nested too deeply"),
    "deep object": (b'{"a":' * 10**6, "nested too deeply"),
    "NaN": (b'{"gap": NaN}', "NaN is not a JSON number"),
    "twice": (b'{"gap": 1, "gap": 2}', "duplicate key"),
    "long number": (b'{"gap": ' + b"9" * 10**5 + b"}", "not valid JSON"),
    "pickle": (npz(plan=np.array({"a": 1}, dtype=object)), "pickle"),
    "giant shape": (declared("(1099511627776, 1099511627776)"), "declares .* bytes"),
    "giant negative": (declared("(-1, -1)"), "declares"),
    "giant item": (declared("(1,)", "|V9999999999999"), "declares|no valid .npy header"),
    "code in the header": (declared("__import__('os').abort()"), "no valid .npy header"),
    "huge zero shape": (declared("(1180591620717411303424, 0)"), "declares"),
    "unclosed header": (declared("(("), "no valid .npy header"),
    "nested header": (declared("-" * 4000 + "1"), "no valid .npy header"),
    "bomb": (deflated(2**30), "2147483648 bytes; at most"),
    "no zip": (b"PK" + os.urandom(99), "not an .npz file"),
    "half a zip": (npz(plan=np.array("{}"))[:100], "not an .npz file"),
    "no plan": (npz(a=np.ones(3)), "has no array 'plan'"),
    "items without bytes": (declared("(1073741824,)", "<U0"), "size 0"),
    "an array too many": (npz(plan=np.array("{}"), format=np.ones(2)), "unknown array 'format'"),
    "plan of numbers": (npz(plan=np.ones(3)), "not valid JSON|not a JSON object"),
}


@pytest.mark.parametrize("name", HOSTILE_FILES)
def test_files_of_strangers(name: str, tmp_path: Path) -> None:
    content, message = HOSTILE_FILES[name]
    path = tmp_path / "plan.json"
    path.write_bytes(content)
    with pytest.raises(PlanFileError, match=f"plan.json: .*({message})"):
        eplb.load_plan(path)


def test_a_file_beyond_the_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "plan.json"
    HIERARCHICAL.save(path)
    size = path.stat().st_size
    monkeypatch.setattr("eplb.limits.MAX_FILE_BYTES", size)
    assert eplb.load_plan(path) == HIERARCHICAL
    monkeypatch.setattr("eplb.limits.MAX_FILE_BYTES", size - 1)
    with pytest.raises(PlanFileError, match=f"more than {size - 1} bytes"):
        eplb.load_plan(path)


def test_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        eplb.load_plan("no such plan.json")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda values: st.lists(values, max_size=4) | st.dictionaries(st.text(max_size=5), values),
    max_leaves=10,
)


@given(st.data())
def test_any_value_anywhere_is_a_plan_or_a_clear_error(data: st.DataObject) -> None:
    """Nothing but EplbError comes out of a dict in which one value is replaced by any other."""
    values = HIERARCHICAL.to_dict()
    place: Any = values
    while True:
        keys = sorted(place) if isinstance(place, dict) else range(len(place))
        key = data.draw(st.sampled_from(keys))
        if not isinstance(place[key], (dict, list)) or data.draw(st.booleans()):
            break
        place = place[key]
    place[key] = data.draw(JSON)
    try:
        eplb.verify(eplb.Plan.from_dict(values), LOAD)
    except eplb.EplbError:
        return
    original = HIERARCHICAL.to_dict()
    told = {key: values[key] for key in ("policy", "options", "made_from")}
    assert values in (original | told, original | {"certificate": None}), (key, place[key])


def saved() -> bytes:

    return plan_file._npz_bytes(HIERARCHICAL.to_dict())


@given(st.data())
def test_any_byte_changed_is_a_plan_or_a_clear_error(data: st.DataObject) -> None:
    """Whatever byte of an .npz is changed, nothing but an EplbError comes out."""

    content = bytearray(saved())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at] ^= data.draw(st.integers(1, 255))
    try:
        plan = eplb.Plan.from_dict(plan_file._npz_values(bytes(content)))
        eplb.verify(plan, LOAD)
    except eplb.EplbError:
        return
    assert plan == HIERARCHICAL or not plan.certified


@given(st.binary(max_size=200))
def test_any_bytes_are_a_clear_error(content: bytes) -> None:

    for prefix in (b"", b"PK\x03\x04"):
        try:
            if prefix:
                plan_file._npz_values(prefix + content)
            else:
                parse_json(content)
        except PlanFileError:
            pass


def test_a_false_gap_is_refused() -> None:
    with pytest.raises(VerificationError, match=r"layer 2: gap is 0\.123, but"):
        eplb.Plan.from_dict(changed("certificate", "gap", 2, to=0.123))


A_PLAN = next(iter(PLANS.values()))


def test_the_mode_of_a_file_that_is_replaced_stays(tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    A_PLAN.save(path)
    assert path.stat().st_mode & 0o777 == 0o666 & ~umask()
    path.chmod(0o600)
    A_PLAN.save(path)
    assert path.stat().st_mode & 0o777 == 0o600


def umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def test_errors_name_the_file_that_was_asked_for(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "plan.json", tmp_path / "none" / "plan.json"):
        with pytest.raises(OSError) as caught:  # noqa: PT011
            A_PLAN.save(path)
        assert caught.value.filename == str(path)
    A_PLAN.save(tmp_path / f"{'x' * 245}.json")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["file", f"{'x' * 245}.json"]


def test_an_interruption_waits_until_the_file_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "plan.json"
    replace = Path.replace

    def interrupted(partial: Path, target: Path) -> Path:
        os.kill(os.getpid(), signal.SIGINT)
        return replace(partial, target)

    monkeypatch.setattr(Path, "replace", interrupted)
    # A process that a shell starts in the background ignores the signal.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            A_PLAN.save(path)
    finally:
        signal.signal(signal.SIGINT, before)
    assert [path.name for path in tmp_path.iterdir()] == ["plan.json"]
    assert eplb.load_plan(path) == A_PLAN


def test_a_dead_gpu_holds_nothing() -> None:
    plan = eplb.plan([[1, 2, 3, 4]], num_gpus=4, num_replicas=8)
    values = plan.to_dict()
    values["cluster"] = plan.cluster.changed(dead_gpus=[3]).to_dict()
    with pytest.raises(eplb.VerificationError, match=r"layer 0, slot 6.*GPU 3"):
        eplb.Plan.from_dict(values)
