"""``nlpu repl``."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Annotated

import typer

from nlpu.errors import Usage
from nlpu.runtime.settings import NAMES, api_key
from nlpu.runtime.terminal import options as o
from nlpu.runtime.terminal.output import say
from nlpu.runtime.terminal.run.interrupt import raise_from_here
from nlpu.runtime.terminal.stdout import lead_prints_to_stderr, results

if TYPE_CHECKING:
    from nlpu.runtime.settings import Settings as Now
    from nlpu.runtime.terminal.repl.console import Console
    from nlpu.runtime.terminal.show.archive import Record

_Resume = Annotated[
    str | None,
    typer.Option("--resume", metavar="RUN", help="Go on with a session; last: the newest."),
]
_Changed = Annotated[
    bool, typer.Option("--changed", help="Reuse what is the same where programs have changed.")
]
_Durable = Annotated[bool, typer.Option("--durable", help="Survive a loss of power, too.")]


def repl(
    resume: _Resume = None,
    engine: o.Engine = None,
    model: o.Model = None,
    nlops: o.Nlops = None,
    calls: o.Calls = None,
    tokens: o.Tokens = None,
    money: o.Money = None,
    price: o.Prices = None,
    run_dir: o.RunDir = None,
    durable: _Durable = False,
    changed: _Changed = False,
    trust: o.Trust = False,
) -> int:
    """A console: say a line to the model, run programs, look, step, edit. Piped: a batch."""
    options = locals().copy()
    from nlpu.processor import Price
    from nlpu.runtime.scheduler.budget import UNLIMITED
    from nlpu.runtime.terminal.repl.console import Console
    from nlpu.runtime.terminal.repl.state import Settings
    from nlpu.runtime.terminal.run.person import person
    from nlpu.runtime.terminal.run.trust import admit

    raise_from_here()
    lead_prints_to_stderr()
    now = o.settings_in(  # a session is as it was begun
        options, ("run_dir",) if resume else set(NAMES) - {"seconds"}
    )
    again = o.budget_of(o.settings_in(options, ()))
    found = _session(now, resume)
    if found is None:
        engine, model, known = now.engine, now.model, o.price_of(now)
    else:
        admit(found, trust=trust, changed=changed, names_engine=engine is not None)
        header = found.past.header
        engine, model = engine or header["engine"], model or (None if engine else header["model"])
        known = o.price_of(now) or (header.get("price") and Price(**header["price"]))
    console = Console(
        Settings(
            engine,
            model,
            now.run_dir,
            budget=o.budget_of(now),
            durable=durable,
            api_key=api_key(),
            is_terminal=sys.stdin.isatty() and results().isatty(),
            person=person(),
            again=again if again != UNLIMITED else None,
            price=known,
        )
    )
    try:
        console.begin(None if found is None else found.name, changed)
        (converse if console.settings.is_terminal else _batch)(console)
        code = int(getattr(console.run.error, "exit_code", 0))  # a budget may have ended it
    finally:
        console.close()
    if console.settings.is_terminal:
        return code
    return 130 if console.interrupted else code or int(console.failed)


def _session(now: Now, name: str | None) -> Record | None:
    """The session asked for, if one was. Raises Usage."""
    from nlpu.runtime.terminal.show.archive import SESSION, find
    from nlpu.runtime.terminal.show.run_folder import summaries

    if name is None:
        return None
    if name == "last":
        named = [each.record for each in summaries(now.run_dir)[0]]
        name = next((each.name for each in named if each.program == SESSION), None)
        if name is None:
            raise Usage(f"there is no session in {now.run_dir}; begin one: nlpu repl")
    found = find(now.run_dir, name)
    if found.program != SESSION:
        raise Usage(f"{found.name} is a run of {found.program}: {found.resumption}")
    return found


def converse(console: Console) -> None:
    """Lines from a person, until Ctrl-D or quit."""
    from nlpu.runtime.terminal.repl import views as looks
    from nlpu.runtime.terminal.repl.prompt import reader

    looks.cut_off(console)
    looks.welcome(console)
    read = reader(console)
    while not console.left:
        try:
            console.do(read())
        except KeyboardInterrupt:
            console.stop_held()
        except EOFError:
            break
    say(f"to go on with this session: nlpu repl --resume {console.run.name}")


def _batch(console: Console) -> None:
    """Lines from a pipe: values to stdout, and no prompts. Ctrl-C ends it."""
    from nlpu.runtime.terminal.inputs import checked

    for line in sys.stdin.buffer:
        console.do(checked(line, "stdin", may_be_empty=True).rstrip("\r\n"))
        if console.interrupted:
            say(f"to go on with this session: nlpu repl --resume {console.run.name}")
        if console.left or console.interrupted:
            break
    say(f"session {console.run.name}: {console.run.receipt}")
