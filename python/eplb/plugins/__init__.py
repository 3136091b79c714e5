"""Plug-ins for vLLM and SGLang: their entry points.

An engine calls its entry point once in every process. Unless ``EPLB_PLUGIN`` is set it does nothing.
It never raises: if something is wrong, it says so and the engine's own planner stays.
"""

from __future__ import annotations

import logging
import os


def vllm() -> None:
    """Entry point of the group ``vllm.general_plugins``."""
    _install("vllm", "vllm_policy")


def sglang() -> None:
    """Entry point of the group ``sglang.srt.plugins``."""
    _install("sglang", "sglang_hook")


def _install(engine: str, module: str) -> None:
    if not os.environ.get("EPLB_PLUGIN", "").strip():
        return
    log = logging.getLogger("vllm.eplb" if engine == "vllm" else "eplb")
    try:
        from eplb.plugins.start import start

        start(engine, module, log)
    except Exception as error:
        log.exception("eplb: not used, the engine's own planner stays: %s", error)  # noqa: TRY401
