"""The command line: ``eplb plan``, ``compare``, ``evaluate``, ``verify`` and ``sample``.

Exit codes: 0 done, 1 a check failed, 2 bad use or input. A mistake of the user's is one line on
standard error. With ``--json``, standard output holds one JSON object and nothing else.
"""

from __future__ import annotations

import signal


def main(arguments: list[str] | None = None) -> int:
    """Runs the command line; ``arguments`` are by default those of the process.

    Returns the exit code. As a process of its own it ends at once where it is interrupted, whether it
    still imports what it needs or plans in Rust, where Python would not look at signals.
    """
    if arguments is None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from eplb.cli.program import run

    return run(arguments)


__all__ = ["main"]
