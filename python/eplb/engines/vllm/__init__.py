"""vLLM: the layout of an open proposal for placements, the log's balancedness."""

from eplb.engines.engine import Engine, FileDump, Metric, PlacementFormat
from eplb.engines.vllm import dump, metric, placement

ENGINE = Engine(
    "vllm",
    formats={
        "vllm": PlacementFormat(
            (".json",),
            "lists of an open proposal to vLLM; MoE layers in order",
            "moe",
            placement.write,
            placement.read,
            placement.recognises,
        )
    },
    dumps={"vllm": FileDump(dump.is_dump, dump.read)},
    metrics={
        "vllm": Metric(
            "sum over layers of the mean GPU load / sum of the largest", metric.balancedness
        )
    },
)
