"""What SGLang's expert load balancer imports of SGLang, as far as it is used on a CPU.

Each stand-in is enough because of what the balancer does with it; nothing here decides which expert
goes where, or moves a weight.
"""

from __future__ import annotations

import os
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from engine_runs.wheel_modules import serve, stand_in

if TYPE_CHECKING:
    from pathlib import Path

    import torch

#: Run as released.
RELEASED = [
    "sglang.srt.eplb.eplb_algorithms",
    "sglang.srt.eplb.eplb_manager",
    "sglang.srt.eplb.expert_location",
    "sglang.srt.eplb.expert_location_updater",
    "sglang.srt.elastic_ep.elastic_ep",
    "sglang.srt.plugins",
]


class Struct:
    """msgspec's: of messages between servers that scale up, which none here does."""

    def __init_subclass__(cls, **_: Any) -> None:
        """Takes msgspec's options."""


class Recorder:
    """The recorder of loads. The released one counts what a router sends; here the run says it.

    ``dump_record`` gives what all ranks counted together, as the released one does after its
    all-reduce.
    """

    recording = True
    logical_count: torch.Tensor

    def dump_record(self, output_mode: str) -> dict[str, Any]:
        assert output_mode == "object"
        return {"logical_count": self.logical_count, "average_utilization_rate_over_window": None}


RECORDER = Recorder()


class Model:
    """The architecture says which layers and experts there are; the updater asks for weights."""

    shape: tuple[int, int]
    #: Layer -> its tensors.
    routed_experts_weights_of_layer: dict[int, list[torch.Tensor]]

    @classmethod
    def get_model_config_for_expert_location(cls, _: Any) -> Any:
        from sglang.srt.eplb.expert_location import ModelConfigForExpertLocation

        layers, experts = cls.shape
        return ModelConfigForExpertLocation(layers, experts, num_groups=None)

    @staticmethod
    def generate_weight_name_filter(missing: dict[int, list[int]]) -> dict[int, list[int]]:
        """Names of weights to read again: here the layers and experts themselves."""
        return missing


def put_in_place(wheel: Path, *, rank: int, ranks: int, redundant: int, **moe: Any) -> None:
    """Lets SGLang's load balancer be imported in this process."""
    exec_config = SimpleNamespace(
        moe=SimpleNamespace(
            **{
                "ep_num_redundant_experts": redundant,
                "eplb_algorithm": "auto",
                "eplb_rebalance_num_iterations": 1,
                "eplb_rebalance_layers_per_chunk": None,
                "expert_distribution_recorder_buffer_size": 1,
                "ep_dispatch_algorithm": "static",
                "moe_a2a_backend": "deepep",
                "ep_join_mode": None,
                "is_ep_joiner": False,
                "elastic_ep_backend": None,
                "init_expert_location": "trivial",
                **moe,
            }
        )
    )
    parallel = SimpleNamespace(
        nnodes=1,
        ep_size=ranks,
        tp_size=ranks,
        tp_rank=rank,
        ep_join_rank_offset=0,
        elastic_ep_initial_size=None,
        max_world_size=ranks,
        max_ep_size=None,
    )
    resources = SimpleNamespace(expert_location_metadata=None)
    stand_in(
        "sglang.srt.runtime_context",
        get_exec=lambda: exec_config,
        get_parallel=lambda: parallel,
        get_resources=lambda: resources,
        get_device=lambda: SimpleNamespace(device="cpu"),
        get_model=lambda: SimpleNamespace(model_path="", load_format=""),
    )
    values = {
        "SGLANG_LOG_EXPERT_LOCATION_METADATA": False,
        "SGLANG_EPLB_P2P_BATCH_CHUNK_SIZE": 64,
        "SGLANG_PLUGINS": os.environ.get("SGLANG_PLUGINS"),
        "SGLANG_PLATFORM": None,
    }
    settings = {name: _Setting(value) for name, value in values.items()}
    stand_in("sglang.srt.environ", envs=SimpleNamespace(**settings))
    stand_in(
        "sglang.srt.utils",
        get_bool_env_var=lambda name: os.environ.get(name) == "1",
        is_cpu=lambda: True,
        is_cuda=lambda: False,
    )
    stand_in("sglang.srt.distributed", parallel_state=None)
    stand_in("sglang.srt.distributed.utils", get_global_tcp_store=lambda: None)
    stand_in("sglang.srt.server_args", ServerArgs=object)
    stand_in("sglang.srt.model_loader", get_model_architecture=lambda _: (Model, "toy"))
    stand_in(
        "sglang.srt.model_executor.model_runner_components.moe_ep_setup",
        init_lplb_solvers=lambda **_: None,
    )
    stand_in(
        "sglang.srt.eplb.expert_distribution",
        get_global_expert_distribution_recorder=lambda: RECORDER,
    )
    stand_in("sglang.srt.elastic_ep")
    stand_in("einops")  # for the log of bytes sent, which is off
    stand_in("msgspec", Struct=Struct)
    serve(wheel, RELEASED)


class _Setting:
    def __init__(self, value: Any) -> None:
        self._value = value

    def get(self) -> Any:
        return self._value
