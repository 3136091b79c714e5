"""The command line: ``eplb plan``, ``compare``, ``evaluate``, ``verify`` and ``sample``.

Exit codes: 0 done, 1 a check failed, 2 bad use or input. A mistake of the user's is one line on
standard error. With ``--json``, standard output holds one JSON object and nothing else.
"""

from eplb.cli.program import app, main

__all__ = ["app", "main"]
