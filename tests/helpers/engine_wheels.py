"""The wheels of engines that tests read modules out of: skipped where nobody gave them, never else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

#: Name of a wheel's file -> the release, as pip names it.
RELEASES = {
    "sglang": "sglang==0.5.23",
    "vllm": "vllm==0.33.0",
    "vllm_ascend": "vllm-ascend==0.23.0",
}


def version(name: str) -> str:
    """The release's version alone."""
    return RELEASES[name].partition("==")[2]


def wheel(name: str) -> Path:
    """The wheel in the folder that ``EPLB_ENGINE_WHEELS`` names.

    Skips the test where the variable is not set; fails it where it is, and the wheel is not there.
    """
    folder = os.environ.get("EPLB_ENGINE_WHEELS")
    if not folder:
        pytest.skip("EPLB_ENGINE_WHEELS names no folder of wheels: see this file's first lines")
    found = sorted(Path(folder).glob(f"{name}-{version(name)}-*.whl"))
    if not found:
        pytest.fail(
            f"EPLB_ENGINE_WHEELS={folder} holds no wheel of {RELEASES[name]}: fill it by pip download "
            f"--no-deps --only-binary :all: -d {folder} {' '.join(RELEASES.values())}"
        )
    return found[-1]
