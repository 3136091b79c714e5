"""The program: its commands, and how errors are shown."""

from __future__ import annotations

import sys
import warnings
from typing import Annotated

import typer

import eplb
from eplb.cli.advise import advise_command
from eplb.cli.check import check_command
from eplb.cli.compare import compare_command
from eplb.cli.evaluate import evaluate_command
from eplb.cli.once import OnceCommand
from eplb.cli.options import spell
from eplb.cli.output import WIDTH, complain, never_fail_on_a_character, say, write
from eplb.cli.plan import plan_command
from eplb.cli.record import record_command
from eplb.cli.replan import replan_command
from eplb.cli.replay import replay_command
from eplb.cli.sample import sample_command
from eplb.cli.split import split_command
from eplb.cli.verify import verify_command

DONE, CHECK_FAILED, BAD_INPUT = 0, 1, 2

# A mistyped option; its class has other names in other releases of typer.
_USE_ERROR: type[Exception] = next(
    kind for kind in typer.BadParameter.__mro__ if kind.__name__ == "UsageError"
)

app = typer.Typer(
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": WIDTH},
)


@app.callback(invoke_without_command=True)
def _eplb(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", "-V", help="Print the version.")] = False,
) -> None:
    """Balance the experts of Mixture-of-Experts models over GPUs."""
    if version:
        say(f"eplb {eplb.__version__}")
        raise typer.Exit
    if context.invoked_subcommand is None:
        write(sys.stderr, context.get_help())
        raise typer.Exit(BAD_INPUT)


#: Name, function, and arguments of the example in its help.
COMMANDS = (
    ("plan", plan_command, "loads.npy --gpus 32 --redundant 32 --out plan.json"),
    ("replan", replan_command, "loads.npy --previous plan.json --out next.json"),
    ("compare", compare_command, "loads.npy --gpus 32 --replicas 288"),
    ("replay", replay_command, "trace.npy --gpus 32 --redundant 32"),
    ("advise", advise_command, "trace.npy --gpus 16,32,64 --redundant 0..96"),
    ("evaluate", evaluate_command, "plan.json loads.npy"),
    ("verify", verify_command, "plan.json loads.npy"),
    ("check", check_command, "plan.json loads.npy --min-balancedness 0.9"),
    ("split", split_command, "plan.json loads.npy --out shares.json"),
    ("record", record_command, "--summary records"),
    ("sample", sample_command, "--model deepseek-v3 --seed 7 --out loads.npy"),
)
for _name, _command, _example in COMMANDS:
    app.command(_name, cls=OnceCommand, epilog=f"Example: eplb {_name} {_example}")(_command)


def run(arguments: list[str] | None) -> int:
    """See :func:`eplb.cli.main`."""
    never_fail_on_a_character()
    if any("\0" in word for word in arguments or ()):
        complain("an argument contains the character NUL, which no file name can")
        return BAD_INPUT
    try:
        with warnings.catch_warnings():
            # Commands print what there is to say of loads as notes, in words of their options.
            warnings.simplefilter("ignore", eplb.LoadWarning)
            code = app(arguments, prog_name="eplb", standalone_mode=False)
    except Exception as error:  # noqa: BLE001
        return _exit_code(error)
    return code if isinstance(code, int) else DONE


def _exit_code(error: Exception) -> int:
    """Reports an error of the user and returns its exit code; raises any other."""
    match error:
        case eplb.EplbError():
            complain(error.text(spell), error.hint_text(spell))
            if isinstance(error, eplb.VerificationError):
                return CHECK_FAILED
        case eplb.LoadTypeError():
            complain(str(error))
        case OSError():
            what = f"{error.filename}: " if error.filename is not None else ""
            complain(f"{what}{error.strerror or error}")
        case MemoryError():
            complain("not enough memory for loads or a plan of this size")
        case _ if isinstance(error, _USE_ERROR):
            complain(error.format_message())  # type: ignore[attr-defined]
        case _:
            raise error
    return BAD_INPUT
