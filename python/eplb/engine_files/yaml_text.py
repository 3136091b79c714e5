"""The little of YAML that placement files are made of; hostile text is refused on sight."""

from __future__ import annotations

import re
from importlib import import_module
from typing import TYPE_CHECKING, Any

from eplb.errors import PlanFileError
from eplb.shown import short

if TYPE_CHECKING:
    from collections.abc import Iterator

#: A file of YAML, which is read slowly, holds at most so many bytes.
MAX_YAML_BYTES = 2**22

_YAML_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,9}", re.ASCII)
# The file, its assignments, a row: nothing lies deeper.
_YAML_DEPTH = 3


def yaml_values(content: bytes) -> Any:
    """Mappings, lists, numbers and names of a YAML file; no tags, anchors or aliases.

    PyYAML only splits the text into its parts. No constructor of its is called, and what the text
    could make of itself (an alias can stand for billions of cells) is refused on sight.
    """
    try:
        yaml = import_module("yaml")
    except ImportError as error:
        raise PlanFileError("PyYAML is needed to read it: pip install pyyaml") from error
    if len(content) > MAX_YAML_BYTES:
        raise PlanFileError(f"it holds more than {MAX_YAML_BYTES} bytes of YAML")
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
    except Exception as error:  # the parser raises what strange bytes lead it to
        reason = " ".join(str(error).split())[:200]
        raise PlanFileError(f"no YAML that can be read: {reason}") from error
    return values


def _yaml_node(yaml: Any, event: Any, events: Iterator[Any], depth: int) -> Any:
    """The value that begins with an event, ``depth`` levels of lists and mappings at most."""
    line = event.start_mark.line + 1
    if isinstance(event, yaml.AliasEvent) or event.anchor is not None:
        raise PlanFileError(f"line {line}: anchors and aliases are not read")
    if event.tag is not None:
        raise PlanFileError(f"line {line}: tags are not read")
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
            raise PlanFileError(f"line {item.start_mark.line + 1}: a key is no name or number")
        key = _yaml_node(yaml, item, events, 0)
        if key in mapping:
            raise PlanFileError(
                f"line {item.start_mark.line + 1}: the key {short(key)} is there twice"
            )
        mapping[key] = _yaml_node(yaml, next(events), events, depth - 1)
    return mapping


def _until(events: Iterator[Any], end: type) -> Iterator[Any]:
    while not isinstance(event := next(events), end):
        yield event
