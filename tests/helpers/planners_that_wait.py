"""A planner that takes its time, and leaves a trace of it: for runs that are cut in the middle."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from planners_that_end import everywhere


@dataclass(frozen=True)
class Waits:
    """Notes its name in a folder whenever it begins, and takes some time for each window."""

    folder: str
    name: str
    seconds: float

    def __call__(self, load: Any, previous: Any, sizes: Any) -> Any:
        """The placement of ``everywhere``."""
        if previous is None:
            with (Path(self.folder) / self.name).open("a") as file:
                file.write("begun\n")
        time.sleep(self.seconds)
        return everywhere(load, previous, sizes)
