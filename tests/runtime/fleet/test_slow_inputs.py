"""Inputs that are long in coming hold no outcome back."""

from __future__ import annotations

import json
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from terminal_fixture import COMMAND, environment

from nlpu import FakeClock
from nlpu.runtime.computer import Computer
from nlpu.runtime.handle import Run, when_ended
from nlpu.testing.scripted import Scripted


class Noted(Computer):
    """A computer that remembers its runs."""

    def start(self, program: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Run:
        self.last = super().start(program, *args, **kwargs)
        return self.last

    def wait_for_the_last(self) -> None:
        """Until who listens has heard of its end."""
        ended = threading.Event()
        when_ended(self.last, lambda _: ended.set())
        assert ended.wait(20)


def test_what_has_ended_is_given_before_the_next_input_is_asked_for() -> None:
    given: list[str] = []
    then: list[list[str]] = []

    def inputs() -> Iterator[str]:
        for number, text in enumerate("abc"):
            yield text
            then.append(given[:number])  # those of the inputs before it have ended
            machine.wait_for_the_last()

    with Noted(Scripted("x"), clock=FakeClock()) as machine:
        given.extend(item.result for item in machine.map(str.upper, inputs(), at_once=9))
    assert given == ["A", "B", "C"] and then == [[], ["A"], ["A", "B"]]


def test_who_writes_a_line_can_read_its_result_before_the_next(tmp_path: Path) -> None:
    """In the order of the inputs, too; a line may come in pieces, and the last without an end."""
    (tmp_path / "mine.py").write_text("def echo(text: str): return text\n")
    words = [*COMMAND, "run", "mine.py:echo", "--engine", "scripted", "--each", "-"]
    with subprocess.Popen(
        words,
        cwd=tmp_path,
        env=environment(),
        text=True,
        bufsize=1,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as asked:
        assert asked.stdin is not None and asked.stdout is not None
        for text in ("one", "zwei und drei", "x" * 200_000):
            line = json.dumps(text) + "\n"
            for piece in (line[:2], line[2:]):
                asked.stdin.write(piece)
                asked.stdin.flush()
            assert json.loads(asked.stdout.readline())["result"] == text
        asked.stdin.write('"last"')
        asked.stdin.close()
        assert json.loads(asked.stdout.readline())["result"] == "last"
        assert asked.wait(20) == 0
