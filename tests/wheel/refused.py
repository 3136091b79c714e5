"""What a check of a distribution raises."""

from __future__ import annotations


class RefusedError(Exception):
    """A distribution that must not be published; the message says which, and why."""


def require(condition: object, why: str) -> None:
    """Refuse, unless the condition holds. Not ``assert``, which ``python -O`` leaves out."""
    if not condition:
        raise RefusedError(why)
