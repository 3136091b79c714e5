"""RTP-LLM: ``phy2log_path``."""

from eplb.engines.engine import Engine, PlacementFormat
from eplb.engines.rtp_llm import placement

ENGINE = Engine(
    "rtp-llm",
    formats={
        "rtp-llm": PlacementFormat(
            (".json",),
            "RTP-LLM's phy2log_path; a row for every hidden layer",
            "hidden",
            placement.write,
            placement.read,
            lambda values: isinstance(values, list),
        )
    },
)
