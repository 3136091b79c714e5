"""SGLang: the recorder's dumps, ``--init-expert-location``, the log's balancedness."""

from eplb.engines.engine import Engine, FileDump, FolderDump, Metric, PlacementFormat
from eplb.engines.sglang import dump, metric, placement

ENGINE = Engine(
    "sglang",
    formats={
        "sglang": PlacementFormat(
            (".json", ".pt"),
            "SGLang's --init-expert-location; a row for every hidden layer",
            "hidden",
            placement.write,
            placement.read,
            placement.recognises,
        )
    },
    dumps={
        "sglang": FileDump(dump.is_dump, dump.read),
        "sglang-passes": FolderDump(
            "expert_distribution_recorder_*.pt (SGLang's passes)", dump.is_folder, dump.read_folder
        ),
    },
    metrics={
        "sglang": Metric(
            "mean over layers of mean / largest, 1 for layers without load", metric.balancedness
        )
    },
)
