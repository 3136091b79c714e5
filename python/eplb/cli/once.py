"""Commands that refuse an option which is given twice, instead of forgetting the first value."""

from __future__ import annotations

from typing import Any

from typer.core import TyperCommand

import eplb


class OnceCommand(TyperCommand):
    """A command; the parser itself keeps the last value in silence."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """The arguments that are left.

        Raises:
            EplbError: an option that takes one value is there twice.
        """
        _, _, order = self.make_parser(ctx).parse_args(args=[*args])
        seen = set()
        for parameter in order:
            if getattr(parameter, "multiple", False) or parameter.nargs == -1:
                continue
            if parameter.name in seen:
                raise eplb.EplbError(f"{parameter.opts[0]} is given twice; expected one value")
            seen.add(parameter.name)
        return super().parse_args(ctx, args)
