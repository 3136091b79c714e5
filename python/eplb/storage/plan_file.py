"""The plan file: a placement with its certificate, as a dict of plain values, as JSON or .npz.

Keys: ``format``, ``version``, ``policy``, ``options`` (those of the policy, by name), ``made_from``
(null, or what was planned: see :class:`MadeFrom`), the sizes ``num_layers``, ``num_experts``,
``num_replicas``, ``num_groups``, ``num_nodes``, ``num_gpus``, ``cluster`` (null if all GPUs are equal
and live; otherwise node, slots, speed and state of each), the tables ``phy2log [layers, P]`` and ``rank [layers, P]`` (-1 for an empty slot),
``logcnt [layers, L]``, and ``certificate``: null, or a dict with

- ``loads_sha256``: hash of the canonical loads,
- ``exponents [layers]``: load / 720720 / 2**exponent is in the unit of the input,
- ``gpu_load [layers, G]``, ``max_load [layers]``, ``lower_bound [layers]``: integers,
- ``bound [layers]``: the kind of each bound, for example ``"mean"``; and ``gap [layers]``,
- ``bound_without_groups [layers]``: integers; ``beaten_by_duplicates [layers]``: true or false.

Version 1 is read too: it has no ``options``, ``made_from`` and ``cluster``.
"""

from __future__ import annotations

import io
import json
import math
import re
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from eplb import _core, limits
from eplb.clusters import Cluster
from eplb.errors import EplbError, PlanFileError, VerificationError
from eplb.storage.checked import check_format, check_keys, integers_of, size_of
from eplb.storage.json_text import parse_json
from eplb.storage.made_from import MadeFrom
from eplb.storage.npy import read_npz
from eplb.storage.plan_sizes import SIZES, topology_of
from eplb.text import count, short

if TYPE_CHECKING:
    from pathlib import Path

FORMAT = "eplb plan"
VERSION = 2

_TABLES = ("phy2log", "rank", "logcnt")
_KEYS_OF_VERSION_1 = {"format", "version", "policy", "num_layers", *SIZES, *_TABLES, "certificate"}
_NEW_KEYS = {"options", "made_from", "cluster"}
_BOUNDS = tuple(name for name, _ in _core.bounds())
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
# A name in a file is printed, so it is not longer.
_LONGEST_NAME = 80
_CERTIFICATE_KEYS = {"loads_sha256", *_COLUMNS}


@dataclass(frozen=True)
class PlanContent:
    """What a plan file contains."""

    placement: _core.Placement
    #: Name of the policy; None for a placement from elsewhere.
    policy: str | None
    #: None if the loads are not known.
    certificate: _core.Certificate | None
    #: The options of the policy that were given.
    options: dict[str, Any] = field(default_factory=dict)
    #: None for a placement from elsewhere, and for plans in files of version 1.
    made_from: MadeFrom | None = None


def to_dict(content: PlanContent) -> dict[str, Any]:
    """The content as plain Python values, for JSON."""
    placement, certificate = content.placement, content.certificate
    cluster = Cluster.of(placement.topology.cluster)
    return {
        "format": FORMAT,
        "version": VERSION,
        "policy": content.policy,
        "options": dict(content.options),
        "made_from": None if content.made_from is None else asdict(content.made_from),
        "cluster": None if placement.topology.has_equal_gpus else cluster.to_dict(),
        "num_layers": placement.layers,
        **{name: getattr(placement.topology, name) for name in SIZES},
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
    version = _version(values)
    check_keys("the plan", values, _KEYS_OF_VERSION_1 | (_NEW_KEYS if version > 1 else set()))
    policy = values["policy"]
    if policy is not None and not _is_name(policy):
        raise PlanFileError(f"policy is {short(policy)}; expected a name or null")
    options, made_from = ({}, None) if version == 1 else (_options(values), _made_from(values))
    sizes = topology_of(values)
    layers = size_of(values, "num_layers")
    width = {"phy2log": sizes.num_replicas, "rank": sizes.num_replicas, "logcnt": sizes.num_experts}
    tables = [integers_of(values, name, (layers, width[name]), np.int64) for name in _TABLES]
    placement = _core.Placement(sizes, *tables)
    certificate = values["certificate"]
    if certificate is not None:
        certificate = _certificate(certificate, placement)
    return PlanContent(placement, policy, certificate, options, made_from)


def _version(values: Any) -> int:
    """The version of a plan file; the newest one if it does not say, so that keys lack."""
    if not isinstance(values, dict) or not {"format", "version"} <= values.keys():
        return VERSION
    return check_format(values, FORMAT, (1, VERSION))


def _options(values: dict[str, Any]) -> dict[str, Any]:
    options = values["options"]
    if not isinstance(options, dict) or not all(
        _is_name(name) and _is_option(value) for name, value in options.items()
    ):
        raise PlanFileError(
            f"options is {short(options)}; expected an object of numbers, names or null"
        )
    return dict(options)


def _is_option(value: Any) -> bool:
    if isinstance(value, (bool, type(None))):
        return True
    if isinstance(value, float):
        return math.isfinite(value)
    return abs(value) < 2**63 if type(value) is int else _is_name(value)


def _is_name(value: Any) -> bool:
    """Whether it is a name that can be printed."""
    return isinstance(value, str) and len(value) <= _LONGEST_NAME and value.isprintable()


def _made_from(values: dict[str, Any]) -> MadeFrom | None:
    said = values["made_from"]
    if said is None:
        return None
    check_keys("made_from", said, {"windows", "history"})
    history = said["history"]
    if history is not None and (
        not isinstance(history, str) or re.fullmatch("[0-9a-f]{16}", history) is None
    ):
        raise PlanFileError(f"history is {short(history)}; expected a digest or null")
    return MadeFrom(size_of(said, "windows"), history)


def _certificate(values: Any, placement: _core.Placement) -> _core.Certificate:
    check_keys("the certificate", values, _CERTIFICATE_KEYS)
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
        integers_of(values, "gpu_load", (layers, gpus), np.uint64),
        integers_of(values, "max_load", (layers,), np.uint64),
        integers_of(values, "lower_bound", (layers,), np.uint64),
        bound,
        integers_of(values, "bound_without_groups", (layers,), np.uint64),
        beaten,
        integers_of(values, "exponents", (layers,), np.int32).tolist(),
        loads_sha256,
        placement.topology.cluster.total_speed,
    )
    _check_gap(values["gap"], certificate.gap().tolist())
    return certificate


def _is_bound(name: Any) -> bool:
    return isinstance(name, str) and name in _BOUNDS


def _check_gap(said: Any, found: list[float]) -> None:
    if isinstance(said, np.ndarray):
        said = said.tolist()
    if not isinstance(said, list) or len(said) != len(found):
        raise PlanFileError(f"gap must be {count(len(found), 'number')}")
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
            hint=["the file of an engine is read by eplb evaluate and by Plan.from_engine_file"],
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
