"""Putting a plug-in in place, once in a process."""

from __future__ import annotations

import os
from importlib import import_module, metadata
from typing import TYPE_CHECKING

from eplb.errors import EplbError
from eplb.plugins.interface import UnknownInterfaceError
from eplb.plugins.settings import is_on, settings_of, unknown_variables

if TYPE_CHECKING:
    import logging


def start(engine: str, module: str, log: logging.Logger) -> None:
    """Checks the settings and the engine, and puts the plug-in in place; tells what came of it."""
    if not is_on(os.environ):
        return
    try:
        for line in unknown_variables(os.environ):
            log.warning("eplb: %s", line)
        settings = settings_of(os.environ)
        plugin = import_module(f"eplb.plugins.{module}")
        done = plugin.install(settings)
    except EplbError as error:
        log.error("eplb: not used, %s's own planner stays: %s", engine, error)  # noqa: TRY400
        return
    except UnknownInterfaceError as error:
        log.error(  # noqa: TRY400
            "eplb: not used, %s's own planner stays: this release asks its planner in another way "
            "than %s does: %s",
            engine,
            plugin.KNOWN_RELEASE,
            error,
        )
        return
    if done:
        log.info(
            "eplb: %s (%s); while %s exists, it does not", done, settings.policy, settings.off_file
        )
        if settings.off_file.exists():
            log.warning("eplb: %s exists", settings.off_file)
        release = _release(engine)
        if not release.startswith(plugin.KNOWN_RELEASE):
            log.warning(
                "eplb: %s %s asks its planner as %s does, but eplb was not run inside it",
                engine,
                release,
                plugin.KNOWN_RELEASE,
            )


def _release(engine: str) -> str:
    try:
        return metadata.version(engine)
    except metadata.PackageNotFoundError:
        return "of unknown release"
