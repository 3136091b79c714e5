"""Exceptions for invalid input.

All are ``ValueError``; only input that is not numeric at all is a ``TypeError``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from typing import Self


@dataclass(frozen=True)
class Parameter:
    """A parameter that a message names, with its value if the message gives one."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}={self.value}"


Part = str | Parameter


class Note(str):
    """A line for the user. It names parameters as data, as errors do.

    As a string it has the names of arguments in Python.
    """

    __slots__ = ("parts",)

    parts: tuple[Part, ...]

    def __new__(cls, *parts: Part) -> Self:
        """A note of words and parameters."""
        note = super().__new__(cls, _spelled(parts, str))
        note.parts = parts
        return note

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts

    def text(self, spell: Callable[[Parameter], str] = str) -> str:
        """The note, with each parameter as ``spell`` writes it."""
        return _spelled(self.parts, spell)


class EplbError(ValueError):
    """Something is wrong with an input: the message says what, where, and what was expected.

    Attributes:
        parts: the message in pieces, words and parameters.
        hint: what to do instead, in pieces; empty if nothing is known.
        layer, slot, expert: where it is wrong, from 0; None if the error is not about one.
    """

    def __init__(
        self,
        *parts: Part,
        hint: Iterable[Part] = (),
        layer: int | None = None,
        slot: int | None = None,
        expert: int | None = None,
    ) -> None:
        super().__init__(*parts)
        self.parts = parts
        self.hint = tuple(hint)
        self.layer = layer
        self.slot = slot
        self.expert = expert

    @property
    def parameter(self) -> str | None:
        """Name of the first parameter of the message."""
        return next((part.name for part in self.parts if isinstance(part, Parameter)), None)

    def text(self, spell: Callable[[Parameter], str] = str) -> str:
        """The message, with each parameter as ``spell`` writes it."""
        return _spelled(self.parts, spell)

    def hint_text(self, spell: Callable[[Parameter], str] = str) -> str:
        """The hint, with each parameter as ``spell`` writes it."""
        return _spelled(self.hint, spell)

    def within(
        self, where: str = "", *, kind: type[EplbError] | None = None, also: str = ""
    ) -> EplbError:
        """The same error, of the class ``kind``, with ``where: `` before and ``also`` behind it."""
        return (kind or type(self))(
            f"{where}: " if where else "",
            *self.parts,
            also,
            hint=self.hint,
            layer=self.layer,
            slot=self.slot,
            expert=self.expert,
        )

    def renamed(self, rename: Callable[[Parameter], Parameter]) -> EplbError:
        """The same error with other parameters."""

        def changed(parts: Iterable[Part]) -> list[Part]:
            return [part if isinstance(part, str) else rename(part) for part in parts]

        return type(self)(
            *changed(self.parts),
            hint=changed(self.hint),
            layer=self.layer,
            slot=self.slot,
            expert=self.expert,
        )

    def __str__(self) -> str:
        text, hint = self.text(), self.hint_text()
        between = " " if text.endswith("?") else "; "
        return text + between + hint if hint else text

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self.parts, self.__dict__


def _spelled(parts: Iterable[Part], spell: Callable[[Parameter], str]) -> str:
    return "".join(part if isinstance(part, str) else spell(part) for part in parts)


class LoadError(EplbError):
    """Loads have the wrong shape, or a load is NaN, infinite, negative or too large."""


class LoadWarning(UserWarning):
    """Loads are valid, but their shape or their numbers are those of something else."""


class LoadTypeError(TypeError):
    """Loads are not real numbers: bool, complex, object, strings."""


class TopologyError(EplbError):
    """Sizes are not positive whole numbers, do not go together, or are too large."""


class PlanFileError(EplbError):
    """A plan file, or a dict in its place, does not contain a valid plan."""


class VerificationError(EplbError):
    """A plan or its certificate is inconsistent, or a table is not a valid placement."""
