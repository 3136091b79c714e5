"""Strict JSON of limited size."""

from __future__ import annotations

import codecs
import json
from typing import Any

from eplb import limits
from eplb.errors import PlanFileError


def parse_json(content: bytes) -> Any:
    """The value of a JSON text: no NaN, no duplicate key, no extreme depth or size.

    Raises:
        PlanFileError: it is not such a text.
    """
    _check_size(content)
    return _parsed(content)


def parse_json_lines(content: bytes) -> list[Any]:
    """The values of a text with a JSON value on each line; blank lines do not count.

    Raises:
        PlanFileError: it is not such a text.
    """
    _check_size(content)
    values = []
    for line, text in enumerate(content.removeprefix(codecs.BOM_UTF8).splitlines(), 1):
        try:
            if text.strip():
                values.append(_parsed(text))
        except PlanFileError as error:
            raise error.within(f"line {line}") from error
    return values


def _check_size(content: bytes) -> None:
    if not content.strip():
        raise PlanFileError("it is empty")
    if content.count(b"[") + content.count(b"{") > limits.MAX_JSON_LISTS:
        raise PlanFileError(f"it holds more than {limits.MAX_JSON_LISTS} lists and objects")
    if content.count(b",") > limits.MAX_JSON_VALUES:
        raise PlanFileError(
            f"it holds more than {limits.MAX_JSON_VALUES} values; use another file format"
        )


def _parsed(content: bytes) -> Any:
    try:
        return json.loads(content, object_pairs_hook=_unique_keys, parse_constant=_refuse_constant)
    except RecursionError:
        raise PlanFileError("it is not valid JSON: it is nested too deeply") from None
    except PlanFileError:
        raise
    except UnicodeDecodeError:
        raise PlanFileError("it is not valid JSON: its bytes are not UTF-8 text") from None
    except ValueError as error:
        reason = str(error).split(";")[0]  # the rest is advice for programmers
        raise PlanFileError(f"it is not valid JSON: {reason}") from error


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) != len(pairs):
        raise PlanFileError("an object has a duplicate key")
    return values


def _refuse_constant(constant: str) -> Any:
    raise PlanFileError(f"{constant} is not a JSON number")
