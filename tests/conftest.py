"""Settings of every test."""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("fast", max_examples=300, deadline=None)
settings.register_profile("ci", parent=settings.get_profile("fast"), derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "fast")
