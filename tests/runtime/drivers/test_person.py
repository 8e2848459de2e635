"""The person at the terminal: what is asked, what counts as a yes, and what happens without one."""

from __future__ import annotations

import sys
from pathlib import Path

import pexpect
import pytest
from terminal_fixture import ROOT, Terminal, environment, nlpu

__all__ = ["nlpu"]  # a fixture
PROGRAM = '''
from pathlib import Path
from nlpu.runtime.drivers.driver import driver

@driver(effect="read", roles={"what": "selector"})
def look(what: str) -> str:
    """Look something up."""
    return "eve\\x1b[2J"

@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter.

    It cannot be taken back.
    """
    with Path("sent.txt").open("a") as sent:
        sent.write(f"{to!r} {body}\\n")
    return True

def go():
    return send(look("whom"), "money")
'''
COMMAND = [sys.executable, "-m", "nlpu.runtime.terminal"]


@pytest.fixture
def program(tmp_path: Path) -> str:
    (tmp_path / "post.py").write_text(PROGRAM)
    return f"{tmp_path / 'post.py'}:go"


def at_terminal(cwd: Path, *words: str) -> pexpect.spawn[str]:
    env = environment(PYTHONPATH=str(ROOT), TERM="xterm", COLUMNS="100", NO_COLOR="1")
    command, *rest = [*COMMAND, *words]
    return pexpect.spawn(
        command, rest, cwd=str(cwd), env=env, encoding="utf-8", timeout=30, dimensions=(40, 100)
    )


@pytest.mark.parametrize(("answer", "code"), [("y", 0), ("yes", 0), ("", 1), ("sure", 1)])
def test_exactly_the_call_that_is_shown_is_approved(
    tmp_path: Path, program: str, answer: str, code: int
) -> None:
    child = at_terminal(tmp_path, "run", program, "--engine", "scripted")
    child.expect_exact("the program wants to act outside with send, at main/1")
    child.expect_exact("Send a letter.")
    child.expect_exact(r'to = "eve\u001b[2J"')
    child.expect_exact('body = "money"')
    child.expect_exact("'to' decides what it does (authority) and is untrusted")
    child.expect_exact("approve of exactly this call? [y/N]")
    child.sendline(answer)
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == code
    assert (tmp_path / "sent.txt").exists() == (code == 0)


def test_what_was_typed_before_a_call_was_shown_does_not_approve_of_it(
    tmp_path: Path, program: str
) -> None:
    waits = """print("looking")
    while not Path("typed").exists():
        pass
    return "eve"
"""
    (tmp_path / "post.py").write_text(PROGRAM.replace('return "eve\\x1b[2J"\n', waits))
    child = at_terminal(tmp_path, "run", program, "--engine", "scripted")
    child.expect_exact("looking")
    child.sendline("y")
    (tmp_path / "typed").touch()
    child.expect_exact("approve of exactly this call? [y/N]")
    child.sendline("")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 1 and not (tmp_path / "sent.txt").exists()


def test_without_a_terminal_the_run_stops_and_is_approved_of_later(
    nlpu: Terminal, tmp_path: Path, program: str
) -> None:
    stopped = nlpu("run", program, "--engine", "scripted", "--json")
    assert stopped.code == 4
    assert stopped.json["status"] == "needs_person"
    assert "Resume the run at a terminal" in stopped.json["error"]["message"]
    child = at_terminal(tmp_path, "resume", stopped.json["run_id"])
    child.expect_exact("[y/N]")
    child.sendline("y")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert (tmp_path / "sent.txt").read_text().count("money") == 1
    assert nlpu("replay", stopped.json["run_id"], "--json").json["result"] is True


def test_a_dry_run_changes_nothing(nlpu: Terminal, tmp_path: Path, program: str) -> None:
    ended = nlpu("run", program, "--engine", "scripted", "--dry")
    assert ended.code == 0 and "refused in a dry run; a run may take more: send" in ended.out
    assert not (tmp_path / "sent.txt").exists()


def test_the_end_of_input_is_no_answer_and_the_question_comes_again(
    nlpu: Terminal, tmp_path: Path
) -> None:
    source = "from nlpu.runtime.drivers import ask\n\ndef go():\n    return ask('Which colour?')\n"
    (tmp_path / "asks.py").write_text(source)
    child = at_terminal(tmp_path, "run", "asks.py:go", "--engine", "scripted")
    child.expect_exact("| Which colour?")
    child.sendeof()
    child.expect_exact("'Which colour?' was not answered; resume the run to be asked")
    child.expect(r"nlpu resume (\w+)")
    assert child.match is not None
    name = child.match[1]
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 4
    child = at_terminal(tmp_path, "resume", name)
    child.expect_exact("| Which colour?")
    child.sendline("blue")
    child.expect(pexpect.EOF)
    child.wait()
    assert child.exitstatus == 0
    assert nlpu("replay", name, "--json").json["result"] == "blue"
