"""How much a check looked at: a check that scanned nothing has failed."""

from __future__ import annotations

from collections import Counter

#: What was counted -> how many; shown at the end of a run, and kept by `make verify`.
COUNTS: Counter[str] = Counter()
