"""The one list of engines, and what they have by name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.engines import ascend, rtp_llm, sglang, trtllm, vllm
from eplb.errors import PlanFileError
from eplb.inputs.names import unknown

if TYPE_CHECKING:
    from pathlib import Path

    from eplb.engines.engine import Engine, FileDump, FolderDump, Metric, PlacementFormat

ENGINES: tuple[Engine, ...] = (
    sglang.ENGINE,
    trtllm.ENGINE,
    ascend.ENGINE,
    rtp_llm.ENGINE,
    vllm.ENGINE,
)

#: Placement formats by name.
FORMATS: dict[str, PlacementFormat] = {
    name: format_ for engine in ENGINES for name, format_ in engine.formats.items()
}
#: Dumps of loads by name.
DUMPS: dict[str, FileDump | FolderDump] = {
    name: dump for engine in ENGINES for name, dump in engine.dumps.items()
}
#: Metrics by name.
METRICS: dict[str, Metric] = {
    name: metric for engine in ENGINES for name, metric in engine.metrics.items()
}
#: Engines by their own name, and by those of their formats and dumps.
ENGINE_OF: dict[str, Engine] = {
    name: engine for engine in ENGINES for name in (engine.name, *engine.formats, *engine.dumps)
}
#: The plan file of eplb, which has the certificate, and the formats of engines.
FORMAT_NAMES = ("plan", *FORMATS)


def check_format(name: Any) -> None:
    """Refuses an unknown format.

    Raises:
        PlanFileError
    """
    if not isinstance(name, str) or name not in FORMAT_NAMES:
        raise unknown("format", name, FORMAT_NAMES, kind=PlanFileError)


def check_ending(path: Path, name: str) -> None:
    """Refuses a file name with an ending that the format does not have.

    Raises:
        PlanFileError
    """
    endings = (".json", ".npz") if name == "plan" else FORMATS[name].endings
    if path.suffix not in endings:
        raise PlanFileError(
            f"{path.name or str(path)!r} is not a file name for the format {name}; "
            f"expected an ending {' or '.join(endings)}"
        )
