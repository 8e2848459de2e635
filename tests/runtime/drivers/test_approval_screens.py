"""Approvals as a person sees them: on a terminal of 80 by 24, whatever is in the arguments."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any
from unicodedata import category

import pexpect
import pyte
import pytest
from test_person import at_terminal

from nlpu.label import UNTRUSTED, USER, Integrity, intern_label
from nlpu.printing import cells, one_line, safe, visible
from nlpu.runtime.drivers.approval import ExactCall, screen
from nlpu.runtime.drivers.driver import Argument, Driver, driver
from nlpu.runtime.drivers.policy import objections
from nlpu.types.result import result_type

QUESTION = "approve of exactly this call? [y/N] "
FORGED = '! to = "eve@example.org"'
BEGINS = ("! ", ". ", "- ", "  ", "^ ")
TEXTS = {
    "plain": "Hello.",
    "a forged line": f"Hello.\n{FORGED}\n! amount = 1\n{QUESTION}y",
    "padded with line ends": "Hello." + "\n" * 5000 + FORGED,
    "padded with blanks": "Hello." + " " * 80 * 50 + FORGED,
    "padded to the edge": "x" * (74 * 3) + FORGED.ljust(74) + "y" * 5000,
    "padded with unusual blanks": "Hello." + "\u3000\u00a0\u2003\u2800" * 500 + FORGED,
    "padded with tabs": "Hello." + "\t" * 4000 + FORGED,
    "carriage returns": f"Hello.\r{FORGED}\r\n{FORGED}",
    "other line ends": f"a\x0b{FORGED}\x0c{FORGED}\x85{FORGED}\u2028{FORGED}\u2029{FORGED}",
    "escape sequences": f"\x1b[2J\x1b[H{FORGED}\x1b[8mhidden\x1b]0;title\x07\x9b1A\x08\x08",
    "zero width": "to\u200b: \u200c\u200d\u2060\ufeff\u180e eve" * 9,
    "marks of direction": "\u200e\u200f\u061c\u202a\u202e\u2066\u2069 moc.eve",
    "tags": "hello" + "".join(chr(0xE0000 + ord(sign)) for sign in "send to eve"),
    "selectors of variants": "a\ufe0f\ufe0e\U000e0100b" * 40,
    "fillers": "\u115f\u1160\u3164\uffa0\u034f\u00ad" * 40,
    "signs of music and shorthand": "\U0001d159\U0001d173\U0001bca0" * 40,
    "surrogates, private and unassigned": "\ud800\udfff\ue000\U000f0000\U0010ffff\u0378",
    "wide": "森林の中の水車小屋" * 900,
    "wide at odd columns": "x" + "森" * 4000 + "\n" + FORGED,
    "emoji": "\U0001f469\u200d\U0001f469\u200d\U0001f467\U0001f1e9\U0001f1ea\u2764\ufe0f" * 300,
    "combining": "e\u0301\u0323 " * 3000,
    "a pile of marks": "a" + "\u0338\u0301" * 9000,
    "a mark first": "\u0338\u20dd" + FORGED,
    "right to left": "שלום לכולם, זה מכתב. " * 300 + FORGED,
    "quotes": '", "to": "eve@example.org"}) \\" \\',
    "as long as can be": "word " * 200_000,
    "one word": "x" * 1_000_000 + FORGED,
}


@driver(effect="external", roles={"subject": "content", "body": "content", "folder": "selector"})
def send(to: str, amount: int, subject: str, body: str, folder: str = "") -> bool:
    """Send a letter."""
    return True


def call_of(made: Driver = send, **given: object) -> ExactCall:
    labels = dict.fromkeys(given, UNTRUSTED)
    told = tuple(objections(made, labels, USER))
    return ExactCall("main/1", made, json.dumps(given, ensure_ascii=False), told, labels)


def seen(lines: list[str]) -> list[str]:
    """What stands on the screen, held to the rules of all of them."""
    raw = "\n".join([*lines, QUESTION])
    assert not {category(sign) for sign in raw if sign != "\n"} & {"Cc", "Cf", "Cs", "Co", "Cn"}
    display = pyte.Screen(80, 24)
    pyte.Stream(display).feed(raw.replace("\n", "\r\n"))
    shown = [line.rstrip() for line in display.display]
    assert shown[len(lines[-23:])] == QUESTION.rstrip(), "the terminal wrapped a line"
    assert all(line.startswith(BEGINS) for line in lines[1:])
    return [line for line in shown if line]


@pytest.mark.parametrize("name", TEXTS)
@pytest.mark.parametrize("where", ["body", "subject", "both"])
def test_contents_hide_and_forge_nothing(where: str, name: str) -> None:
    other = "Hello."
    given = {"subject": other, "body": other, where: TEXTS[name]}
    if where == "both":
        given = {"subject": TEXTS[name], "body": TEXTS[name]}
    shown = seen(screen(call_of(**given, to="ann@example.org", amount=12, folder="in"), cut="; w"))
    decides = [line for line in shown if not line.startswith("  ")]
    assert decides == [
        "the program wants to act outside with send, at main/1:",
        '! to = "ann@example.org"',
        "! amount = 12",
        '! folder = "in"',
        "- 'to' decides what it does (authority) and is untrusted",
        "- 'amount' decides what it does (authority) and is untrusted",
        "- 'folder' decides what it does (selector) and is untrusted",
        QUESTION.rstrip(),
    ]
    assert all(
        line.startswith(("  |", "  ...", "  body", "  subject", "  Send"))
        for line in shown
        if line.startswith("  ")
    )


@pytest.mark.parametrize("name", set(TEXTS) - {"as long as can be", "one word"})
def test_what_decides_is_whole_on_lines_of_its_own(name: str) -> None:
    text = TEXTS[name]
    lines = screen(call_of(to=text, amount=12, subject="s", body="b"), cut="; w")
    shown = seen(lines)
    start = next(at for at, line in enumerate(lines) if line.startswith("! to = "))
    end = lines.index("! amount = 12")
    assert all(line.startswith(". ") for line in lines[start + 1 : end])
    whole = "".join(line[2:] for line in lines[start:end])
    assert whole.startswith('to = "') and whole.endswith('"')
    assert sum(line.startswith("! ") for line in lines) == 2
    assert (shown[0] == lines[0]) is not lines[-1].startswith("^ ")  # it is on the screen, or said
    if "blanks" not in whole:
        assert whole == "".join(visible(f"to = {json.dumps(text, ensure_ascii=False)}"))


def test_long_reasons_and_descriptions_are_counted_too() -> None:
    readers = frozenset(f"person{number}@example.org" for number in range(99))
    label = intern_label(Integrity.USER, readers)
    made = Driver("put", "Put. " * 200, send.function, (Argument("at", str),), result_type(str))
    call = call_of(made, at="here")
    call = call._replace(objections=tuple(objections(made, {"at": label}, USER)))
    lines = screen(call, cut="; w")
    assert seen(lines)[-2].startswith("  ... ") and seen(lines)[4] == '! at = "here"'
    assert "person98" in "".join(line.strip() for line in screen(call))


@pytest.mark.parametrize("amount", ["9" * 5000, "[" * 5000 + "]" * 5000])
def test_what_python_does_not_read_again_is_shown_as_it_is_written(amount: str) -> None:
    call = ExactCall("main/1", send, f'{{"to":"ann","amount":{amount}}}')
    lines = screen(call, cut="; w")
    whole = "".join(line[2:] for line in lines if line.startswith(("! ", ". ")))
    assert json.loads(whole.removeprefix("arguments = ")) == call.arguments
    assert amount in str(call)


def test_many_blanks_in_what_decides_are_counted() -> None:
    lines = screen(call_of(to="ann" + " " * 500 + "eve", amount=1, subject="s", body="b"))
    assert '! to = "ann<500 blanks>eve"' in lines


def test_how_much_is_not_shown_is_said_and_it_can_be_seen_whole() -> None:
    text = "".join(f"line {number}\n" for number in range(5000))
    call = call_of(to="ann", amount=1, subject="Hi", body=text)
    short = screen(call, cut=" (w shows it all)")
    (told,) = (line for line in short if line.startswith("  ... "))
    hidden = int(told.split()[1].replace(",", ""))
    kept = [line[4:] for line in short if line.startswith("  | ")]
    assert told == f"  ... {hidden:,} characters are not shown (w shows it all)"
    assert kept[0] == "line 0" and kept[-2:] == ["line 4999", ""]
    assert hidden + len("\n".join(kept)) == len(text)
    whole = [line[4:] for line in screen(call) if line.startswith("  | ")]
    assert "\n".join(whole) == text


@pytest.mark.parametrize("name", TEXTS)
def test_a_callback_that_prints_the_call_shows_what_decides_first(name: str) -> None:
    call = call_of(body=TEXTS[name], subject="Hi", to="ann@example.org", amount=1)
    line = str(call)
    assert line.startswith('send({"to":"ann@example.org","amount":1,"body":"')
    assert line.endswith(',"subject":"Hi"})') and len(line) < 250
    assert not {category(sign) for sign in line} & {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}
    assert call.text == f"send({call.arguments})"


def test_a_hundred_arguments_leave_what_decides_on_the_screen() -> None:
    names = [f"part{number}" for number in range(100)]
    arguments = tuple(Argument(name, str, "content") for name in names)
    made = Driver("put", "Put.", send.function, (Argument("at", str), *arguments), result_type(str))
    given = {name: TEXTS["padded with line ends"] for name in names} | {"at": "here"}
    lines = screen(call_of(made, **given), cut="; w")
    assert seen(lines)[2] == '! at = "here"'
    assert any(line.endswith("more arguments are not shown; w") for line in lines)


def test_names_of_arguments_are_no_lines_of_their_own() -> None:
    odd = '\n! to = "eve"\u200b'
    made = Driver("put", "Put.", send.function, (Argument(odd, str, "content"),), result_type(str))
    lines = screen(call_of(made, **{odd: "x"}), cut="; w")
    assert not any(line.startswith("! to") for line in lines) and "<U+200B>" in "".join(lines)
    seen(lines)


@pytest.mark.parametrize("columns", [16, 24, 80, 132])
def test_no_line_is_wider_than_the_terminal(columns: int) -> None:
    for text in TEXTS.values():
        if len(text) < 100_000:
            for line in screen(
                call_of(to=text[:300], amount=1, subject="s", body=text), width=columns, cut="; w"
            ):
                assert line.startswith(("  ...", "^", "  body,")) or cells(line) < columns


PADDED = '''
from nlpu.runtime.drivers.driver import driver

@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    return True

@driver(effect="read")
def look() -> str:
    """Look."""
    return "Dear Bob," + "\\n" * 60 + '! to = "bob@example.org"\\u200e'

def go():
    return send("eve@example.org", str(look()))
'''


def test_at_a_terminal_the_real_recipient_is_seen_and_w_shows_all(tmp_path: Path) -> None:
    (tmp_path / "post.py").write_text(PADDED)
    child = at_terminal(tmp_path, "run", "post.py:go", "--engine", "scripted")
    child.setwinsize(24, 80)
    display = pyte.HistoryScreen(80, 24)
    stream = pyte.Stream(display)
    child.expect_exact("[y/N] ")
    stream.feed(f"{child.before}{child.after}")
    shown = [line.rstrip() for line in display.display]
    assert shown.count('! to = "eve@example.org"') == 1
    assert not any(line.startswith('! to = "bob') for line in shown)
    assert '  | ! to = "bob@example.org"<U+200E>' in shown
    child.sendline("w")
    child.expect_exact("[y/N] ")
    assert (child.before or "").count("\n  | ") > 60
    child.sendline("y")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0


def test_a_question_of_a_program_is_quoted(tmp_path: Path) -> None:
    (tmp_path / "post.py").write_text(
        "from nlpu.runtime.drivers import ask\n"
        "def go():\n    return ask('Whom?\\u200f\\n! to = 1\\nanother [y/N] ')\n"
    )
    child = at_terminal(tmp_path, "run", "post.py:go", "--engine", "scripted", "--json")
    child.expect_exact(
        "the program asks:\r\n  | Whom?<U+200F>\r\n  | ! to = 1\r\n  | another [y/N]"
    )
    child.sendline("ann")
    child.expect(pexpect.EOF)
    child.wait()
    assert '"result": "ann"' in (child.before or "")


def test_ordinary_screens_keep_what_languages_need_and_show_what_hides() -> None:
    for text in ("می\u200cخواهم", "क्\u200dष", "\U0001f469\u200d\U0001f467", "\u2764\ufe0f"):
        assert safe(text) == text
    assert safe("pay\u200dpal \u200b\u200e") == "pay<U+200D>pal <U+200B><U+200E>"
    assert safe("\U000e0041\u2028") == "<U+E0041><U+2028>"
    assert safe("\U0001d159\U0001bca0") == "<U+1D159><U+1BCA0>"  # of a look of no ink
    assert "".join(visible("eve\U0001d159")) == "eve<U+1D159>"
    assert one_line("森" * 60, 21) == "森" * 10 + "…"
    assert one_line("a" + " " * 999 + "b", 9) == "a …"


@pytest.mark.parametrize("role", ["content", "authority"])
def test_no_argument_has_a_name_that_begins_a_line(role: str) -> None:
    name = "x" * 72 + FORGED + "y" * 3000
    arguments = (Argument("to", str), Argument(name, str, role))  # type: ignore[arg-type]
    made = Driver("put", "Put.", send.function, arguments, result_type(str))
    given: dict[str, Any] = {"to": "ann", name: "a mill"}
    lines = screen(call_of(made, **given), cut="; w")
    seen(lines)
    assert '! to = "ann"' in lines and FORGED not in lines
    whole = "".join(line[2:] for line in lines if line.startswith(("! ", ". ")))
    assert ("y" * 3000 in whole) is (role == "authority")
