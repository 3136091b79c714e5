"""A process that runs cells: it is sent a cell, and sends rows."""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any

from eplb.analysis.replay.cells import Cell
from eplb.errors import EplbError

if TYPE_CHECKING:
    from multiprocessing.connection import Connection

    from eplb.analysis.replay.trace import Trace

#: The kinds of messages: a row, that all rows were sent, an exception.
ROW, DONE, FAILED = "row", "done", "failed"


def serve(connection: Connection, trace: Trace) -> None:
    """Runs the cells that are sent, as a setting and a course, until there are no more."""
    while True:
        try:
            content = connection.recv_bytes()
        except EOFError:  # the other end has gone
            return
        try:
            for row in _cell(content, trace).rows():
                connection.send((ROW, row))
            connection.send((DONE, None))
        except OSError:  # nobody listens any more
            return
        except Exception as error:  # noqa: BLE001 - it is raised where the rows are wanted
            connection.send((FAILED, sendable(error)))


def _cell(content: bytes, trace: Trace) -> Cell:
    """The cell that was sent.

    Raises:
        EplbError: its planner is one that this process does not find.
    """
    name, inner = pickle.loads(content)  # noqa: S301 - from the process that started this one
    try:
        setting, course = pickle.loads(inner)  # noqa: S301
    except (AttributeError, ImportError) as error:
        raise EplbError(
            f"setting {name}: its planner cannot be found by another process: {error}",
            hint=["define it in a module that can be imported, or run in one process"],
        ) from error
    return Cell(setting, trace, course)


def sendable(error: Exception) -> Exception:
    """The exception, or one with its words if it cannot be sent to another process."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - what was pickled just now
    except Exception:  # noqa: BLE001 - any class can raise anything
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error


def sent(setting: Any, course: Any) -> bytes:
    """A cell without its trace, to be sent to another process.

    Raises:
        EplbError: its planner cannot be sent.
    """
    try:
        return pickle.dumps((setting.name, pickle.dumps((setting, course))))
    except (AttributeError, TypeError, pickle.PicklingError) as error:
        raise EplbError(
            f"setting {setting.name}: its planner cannot be sent to another process: {error}",
            hint=["define it in a module, or run in one process"],
        ) from error
