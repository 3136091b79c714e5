"""The command line: ``eplb plan``, ``replay``, ``verify`` and others.

Exit codes: 0 done, 1 a check failed, 2 invalid use or input. An error is one line on standard
error, and a hint another one. With ``--json``, standard output has one JSON object and nothing else.
"""

from __future__ import annotations

import signal


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; ``arguments`` are by default those of the process.

    Returns the exit code. A process of its own ends at once if it is interrupted, also during imports
    and during planning in Rust, when Python does not handle signals.
    """
    if arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from eplb.cli.program import run

    return run(arguments)


__all__ = ["main"]
