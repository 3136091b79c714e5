"""What is raised when something is wrong with an input.

All are ``ValueError``; only what is no number at all is a ``TypeError``.
"""


class EplbError(ValueError):
    """Something is wrong with an input; the message says what, where, and what would do.

    ``layer``, ``slot`` and ``expert`` (from 0) are None where the error is about none.
    """

    def __init__(
        self,
        message: str,
        layer: int | None = None,
        slot: int | None = None,
        expert: int | None = None,
    ) -> None:
        super().__init__(message)
        self.layer = layer
        self.slot = slot
        self.expert = expert


class LoadError(EplbError):
    """Loads of the wrong shape, or one that is NaN, infinite, negative or too large."""


class LoadTypeError(TypeError):
    """Loads that are no real numbers: bool, complex, object, strings."""


class TopologyError(EplbError):
    """Sizes that are no whole positive numbers, do not go together, or are too large."""


class PlanFileError(EplbError):
    """A plan file, or a dict in its place, that does not hold a plan."""


class VerificationError(EplbError):
    """A plan says something of itself that is not so, or a placement is none."""
