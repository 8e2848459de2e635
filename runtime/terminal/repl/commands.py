"""The commands of a session: how each is written, and what it does.

What a line must be to count as one is in ``lines``; what a command does is a method of its name in
``console`` or ``views``.
"""

from __future__ import annotations

COMMANDS = {
    "run": ("run PROGRAM [ARGS...]", "run a program; its result is a value"),
    "ops": ("ops", "the ops that programs define, and what they were called"),
    "mem": ("mem", "the memory store: its levels, and how they were used"),
    "ctx": ("ctx", "the context window: its regions and how full they are"),
    "pin": ("pin VALUE", "keep a value in the context for good"),
    "clear": ("clear", "begin the context anew; values keep their names"),
    "graph": ("graph [VALUE]", "the values and what they were made from, or one value's calls"),
    "cost": ("cost", "what the session took so far"),
    "runs": ("runs", "all runs of this directory"),
    "resume": ("resume RUN", "go on with another session, or with a stopped run"),
    "break": ("break [NAME]", "hold calls of that op before they are sent; again: no longer"),
    "step": ("step [all]", "let one held call pass, or all that are held now; none: hold the next"),
    "go": ("go", "let all calls pass, until the next breakpoint"),
    "inspect": ("inspect VALUE|POSITION", "content, label, source, and the prompt exactly as sent"),
    "edit": (
        "edit VALUE|POSITION|OP [TEXT...]",
        "another result for a call, or another text for an op: goes on as a new run",
    ),
    "save": ("save FILE.py", "the session as a Python program"),
    "help": ("help [COMMAND]", "this list, or one command"),
    "quit": ("quit", "leave; the session can be resumed (exit, Ctrl-D)"),
}
