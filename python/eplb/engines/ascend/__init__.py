"""vllm-ascend and MindIE: expert maps, MindIE's hotspots, the peak-to-average ratio (PAR)."""

from eplb.engines.ascend import hotspots, moe_load, placement
from eplb.engines.engine import Engine, FolderDump, Metric, PlacementFormat
from eplb.engines.peak import peak_to_mean

ENGINE = Engine(
    "ascend",
    formats={
        "vllm-ascend": PlacementFormat(
            (".json",),
            "vllm-ascend's expert_map_path, also MindIE's; MoE layers in order",
            "moe",
            placement.write,
            placement.read,
            placement.recognises,
        )
    },
    dumps={
        "mindie": FolderDump(
            "decode_0.csv or prefill_0.csv (MindIE's hotspots)", hotspots.is_dump, hotspots.read
        ),
        "vllm-ascend": FolderDump(
            "moe_load_*.npy (vllm-ascend's loads)", moe_load.is_dump, moe_load.read
        ),
    },
    metrics={"ascend": Metric("mean over layers with load of largest / mean (PAR)", peak_to_mean)},
)
