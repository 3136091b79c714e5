"""The sequences on which planning over time is judged, and what it has to reach."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from over_time.sequences import gpt_oss, gpt_oss_blocks, olmoe, v2_lite, v2_lite_blocks

if TYPE_CHECKING:
    from collections.abc import Iterator

    from over_time.judge import Score
    from over_time.sequences import Sequence


@dataclass(frozen=True)
class Floor:
    """In percent, as :class:`~over_time.judge.Score`."""

    mean: float
    p10: float
    moved: float
    #: Above the mean of DeepSeek's algorithm on the newest window by at least this.
    above: float = -0.5

    def misses(self, ours: Score, deepseek: Score) -> Iterator[str]:
        """What is missed."""
        if ours.mean < self.mean:
            yield f"mean {ours.mean:.2f}; expected at least {self.mean}"
        if ours.p10 < self.p10:
            yield f"p10 {ours.p10:.2f}; expected at least {self.p10}"
        if ours.moved > self.moved:
            yield f"moved {ours.moved:.2f}; expected at most {self.moved}"
        if ours.mean < deepseek.mean + self.above:
            yield f"mean {ours.mean:.2f} beside {deepseek.mean:.2f} of deepseek"


FLOORS: dict[str, tuple[Sequence, Floor]] = {
    "gpt-oss, in the order of the file": (gpt_oss(None), Floor(83.7, 72.0, 6.5)),
    "gpt-oss, shuffled by 1": (gpt_oss(1), Floor(82.0, 69.0, 7.5)),
    "gpt-oss, shuffled by 2": (gpt_oss(2), Floor(82.0, 69.0, 7.5)),
    "gpt-oss, shuffled by 3": (gpt_oss(3), Floor(82.0, 69.0, 7.5)),
    "V2-Lite, in the order of the file": (v2_lite(None), Floor(91.4, 85.6, 4.6)),
    "V2-Lite, shuffled by 1": (v2_lite(1), Floor(91.3, 86.3, 4.0)),
    "V2-Lite, shuffled by 2": (v2_lite(2), Floor(91.3, 86.3, 4.0)),
    "V2-Lite, shuffled by 3": (v2_lite(3), Floor(91.3, 86.3, 4.0)),
    "OLMoE, 32 requests a window": (olmoe(32), Floor(93.5, 89.7, 2.2)),
    "OLMoE, 16 requests a window": (olmoe(16), Floor(91.6, 86.6, 2.7)),
    "gpt-oss, six windows of each domain": (gpt_oss_blocks(6), Floor(94.4, 84.3, 7.0, above=1.0)),
    "V2-Lite, six windows of each task": (v2_lite_blocks(6), Floor(93.0, 88.8, 7.0, above=2.0)),
}
