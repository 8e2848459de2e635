"""The REPL: what a typed line means."""

from __future__ import annotations

import pytest

from nlpu.errors import Usage
from nlpu.runtime.terminal.repl.commands import COMMANDS
from nlpu.runtime.terminal.repl.lines import Line, instruction, parse, references

THERE = {
    "VALUE": ["_1", "_2", "essay"],
    "PROGRAM": ["answer", "ask"],
    "OP": ["say", "merge"],
    "RUN": ["abcd1234"],
    "COMMAND": list(COMMANDS),
    "all": ["all"],
    "@a.txt": ["a.txt"],
    "POSITION": ["main/1/1"],
    "@my notes.txt": ["my notes.txt"],
    "@odd{x}.txt": ["odd{x}.txt"],
}
SLIPS_OF_HELP = ["hlep", "hepl", "Help!", ":help", "help()", "hhelp"]
SLIPS_OF_QUIT = ["quti", "qit", "exit()", "ext", ":q", "q", "Bye"]


def known(kind: str) -> list[str]:
    return THERE.get(kind, [])


@pytest.mark.parametrize(
    ("typed", "verb", "words"),
    [
        ("What is a loom?", "say", ("What is a loom?",)),
        ("Shorten _ and _1", "say", ("Shorten {_2} and {_1}",)),
        ("Compare {essay} with @a.txt, @bob", "say", ("Compare {essay} with {@a.txt}, @bob",)),
        ("Read {@my notes.txt}, @my", "say", ("Read {@my notes.txt}, @my",)),
        ("run ask '{@my notes.txt}'", "run", ("ask", "{@my notes.txt}")),
        ("{@my notes.txt}", "say", ("{@my notes.txt}",)),
        ('Return {"a": 1}, {a-b} or {a.b}', "say", ('Return {"a": 1}, {a-b} or {a.b}',)),
        ("Ask @ann and @bob.", "say", ("Ask @ann and @bob.",)),
        ("Write {{@no.txt}}", "say", ("Write {{@no.txt}}",)),
        ("run ask {@my notes.txt} p={@a.txt}", "run", ("ask", "{@my notes.txt}", "p={@a.txt}")),
        ("resume abcd1234.2", "resume", ("abcd1234.2",)),
        ("resume abcd", "resume", ("abcd",)),
        ("write {{essay}} as it is, snake_case", "say", ("write {{essay}} as it is, snake_case",)),
        ("ops", "ops", ()),
        (" ops", "say", ("ops",)),
        ("ops, in two words", "say", ("ops, in two words",)),
        (" save it", "say", ("save it",)),
        ("run ask 'Is it?' {essay} a=_", "run", ("ask", "Is it?", "{essay}", "a={_2}")),
        ("run my.py:go 3", "run", ("my.py:go", "3")),
        ("break merge", "break", ("merge",)),
        ("a == b, why?", "say", ("a == b, why?",)),
        ("break it down", "say", ("break it down",)),
        ("help me, please", "say", ("help me, please",)),
        ("break sumarize", "break", ("sumarize",)),
        ("help run", "help", ("run",)),
        ("step all", "step", ("all",)),
        ("step by step, now", "say", ("step by step, now",)),
        ("edit _ new  text", "edit", ("_2", "new  text")),
        ("edit merge", "edit", ("merge",)),
        ("inspect main/1/1", "inspect", ("main/1/1",)),
        ("/inspect {essay}", "inspect", ("essay",)),
        ("save it.py", "save", ("it.py",)),
        ("_", "show", ("_2",)),
        ("{essay}", "show", ("essay",)),
        ("essay", "show", ("essay",)),
        ("Hello", "say", ("Hello",)),
        *((word, "say", (word,)) for word in ("Next?", "Held?", "Post", "most", "Why", "more")),
        ("Run through the points", "say", ("Run through the points",)),
        ("hepl me, please", "say", ("hepl me, please",)),
        ("Edit this text: a b", "say", ("Edit this text: a b",)),
        (" hlep", "say", ("hlep",)),
    ],
)
def test_what_a_line_means(typed: str, verb: str, words: tuple[str, ...]) -> None:
    assert parse(typed, known)[1:] == ("", verb, words)


@pytest.mark.parametrize(
    ("typed", "verb", "words"),
    [
        ("x = What is it?", "say", ("What is it?",)),
        ("x = run ask it", "run", ("ask", "it")),
        ("x = 'some text'", "text", ("some text",)),
        ("x = @a.txt", "take", ("@a.txt",)),
        ("x = {@my notes.txt}", "take", ("@my notes.txt",)),
        ("x = _", "take", ("_2",)),
        ("x = essay", "take", ("essay",)),
    ],
)
def test_what_a_binding_means(typed: str, verb: str, words: tuple[str, ...]) -> None:
    assert parse(typed, known) == Line(typed, "x", verb, words)
    assert parse(typed.replace("x", "été", 1), known).name == "été"


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        ("/opps", "did you mean ops"),
        ("/run aks it", "did you mean ask"),
        ("/inspect", "VALUE|POSITION is missing. Usage: inspect"),
        ("/ops now", "one word too many"),
        ("Shorten _7", "there is no value _7; there are: _1, _2, essay"),
        ("Shorten {esay}", "write {{esay}}"),
        ("x = @no.txt", "there is no file no.txt"),
        ('x = @"my notes.txt"', r"write a name with blanks as \{@my file"),
        ("Read @no.txt", r"there is no file no.txt; for the characters write {{@no.txt}}"),
        ("Read @odd{x}.txt", "braces cannot be given in a line"),
        ("Read {@no such.txt}", "there is no file no such.txt"),
        ("context = it", "choose another name"),
        ("class = it", "choose another name"),
        ("x = ops", "gives no value"),
        ("save session.txt", "'session.txt' is no file.py. Usage: save FILE.py; to say it to the"),
        ("inspect shrt", "'shrt' is no value or position; there are: _1"),
        ("resume nosuch", "'nosuch' is no run; there are: abcd1234. Usage: resume RUN"),
        ("edit main/0 x", "'main/0' is no value or position or op"),
        ("help foo", "'foo' is no command"),
        ("cost now", "'now' is one word too many"),
        ("pin", "VALUE is missing"),
        ("run through the points", "'through' is no program"),
        ("memm", "did you mean mem"),
        ("Helpp", "did you mean help"),
        *((slip, "did you mean help") for slip in SLIPS_OF_HELP),
        *((slip, "did you mean quit") for slip in SLIPS_OF_QUIT),
        ("rnus", "no command 'rnus'; did you mean runs"),
        (":runs", "did you mean runs"),
        ("edti _1 some other text", "no command 'edti'; did you mean edit"),
        ("inspct essay", "did you mean inspect"),
        ("Pin _1", "did you mean pin"),
        ("rnu ask it", "did you mean run"),
        ("svae it.py", "did you mean save"),
        ("show _1", "did you mean inspect"),
        ("shwo essay", "did you mean inspect"),
        ("memory", "did you mean mem"),
        (":hlep me out", "did you mean help"),
        ("x = hlep", "did you mean help"),
        ("{}", "says nothing"),
        ("__", "says nothing"),
        ("@", "says nothing"),
        ("=", "says nothing"),
        ("x =", "binds nothing"),
        ("_7 = foo", "a name begins with a letter"),
        ("x² = foo", "choose another name"),
    ],
)
def test_lines_that_mean_nothing_say_so(typed: str, told: str) -> None:
    with pytest.raises(Usage, match=told.replace("|", r"\|").replace("{{", r"\{\{")):
        parse(typed, known)


def test_an_instruction_names_its_operands() -> None:
    text = parse("Compare {essay} with _1, {{essay}}, {{@no.txt}} and {a: 1}", known).words[0]
    assert references(text) == ["essay", "_1"]
    told = instruction(text, {"essay": "essay", "_1": "_1"})
    assert told == "Compare essay with _1, {essay}, {@no.txt} and {a: 1}"
