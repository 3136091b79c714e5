"""The plan file: a plan as a dict of plain values, as JSON and as .npz.

Keys: ``format``, ``version``, ``policy``, the sizes ``num_layers``, ``num_experts``,
``num_replicas``, ``num_groups``, ``num_nodes``, ``num_gpus``, the tables ``phy2log [layers, P]``,
``rank [layers, P]``, ``logcnt [layers, L]``, and ``certificate``: null, or a dict of

- ``loads_sha256``: hash of the canonical loads,
- ``exponents [layers]``: load / 720720 / 2**exponent is in the unit of the input,
- ``gpu_load [layers, G]``, ``max_load [layers]``, ``lower_bound [layers]``: integers,
- ``bound [layers]``: ``"mean"``, ``"adams"``, ``"node"``, ``"packing"`` or ``"counting"``, and ``gap [layers]``,
- ``bound_without_groups [layers]``: integers, and ``beaten_by_duplicates [layers]``: true or false.
"""

from __future__ import annotations

import io
import json
import math
import os
import signal
from contextlib import contextmanager, suppress
from pathlib import Path
from stat import S_IMODE
from threading import current_thread, get_ident, main_thread
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb.errors import EplbError, PlanFileError, VerificationError
from eplb.npy_files import MAX_BYTES, read_npz
from eplb.plans import Plan
from eplb.shown import short, type_name
from eplb.sizes import topology

from . import _core

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Files of JSON hold at most so many of each: as Python objects they take many times their bytes.
MAX_JSON_LISTS = 2**20
MAX_JSON_VALUES = 2**24

FORMAT = "eplb plan"
VERSION = 1

_SIZES = ("num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus")
_TABLES = ("phy2log", "rank", "logcnt")
_KEYS = {"format", "version", "policy", "num_layers", *_SIZES, *_TABLES, "certificate"}
_BOUNDS = ("mean", "adams", "node", "packing", "counting")
_CERTIFICATE_TABLES = (
    "exponents",
    "gpu_load",
    "max_load",
    "lower_bound",
    "bound",
    "bound_without_groups",
    "beaten_by_duplicates",
    "gap",
)
#: Tables that are plain lists in a plan's dict.
_LISTS = ("bound", "beaten_by_duplicates", "gap")
_CERTIFICATE_KEYS = {"loads_sha256", *_CERTIFICATE_TABLES}


def plan_to_dict(plan: Plan) -> dict[str, Any]:
    """See :meth:`eplb.Plan.to_dict`."""
    certificate = None
    if plan.certified:
        certificate = {
            "loads_sha256": plan.certificate.loads_sha256.hex(),
            "exponents": plan.certificate.exponents,
            "gpu_load": plan.certificate.gpu_load().tolist(),
            "max_load": plan.certificate.max_load,
            "lower_bound": plan.certificate.lower_bound,
            "bound": plan.certificate.bound,
            "bound_without_groups": plan.certificate.bound_without_groups,
            "beaten_by_duplicates": plan.certificate.beaten_by_duplicates,
            "gap": plan.gap.tolist(),
        }
    return {
        "format": FORMAT,
        "version": VERSION,
        "policy": plan.policy,
        "num_layers": plan.num_layers,
        **{name: getattr(plan, name) for name in _SIZES},
        **{name: getattr(plan, name).tolist() for name in _TABLES},
        "certificate": certificate,
    }


def plan_from_dict(values: Any) -> Plan:
    """See :meth:`eplb.Plan.from_dict`; tables may be arrays too."""
    _check_keys("the plan", values, _KEYS)
    # By their types too: an array is not simply equal or unequal.
    said = values["format"], values["version"]
    if (type(said[0]), type(said[1])) != (str, int) or said != (FORMAT, VERSION):
        raise PlanFileError(
            f"format {short(said[0])} version {short(said[1])} is not {FORMAT!r} version {VERSION}"
        )
    policy = values["policy"]
    if policy is not None and not isinstance(policy, str):
        raise PlanFileError(f"policy is {short(policy)}; a name or null is needed")
    try:
        sizes = topology(**{name: _size(values, name) for name in _SIZES})
    except EplbError as error:
        raise PlanFileError(f"the plan's sizes: {error}") from error
    layers = _size(values, "num_layers")
    width = {"phy2log": sizes.num_replicas, "rank": sizes.num_replicas, "logcnt": sizes.num_experts}
    tables = [_integers(values, name, (layers, width[name]), np.int64) for name in _TABLES]
    certificate = values["certificate"]
    placement = _core.Placement(sizes, *tables)
    return Plan(
        placement,
        policy=policy,
        certificate=None if certificate is None else _certificate(certificate, placement),
    )


def _certificate(values: Any, placement: _core.Placement) -> _core.Certificate:
    _check_keys("the certificate", values, _CERTIFICATE_KEYS)
    layers, gpus = placement.layers, placement.topology.num_gpus
    bound = values["bound"]
    if not isinstance(bound, list) or len(bound) != layers or not all(map(_is_bound, bound)):
        raise PlanFileError(f"bound must be {layers} of {', '.join(_BOUNDS)}")
    beaten = values["beaten_by_duplicates"]
    if not isinstance(beaten, list) or len(beaten) != layers or {*map(type, beaten)} != {bool}:
        raise PlanFileError(f"beaten_by_duplicates must be {layers} of true or false")
    try:
        loads_sha256 = bytes.fromhex(values["loads_sha256"])
    except (TypeError, ValueError):
        loads_sha256 = b""
    if len(loads_sha256) != 32:
        raise PlanFileError("loads_sha256 must be 64 hex digits")
    certificate = _core.Certificate(
        _integers(values, "gpu_load", (layers, gpus), np.uint64),
        _integers(values, "max_load", (layers,), np.uint64),
        _integers(values, "lower_bound", (layers,), np.uint64),
        bound,
        _integers(values, "bound_without_groups", (layers,), np.uint64),
        beaten,
        _integers(values, "exponents", (layers,), np.int32).tolist(),
        loads_sha256,
    )
    _check_gap(values["gap"], certificate.gap().tolist())
    return certificate


def _is_bound(name: Any) -> bool:
    return isinstance(name, str) and name in _BOUNDS


def _check_gap(said: Any, found: list[float]) -> None:
    if isinstance(said, np.ndarray):
        said = said.tolist()
    if not isinstance(said, list) or len(said) != len(found):
        raise PlanFileError(f"gap must be {len(found)} numbers")
    for layer, (claim, gap) in enumerate(zip(said, found, strict=True)):
        if gap == math.inf:
            raise VerificationError(f"layer {layer}: lower_bound is 0 under a load", layer=layer)
        if type(claim) not in (int, float) or claim != gap:
            raise VerificationError(
                f"layer {layer}: the gap is said to be {short(claim)}, but max_load / lower_bound - 1 "
                f"is {gap!r}",
                layer=layer,
            )


def _check_keys(what: str, values: Any, keys: set[str]) -> None:
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, got {type(values).__name__}")
    if missing := sorted(keys - values.keys()):
        raise PlanFileError(f"{what} lacks {', '.join(missing)}")
    if unknown := sorted(map(_key, values.keys() - keys)):
        raise PlanFileError(f"{what} has unknown keys: {', '.join(unknown)[:200]}")


def _key(key: Any) -> str:
    return key if isinstance(key, str) else short(key)


def _size(values: dict[str, Any], name: str) -> int:
    size = values[name]
    if type(size) is not int or size < 1:
        raise PlanFileError(f"{name} must be a whole positive number, got {short(size)}")
    if size > 2**62:
        raise PlanFileError(f"{name}={short(size)} is too large for any plan")
    return size


def _integers(
    values: dict[str, Any], name: str, shape: tuple[int, ...], dtype: type[np.integer[Any]]
) -> npt.NDArray[Any]:
    """The table ``values[name]`` if it has this shape and holds integers of this range."""
    table = values[name]
    wanted = f"{name} must be integers of shape {list(shape)}"
    limits = np.iinfo(dtype)
    if isinstance(table, np.ndarray):
        if table.dtype.kind not in "iu":
            raise PlanFileError(f"{wanted}, got {type_name(table.dtype)}")
        if table.size and (int(table.min()) < limits.min or int(table.max()) > limits.max):
            raise PlanFileError(f"{wanted} that fit {limits.dtype.name}")
    else:
        rows = table if len(shape) == 2 else [table]
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise PlanFileError(f"{wanted}, got {type(table).__name__}")
        if any(type(cell) is not int for row in rows for cell in row):
            raise PlanFileError(f"{wanted}; some of its cells are none")
        if len({len(row) for row in rows}) > 1:
            raise PlanFileError(f"{wanted}; its rows differ in length")
        if any(not limits.min <= cell <= limits.max for row in rows for cell in row):
            raise PlanFileError(f"{wanted} that fit {limits.dtype.name}")
        table = np.array(table, dtype=dtype)
    if table.shape != shape:
        raise PlanFileError(f"{wanted}, got {list(table.shape)}")
    return np.ascontiguousarray(table, dtype=dtype)


def save_plan(plan: Plan, path: str | os.PathLike[str]) -> None:
    """See :meth:`eplb.Plan.save`."""
    target = Path(path)
    if target.suffix == ".json":
        content = (json.dumps(plan_to_dict(plan)) + "\n").encode()
    elif target.suffix == ".npz":
        content = _npz_content(plan_to_dict(plan))
    else:
        raise PlanFileError(f"{target.name!r} ends in neither .json nor .npz")
    write_whole(target, content)


def write_whole(path: Path, content: bytes) -> None:
    """Writes a file so that it is there whole or not at all; follows links."""
    target = Path(os.path.realpath(path))
    partial = target.with_name(f".eplb.{os.getpid()}.{get_ident()}.partial")
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(content)  # a pipe or a device
            return
        with _uninterrupted():
            partial.write_bytes(content)
            if target.exists():
                partial.chmod(S_IMODE(target.stat().st_mode))
            partial.replace(target)
    except OSError as error:
        error.filename, error.filename2 = str(path), None
        raise
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Holds back the signals that end a process, so that no partial file stays.

    Python looks at signals in its main thread only; elsewhere nothing is held back.
    """
    if current_thread() is not main_thread():
        yield
        return
    names = ("SIGINT", "SIGTERM", "SIGHUP")  # Windows lacks some
    ending = [getattr(signal, name) for name in names if hasattr(signal, name)]
    before = {number: signal.getsignal(number) for number in ending}
    held: list[int] = []
    for number, handler in before.items():
        if handler is not None:  # else not Python's to replace
            signal.signal(number, lambda number, _frame: held.append(number))
    try:
        yield
    finally:
        for number, handler in before.items():
            if handler is not None:
                signal.signal(number, handler)
        for number in held:
            signal.raise_signal(number)


def _npz_content(values: dict[str, Any]) -> bytes:
    """Tables as arrays under their names, the rest as JSON under ``plan``."""
    certificate = values["certificate"] or {}
    arrays = {name: np.array(values[name], dtype=np.int64) for name in _TABLES}
    for name in _CERTIFICATE_TABLES:
        if name in certificate:
            arrays[name] = np.array(certificate[name])
    rest = {key: value for key, value in values.items() if key not in _TABLES}
    if certificate:
        rest["certificate"] = {"loads_sha256": certificate["loads_sha256"]}
    stream = io.BytesIO()
    np.savez_compressed(stream, plan=np.array(json.dumps(rest)), **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def read_plan(path: str | os.PathLike[str]) -> Plan:
    """See :func:`eplb.load_plan`."""
    path = Path(path)
    with path.open("rb") as stream:
        content = stream.read(MAX_BYTES + 1)
    try:
        if len(content) > MAX_BYTES:
            raise PlanFileError(f"it holds more than {MAX_BYTES} bytes")
        if content.startswith(b"\x93NUMPY"):
            raise PlanFileError("no plan file: an .npy file, of loads perhaps")
        if content[:2] == b"PK":
            return plan_from_dict(_npz_values(content))
        values = parse_json(content)
        if not isinstance(values, dict) or not values.keys() & {"format", "version", "phy2log"}:
            raise PlanFileError(
                "no plan file: the plan must be an object with keys, format among them; an engine's "
                "file? eplb evaluate takes it with --format, eplb.engine_files.load_engine_file too"
            )
        return plan_from_dict(values)
    except PlanFileError as error:
        raise PlanFileError(f"{path}: {error}") from error
    except VerificationError as error:
        place = (error.layer, error.slot, error.expert)
        raise VerificationError(f"{path}: {error}", *place) from error


def parse_json(content: bytes) -> Any:
    """Strict JSON: no NaN, no key twice, no depth that breaks the interpreter, nothing huge."""
    if not content.strip():
        raise PlanFileError("it is empty")
    if content.count(b"[") + content.count(b"{") > MAX_JSON_LISTS:
        raise PlanFileError(f"it holds more than {MAX_JSON_LISTS} lists and objects")
    if content.count(b",") > MAX_JSON_VALUES:
        raise PlanFileError(f"it holds more than {MAX_JSON_VALUES} values: give it in another kind")
    try:
        return json.loads(content, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise PlanFileError("no JSON that can be read: it is nested too deeply") from None
    except PlanFileError:
        raise
    except UnicodeDecodeError:
        raise PlanFileError("no JSON that can be read: its bytes are no text") from None
    except ValueError as error:
        reason = str(error).split(";")[0]  # what follows is advice to programmers
        raise PlanFileError(f"no JSON that can be read: {reason}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise PlanFileError("a key is there twice")
    return values


def _refuse_constant(constant: str) -> Any:
    raise PlanFileError(f"{constant} is no JSON number")


def _npz_values(content: bytes) -> Any:
    try:
        arrays = read_npz(io.BytesIO(content))
    except ValueError as error:
        raise PlanFileError(str(error)) from error
    if "plan" not in arrays:
        raise PlanFileError("no plan file: it has no array 'plan'")
    values = parse_json(str(arrays.pop("plan")).encode())
    if not isinstance(values, dict):
        raise PlanFileError("no plan file: its array 'plan' is no JSON object")
    certificate = values.get("certificate")
    for name, array in arrays.items():
        if name not in (*_TABLES, *_CERTIFICATE_TABLES):
            raise PlanFileError(f"no plan file: it has an unknown array {short(name)}")
        if array.size > MAX_BYTES // 8 or (name in _LISTS and array.ndim != 1):
            raise PlanFileError(f"{name} has shape {array.shape}, which no plan has")
        table = array.tolist() if name in _LISTS else array
        if name in _CERTIFICATE_TABLES and isinstance(certificate, dict):
            certificate[name] = table
        else:
            values[name] = table
    return values
