"""The plan file: a placement with its certificate, as a dict of plain values, as JSON or .npz.

Keys: ``format``, ``version``, ``policy``, the sizes ``num_layers``, ``num_experts``,
``num_replicas``, ``num_groups``, ``num_nodes``, ``num_gpus``, the tables ``phy2log [layers, P]``,
``rank [layers, P]``, ``logcnt [layers, L]``, and ``certificate``: null, or a dict with

- ``loads_sha256``: hash of the canonical loads,
- ``exponents [layers]``: load / 720720 / 2**exponent is in the unit of the input,
- ``gpu_load [layers, G]``, ``max_load [layers]``, ``lower_bound [layers]``: integers,
- ``bound [layers]``: ``"mean"``, ``"adams"``, ``"node"``, ``"packing"`` or ``"counting"``, and
  ``gap [layers]``,
- ``bound_without_groups [layers]``: integers; ``beaten_by_duplicates [layers]``: true or false.
"""

from __future__ import annotations

import io
import json
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from eplb import _core, limits
from eplb.errors import EplbError, PlanFileError, VerificationError
from eplb.inputs.names import nearest
from eplb.inputs.sizes import topology
from eplb.storage.json_text import parse_json
from eplb.storage.npy import read_npz
from eplb.text import short, type_name

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "eplb plan"
VERSION = 1

_SIZES = ("num_experts", "num_replicas", "num_groups", "num_nodes", "num_gpus")
_TABLES = ("phy2log", "rank", "logcnt")
_KEYS = {"format", "version", "policy", "num_layers", *_SIZES, *_TABLES, "certificate"}
_BOUNDS = ("mean", "adams", "node", "packing", "counting")
_COLUMNS = (
    "exponents",
    "gpu_load",
    "max_load",
    "lower_bound",
    "bound",
    "bound_without_groups",
    "beaten_by_duplicates",
    "gap",
)
# Columns that are plain lists in the dict.
_LISTS = ("bound", "beaten_by_duplicates", "gap")
_CERTIFICATE_KEYS = {"loads_sha256", *_COLUMNS}


@dataclass(frozen=True)
class PlanContent:
    """What a plan file contains."""

    placement: _core.Placement
    #: Name of the policy; None for a placement from elsewhere.
    policy: str | None
    #: None if the loads are not known.
    certificate: _core.Certificate | None


def to_dict(content: PlanContent) -> dict[str, Any]:
    """The content as plain Python values, for JSON."""
    placement, certificate = content.placement, content.certificate
    return {
        "format": FORMAT,
        "version": VERSION,
        "policy": content.policy,
        "num_layers": placement.layers,
        **{name: getattr(placement.topology, name) for name in _SIZES},
        **{name: getattr(placement, name)().tolist() for name in _TABLES},
        "certificate": None if certificate is None else _certificate_dict(certificate),
    }


def _certificate_dict(certificate: _core.Certificate) -> dict[str, Any]:
    return {
        "loads_sha256": certificate.loads_sha256.hex(),
        "exponents": certificate.exponents,
        "gpu_load": certificate.gpu_load().tolist(),
        "max_load": certificate.max_load,
        "lower_bound": certificate.lower_bound,
        "bound": certificate.bound,
        "bound_without_groups": certificate.bound_without_groups,
        "beaten_by_duplicates": certificate.beaten_by_duplicates,
        "gap": certificate.gap().tolist(),
    }


def from_dict(values: Any) -> PlanContent:
    """The content of a dict as :func:`to_dict` makes it; tables may also be arrays.

    Raises:
        PlanFileError: a key is missing, unknown, or of the wrong type, shape or range.
        VerificationError: the tables are not a valid placement, or a gap is false.
    """
    _check_keys("the plan", values, _KEYS)
    # Compare the types too: an array is not simply equal or unequal.
    said = values["format"], values["version"]
    if (type(said[0]), type(said[1])) != (str, int) or said != (FORMAT, VERSION):
        raise PlanFileError(
            f"unknown format {short(said[0])} version {short(said[1])}; "
            f"expected {FORMAT!r} version {VERSION}"
        )
    policy = values["policy"]
    if policy is not None and not isinstance(policy, str):
        raise PlanFileError(f"policy is {short(policy)}; expected a name or null")
    try:
        sizes = topology(**{name: _size(values, name) for name in _SIZES})
    except EplbError as error:
        raise error.within("the plan's sizes", kind=PlanFileError) from error
    layers = _size(values, "num_layers")
    width = {"phy2log": sizes.num_replicas, "rank": sizes.num_replicas, "logcnt": sizes.num_experts}
    tables = [_integers(values, name, (layers, width[name]), np.int64) for name in _TABLES]
    placement = _core.Placement(sizes, *tables)
    certificate = values["certificate"]
    if certificate is not None:
        certificate = _certificate(certificate, placement)
    return PlanContent(placement, policy, certificate)


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
            raise VerificationError(
                f"layer {layer}: lower_bound is 0, but the layer has load", layer=layer
            )
        if type(claim) not in (int, float) or claim != gap:
            raise VerificationError(
                f"layer {layer}: gap is {short(claim)}, but max_load / lower_bound - 1 is {gap!r}",
                layer=layer,
            )


def _check_keys(what: str, values: Any, keys: set[str]) -> None:
    if not isinstance(values, dict):
        raise PlanFileError(f"{what} must be an object with keys, got {type(values).__name__}")
    if missing := sorted(keys - values.keys()):
        near = nearest(missing[0], (key for key in values if key not in keys))
        hint = [] if near is None else [f"is its key {near!r} a misspelt {missing[0]}?"]
        raise PlanFileError(f"{what} lacks {', '.join(missing)}", hint=hint)
    if unknown := sorted(map(_key, values.keys() - keys)):
        raise PlanFileError(f"{what} has unknown keys: {', '.join(unknown)[:200]}")


def _key(key: Any) -> str:
    return key if isinstance(key, str) else short(key)


def _size(values: dict[str, Any], name: str) -> int:
    size = values[name]
    if type(size) is not int or size < 1:
        raise PlanFileError(f"{name} must be a positive whole number, got {short(size)}")
    if size > 2**62:
        raise PlanFileError(f"{name}={short(size)} is too large; expected at most 2**62")
    return size


def _integers(
    values: dict[str, Any], name: str, shape: tuple[int, ...], dtype: type[np.integer[Any]]
) -> npt.NDArray[Any]:
    """The table ``values[name]``, if it has this shape and holds integers of this range."""
    table = values[name]
    wanted = f"{name} must be integers of shape {list(shape)}"
    range_ = np.iinfo(dtype)
    if isinstance(table, np.ndarray):
        if table.dtype.kind not in "iu":
            raise PlanFileError(f"{wanted}, got {type_name(table.dtype)}")
        if table.size and (int(table.min()) < range_.min or int(table.max()) > range_.max):
            raise PlanFileError(f"{wanted} that fit {range_.dtype.name}")
    else:
        rows = table if len(shape) == 2 else [table]
        if not isinstance(rows, list) or not all(isinstance(row, list) for row in rows):
            raise PlanFileError(f"{wanted}, got {type(table).__name__}")
        if any(type(cell) is not int for row in rows for cell in row):
            raise PlanFileError(f"{wanted}; some of its cells are not integers")
        if len({len(row) for row in rows}) > 1:
            raise PlanFileError(f"{wanted}; its rows differ in length")
        if any(not range_.min <= cell <= range_.max for row in rows for cell in row):
            raise PlanFileError(f"{wanted} that fit {range_.dtype.name}")
        table = np.array(table, dtype=dtype)
    if table.shape != shape:
        raise PlanFileError(f"{wanted}, got {list(table.shape)}")
    return np.ascontiguousarray(table, dtype=dtype)


def encode(content: PlanContent, name: str) -> bytes:
    """The bytes of a plan file with this name.

    Raises:
        PlanFileError: the name ends in neither ``.json`` nor ``.npz``.
    """
    if name.endswith(".json"):
        return (json.dumps(to_dict(content)) + "\n").encode()
    if name.endswith(".npz"):
        return _npz_bytes(to_dict(content))
    raise PlanFileError(f"{name!r} ends in neither .json nor .npz")


def _npz_bytes(values: dict[str, Any]) -> bytes:
    """Tables as arrays under their names, the rest as JSON under ``plan``."""
    certificate = values["certificate"] or {}
    arrays = {name: np.array(values[name], dtype=np.int64) for name in _TABLES}
    for name in _COLUMNS:
        if name in certificate:
            arrays[name] = np.array(certificate[name])
    rest = {key: value for key, value in values.items() if key not in _TABLES}
    if certificate:
        rest["certificate"] = {"loads_sha256": certificate["loads_sha256"]}
    stream = io.BytesIO()
    np.savez_compressed(stream, plan=np.array(json.dumps(rest)), **arrays)  # type: ignore[arg-type]
    return stream.getvalue()


def read(path: Path) -> PlanContent:
    """The content of a plan file, ``.json`` or ``.npz``, told by its first bytes.

    Raises:
        PlanFileError, VerificationError: as :func:`from_dict`, with the path.
        OSError: the file cannot be read.
    """
    with path.open("rb") as stream:
        content = stream.read(limits.MAX_FILE_BYTES + 1)
    try:
        return from_dict(_values(content))
    except EplbError as error:
        raise error.within(str(path)) from error


def _values(content: bytes) -> Any:
    if len(content) > limits.MAX_FILE_BYTES:
        raise PlanFileError(f"it holds more than {limits.MAX_FILE_BYTES} bytes")
    if content.startswith(b"\x93NUMPY"):
        raise PlanFileError("this is an .npy file, not a plan file; are the arguments swapped?")
    if content[:2] == b"PK":
        return _npz_values(content)
    values = parse_json(content)
    if not isinstance(values, dict) or not values.keys() & {"format", "version", "phy2log"}:
        raise PlanFileError(
            "this is not a plan file: expected an object with a key 'format'",
            hint=["for the file of an engine, use eplb evaluate --format"],
        )
    return values


def _npz_values(content: bytes) -> Any:
    try:
        arrays = read_npz(io.BytesIO(content))
    except ValueError as error:
        raise PlanFileError(str(error)) from error
    if "plan" not in arrays:
        raise PlanFileError("this is not a plan file: it has no array 'plan'")
    values = parse_json(str(arrays.pop("plan")).encode())
    if not isinstance(values, dict):
        raise PlanFileError("this is not a plan file: its array 'plan' is not a JSON object")
    certificate = values.get("certificate")
    for name, array in arrays.items():
        if name not in (*_TABLES, *_COLUMNS):
            raise PlanFileError(f"this is not a plan file: it has an unknown array {short(name)}")
        if array.size > limits.MAX_LOADS or (name in _LISTS and array.ndim != 1):
            raise PlanFileError(f"{name} has shape {array.shape}, which no plan has")
        table = array.tolist() if name in _LISTS else array
        if name in _COLUMNS and isinstance(certificate, dict):
            certificate[name] = table
        else:
            values[name] = table
    return values
