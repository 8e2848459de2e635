"""The command line: which commands there are, and how every one of them ends.

Theory of operation
-------------------
Commands are small functions that import what they need when they are called, so ``nlpu --help``
starts neither a scheduler nor a model. They return an exit code or raise; ``main`` turns whatever
they raise into one short paragraph on stderr and an exit code.

Rules
1. Results go to stdout, all else to stderr.
2. Exit codes: 0 done, 1 failed, 2 bad usage, 3 budget or time ran out, 4 needs a person,
   130 interrupted.
3. With --debug or NLPU_DEBUG an error shows the traceback of the user's own code, an unexpected
   one its whole; without, one sentence names file and line.
4. Importing this file imports typer and nothing of the computer.
5. A command with --json that fails tells it in one object, too.
"""

from __future__ import annotations

import errno
import os
import re
import sys
from typing import Annotated, Any

import typer

from nlpu.errors import NlpuError, described
from nlpu.runtime.terminal.benches import app as benches
from nlpu.runtime.terminal.doctor import doctor
from nlpu.runtime.terminal.eval.command import evaluate
from nlpu.runtime.terminal.eval.tune import tune
from nlpu.runtime.terminal.memory.command import app as memory
from nlpu.runtime.terminal.notes import note_warnings
from nlpu.runtime.terminal.output import said, say, say_error, tell_traceback, write_json
from nlpu.runtime.terminal.repl.command import repl
from nlpu.runtime.terminal.run.again import replay, resume
from nlpu.runtime.terminal.run.command import run
from nlpu.runtime.terminal.run.worker import worker
from nlpu.runtime.terminal.serve import serve
from nlpu.runtime.terminal.show.command import app as runs
from nlpu.runtime.terminal.show.command import show
from nlpu.runtime.terminal.stdout import failure, lead_back, owes_json, results

_NO_OPTION = re.compile("No such option: -[^-]")
_NO_NUMBER = re.compile(r"Input should be a valid (integer|number).*")  # pydantic's words
_NUMBERS = {"integer": "it must be a whole number", "number": "it must be a number"}
app = typer.Typer(
    name="nlpu",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="A natural language computer: run programs on language models, and see what they cost.",
    epilog='Try: nlpu run ask "What is a loom?" - the embedded model needs no server.',
)


def _tell_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        python = ".".join(map(str, sys.version_info[:3]))
        typer.echo(f"nlpu {metadata.version('nlpu')} (Python {python})", file=results())
        raise typer.Exit


@app.callback()
def _nlpu(
    version: Annotated[
        bool,
        typer.Option(
            "--version", help="Say which version this is.", callback=_tell_version, is_eager=True
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show a traceback of your own code (NLPU_DEBUG).")
    ] = False,
) -> None:
    """Taken out of the command line by ``main``, wherever it stands; declared for the help."""


for _command in (run, repl, show, resume, replay, serve, worker):
    app.command()(_command)
app.add_typer(runs, name="runs")
app.command("eval")(evaluate)
app.command()(tune)
app.add_typer(benches, name="bench")
app.add_typer(memory, name="memory")
app.command()(doctor)


def main(argv: list[str] | None = None, app: typer.Typer = app, name: str = "nlpu") -> None:
    """Carry out a command line: that of ``nlpu``, or another one. Always ends in SystemExit."""
    for stream in (results(), sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")
    note_warnings()
    args = _without_debug(sys.argv[1:] if argv is None else argv)
    if not os.environ.get("NLPU_DEBUG"):
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # read when torch loads
    try:
        code = app(args, prog_name=name, standalone_mode=False)
    except BaseException as error:
        code = _ended_by(error, args)
    try:
        results().flush()
    except OSError:  # the reader of a pipe has gone
        os.dup2(os.open(os.devnull, os.O_WRONLY), results().fileno())
    lead_back()
    sys.exit(code if isinstance(code, int) else 0)


def _without_debug(args: list[str]) -> list[str]:
    """The arguments without --debug, which may stand anywhere before ``--``."""
    border = args.index("--") if "--" in args else len(args)
    head = [arg for arg in args[:border] if arg != "--debug"]
    if len(head) < border:
        os.environ["NLPU_DEBUG"] = "1"
    return head + args[border:]


def _ended_by(error: BaseException, args: list[str]) -> int:
    """Say what happened (rules 3 and 5) and give the exit code."""
    if isinstance(error, SystemExit):
        return error.code if isinstance(error.code, int) else 1
    if isinstance(error, BrokenPipeError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), results().fileno())
        return 1
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EIO):
        os.dup2(os.open(os.devnull, os.O_WRONLY), results().fileno())
        say(
            f"error: stdout cannot be written to: {error.strerror}; a journaled result is kept, "
            "nlpu replay RUN prints it again"
        )
        return 1
    kind, message, code = _named(error)
    if kind not in ("Interrupted", "Usage"):
        tell_traceback(error)
    if message:  # without arguments a group has printed its help, and has nothing to add
        (say if kind == "Interrupted" else say_error)(message)
    if owes_json(args):
        status = {3: "stopped", 130: "stopped", 4: "needs_person"}.get(code, "failed")
        write_json(failure(kind, message, status=status))
    return code


def _named(error: BaseException) -> tuple[str, str, int]:
    """An error's kind, what to say of it, and the exit code."""
    if _is_interrupt(error):
        return "Interrupted", "interrupted", 130
    if isinstance(error, typer.TyperException):
        message = _NO_NUMBER.sub(lambda found: _NUMBERS[found[1]], error.format_message())
        meant = "; behind -- words may begin with -" if _NO_OPTION.match(message) else ""
        told = message and f"{message} (see: {_help_of(error)}{meant})"
        return "Usage", told, error.exit_code
    if isinstance(error, NlpuError):
        return type(error).__name__, said(error), error.exit_code
    fault = "This is a fault of nlpu: please report it with what --debug prints"
    return type(error).__name__, f"{described(error)}. {fault}", 1


def _is_interrupt(error: BaseException | None) -> bool:
    """Whether Ctrl-C is behind it: what it interrupted may have made another error of it."""
    while error is not None and not isinstance(error, KeyboardInterrupt | typer.Abort):
        error = error.__cause__ or error.__context__
    return error is not None


def _help_of(error: Any) -> str:
    context = getattr(error, "ctx", None)
    return f"{context.command_path} --help" if context is not None else "nlpu --help"
