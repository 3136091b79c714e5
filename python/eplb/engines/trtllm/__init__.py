"""TensorRT-LLM: expert statistics, ``moe_config.load_balancer``, the report's imbalance."""

from eplb.engines.engine import Engine, FolderDump, Metric, PlacementFormat
from eplb.engines.peak import peak_to_mean
from eplb.engines.start_placement import by_rank
from eplb.engines.trtllm import dump, placement

ENGINE = Engine(
    "trtllm",
    formats={
        "trtllm": PlacementFormat(
            (".yaml", ".yml"),
            "TensorRT-LLM's moe_config.load_balancer; names its hidden layers",
            "named",
            placement.write,
            placement.read,
        )
    },
    dumps={
        "trtllm": FolderDump(f"{dump.META} (TensorRT-LLM's statistics)", dump.is_dump, dump.read)
    },
    metrics={
        "trtllm": Metric(
            "mean over layers with load of largest / mean - 1",
            lambda gpu_load: peak_to_mean(gpu_load) - 1,
        )
    },
    start=by_rank,
)
