"""The small part of YAML that placement files use, for untrusted text."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eplb import limits
from eplb.errors import PlanFileError
from eplb.text import short

if TYPE_CHECKING:
    from collections.abc import Iterator

_YAML_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
# The file, its assignments, a row: nothing lies deeper.
_YAML_DEPTH = 3


def yaml_values(content: bytes) -> Any:
    """Mappings, lists, numbers and names of a YAML file; no tags, anchors or aliases.

    PyYAML only splits the text into events. None of its constructors is called, and what could
    expand (an alias can stand for billions of cells) is refused.

    Raises:
        PlanFileError: it is not such YAML.
    """
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise PlanFileError("PyYAML is needed to read it", hint=["pip install pyyaml"]) from error
    if len(content) > limits.MAX_YAML_BYTES:
        raise PlanFileError(f"it holds more than {limits.MAX_YAML_BYTES} bytes of YAML")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        events = yaml.parse(content, Loader=loader)
        kinds = [next(events), next(events)]
        if not isinstance(kinds[1], yaml.DocumentStartEvent):
            raise PlanFileError("it is empty")
        values = _yaml_node(yaml, next(events), events, _YAML_DEPTH)
        next(events)
        if not isinstance(next(events), yaml.StreamEndEvent):
            raise PlanFileError("it holds more than one document")
    except PlanFileError:
        raise
    except Exception as error:  # for strange bytes the parser can raise anything
        reason = " ".join(str(error).split())[:200]
        raise PlanFileError(f"it is not valid YAML: {reason}") from error
    return values


def _yaml_node(yaml: Any, event: Any, events: Iterator[Any], depth: int) -> Any:
    """The value that starts with this event, with at most ``depth`` levels of lists and mappings."""
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise PlanFileError(f"line {line}: anchors and aliases are not supported")
    if event.tag is not None:
        raise PlanFileError(f"line {line}: tags are not supported")
    if isinstance(event, yaml.ScalarEvent):
        plain = event.style in {None, ""}
        return int(event.value) if plain and _YAML_NUMBER.fullmatch(event.value) else event.value
    if depth == 0:
        raise PlanFileError(f"line {line}: it is nested too deeply")
    if isinstance(event, yaml.SequenceStartEvent):
        ends = yaml.SequenceEndEvent
        return [_yaml_node(yaml, item, events, depth - 1) for item in _until(events, ends)]
    mapping: dict[Any, Any] = {}
    for item in _until(events, yaml.MappingEndEvent):
        if not isinstance(item, yaml.ScalarEvent):
            raise PlanFileError(
                f"line {item.start_mark.line + 1}: a key is neither a name nor a number"
            )
        key = _yaml_node(yaml, item, events, 0)
        if key in mapping:
            raise PlanFileError(f"line {item.start_mark.line + 1}: duplicate key {short(key)}")
        mapping[key] = _yaml_node(yaml, next(events), events, depth - 1)
    return mapping


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    while not isinstance(event := next(events), end):
        yield event
