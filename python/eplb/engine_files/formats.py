"""The formats by name: a new engine is a module with a writer and a reader, and an entry here."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from eplb.errors import PlanFileError
from eplb.shown import short

from . import ascend, lists, sglang, trtllm
from .format import Format

if TYPE_CHECKING:
    from pathlib import Path

#: The engines' formats by name.
FORMATS: dict[str, Format] = {
    "sglang": Format(
        (".json", ".pt"),
        "SGLang's --init-expert-location; a row for every hidden layer",
        "hidden",
        sglang.write,
        sglang.read,
    ),
    "trtllm": Format(
        (".yaml", ".yml"),
        "TensorRT-LLM's moe_config.load_balancer; names its hidden layers",
        "named",
        trtllm.write,
        trtllm.read,
    ),
    "vllm-ascend": Format(
        (".json",),
        "vllm-ascend's expert_map_path, also MindIE's; MoE layers in order",
        "moe",
        ascend.write,
        ascend.read,
    ),
    "rtp-llm": Format(
        (".json",),
        "RTP-LLM's phy2log_path; a row for every hidden layer",
        "hidden",
        lists.write_rtp_llm,
        lists.read_rtp_llm,
    ),
    "vllm": Format(
        (".json",),
        "lists of an open proposal to vLLM; MoE layers in order",
        "moe",
        lists.write_vllm,
        lists.read_vllm,
    ),
}
#: eplb's own, which carries the certificate, and the engines'.
FORMAT_NAMES = ("plan", *FORMATS)


def check_ending(path: Path, name: Any) -> None:
    """Refuses a format that there is not, and a file name that does not end as one of it must."""
    if not isinstance(name, str) or name not in FORMAT_NAMES:
        raise PlanFileError(
            f"there is no format {short(name)}; the formats are {', '.join(FORMAT_NAMES)}"
        )
    endings = (".json", ".npz") if name == "plan" else FORMATS[name].endings
    if path.suffix not in endings:
        raise PlanFileError(
            f"{path.name or str(path)!r} does not end in {' or '.join(endings)}, as a file of {name} must"
        )
