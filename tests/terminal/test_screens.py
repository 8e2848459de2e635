"""Screens: of 80 columns, safe whatever names and texts a journal holds, failures first."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unicodedata import category

import pyte
import pytest
from journal_kit import forge, forge_texts
from kit import count, echo, execute
from terminal_fixture import Terminal, nlpu

from nlpu.errors import NlpuError
from nlpu.printing import cells, columns, cut, folded
from nlpu.runtime import Budget
from nlpu.runtime.observe.receipt import Part
from nlpu.runtime.terminal.repl.console import Console, Settings
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
NAMES = {
    "wide": "水車小屋の主人" * 9,
    "joined": "\U0001f469\u200d\U0001f469\u200d\U0001f467" * 20,
    "flags": "\U0001f1e9\U0001f1ea" * 30,
    "combining": "e\u0301o\u0323" * 60,
    "right to left": "שלום עולם " * 12,
    "driving": "\x1b[2J\x1b[31mred\x07\x9b1A\x08" * 6,
    "bidi": "\u202eevil\u2066\u200f\u200e",
    "hidden": "\u200b\ufeff" + "".join(chr(0xE0000 + ord(sign)) for sign in "done"),
    "lines": "x\nrun abc: main, done\nmain/9  echo  done",
    "long": "name" * 60,
}


def attempts(many: int) -> int:
    """Calls that fail, each on its own; how many have."""
    failed = 0
    for value in [count(str(number)) for number in range(many)]:
        try:
            str(value)
        except NlpuError:
            failed += 1
    return failed


def failing(text: str) -> list[Any]:
    texts = [str(echo(f"{text} {number}")) for number in range(14)]
    assert attempts(1) == 1
    return texts


def journal(run_dir: Path) -> Path:
    run = execute(failing, "the text", run_dir=run_dir, engine={"many": "several", "": "answer"})
    return run_dir / f"{run.name}.db"


def held(out: str) -> None:
    """What is on the screen, in a terminal that joins no signs."""
    assert not {category(each) for each in out if each != "\n"} & {"Cc", "Cs"}
    assert not set(out) & set("\u202e\u2066\u200f\u200e\u200b\ufeff\U000e0064")
    for line in out.splitlines():
        assert cells(line) <= 80, line
        screen = pyte.Screen(80, 3)
        pyte.Stream(screen).feed(line.replace("\u200d", ""))  # which pyte takes for an end
        assert not screen.display[1].strip(), line


@pytest.mark.parametrize("name", NAMES)
def test_show_holds_whatever_ops_and_texts_are_called(
    nlpu: Terminal, tmp_path: Path, name: str
) -> None:
    path, odd = journal(tmp_path), NAMES[name]

    def change(rows: list[list[Any]]) -> None:
        for row in rows:
            if row[0] == "run":
                row[2]["program"] = odd
            elif row[0] == "op":
                row[4] = odd
            elif row[0] == "failure":
                row[4] = odd * 3
            elif row[0] == "end":
                row[5]["by_op"][0]["name"] = odd

    forge(path, change)
    forge_texts(path, "answer", odd[:60])
    for words in (("show", path.stem), ("show", path.stem, "--live"), ("runs",)):
        ended = nlpu(*words, "--run-dir", str(tmp_path))
        assert ended.code == 0, ended.err
        held(ended.out)
        assert sum(line.startswith("run ") for line in ended.out.splitlines()) == 1
    held(nlpu("show", path.stem, path.stem, "--run-dir", str(tmp_path)).out)


def test_failures_come_before_successes_and_say_why(nlpu: Terminal, tmp_path: Path) -> None:
    path = journal(tmp_path)
    lines = nlpu("show", path.stem, "--run-dir", str(tmp_path)).out.splitlines()
    tree = lines[lines.index("main") + 1 :]
    assert "count  failed" in tree[0] and "'several' is not a whole number" in tree[1]
    assert "15 calls, 1 of them failed" in "\n".join(lines)
    assert 'arguments: [["the text"],{}]' in lines and any(
        line.startswith('result: ["answer",') for line in lines
    )
    assert "... and 3 more (see them with --all)" in "\n".join(tree)
    whole: Any = nlpu("show", path.stem, "--run-dir", str(tmp_path), "--json").json
    assert whole["arguments"] == [["the text"], {}] and whole["result"] == ["answer"] * 14


def test_a_result_that_is_no_json_is_told_as_it_stands(nlpu: Terminal, tmp_path: Path) -> None:
    path = journal(tmp_path)
    forge_texts(path, '["answer",', '["answer",,')
    whole: Any = nlpu("show", path.stem, "--run-dir", str(tmp_path), "--json").json
    assert whole["result"].startswith('["answer",,') and whole["arguments"] == [["the text"], {}]


def test_failures_that_are_not_shown_are_counted(nlpu: Terminal, tmp_path: Path) -> None:
    run = execute(attempts, 15, run_dir=tmp_path, engine={"many": "several"})
    out = nlpu("show", run.name, "--run-dir", str(tmp_path)).out
    assert "3 of them failed (see them with --all)" in out


@pytest.mark.parametrize("name", NAMES)
def test_a_receipt_holds(name: str) -> None:
    receipt = execute(lambda: str(echo("x"))).receipt
    part = receipt.by_op[0].model_copy(update={"name": NAMES[name]})
    assert isinstance(part, Part)
    table = receipt.model_copy(update={"by_op": (part,), "forced": ()}).table()
    held("\n".join(table.splitlines()[1:]))
    assert len(table.splitlines()) == 3


@pytest.mark.parametrize("name", sorted(NAMES.keys() - {"lines", "driving"}))
def test_the_tables_of_the_console_hold(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str
) -> None:
    text = NAMES[name]
    console = Console(Settings(Scripted(f"answer {text[:9]}"), None, tmp_path, Budget()))
    console.begin(None)
    try:
        for line in (f"Say {text}", f"x = again _ {text}", "pin x"):
            console.do(line)
        capsys.readouterr()
        for look in ("ops", "ctx", "graph", "graph x", "cost", "runs"):
            console.do(look)
            shown = capsys.readouterr().out
            assert shown.strip(), look
            held(shown)
    finally:
        console.close()


def test_tables_keep_their_numbers_and_cut_the_widest_cell() -> None:
    rows = [("op", "calls"), ("水" * 50, "1,234"), ("b", "5")]
    head, wide, narrow = columns(rows, right=(1,), most=20)
    assert wide.endswith("…  1,234") and narrow.endswith("      5") and cells(wide) <= 20
    assert head.startswith("op") and cells(head) == cells(narrow)
    assert columns([], most=20) == [] and cut("水水水", 4) == "水…" and cut("水水", 4) == "水水"


def test_folding_loses_nothing_and_keeps_words() -> None:
    text = "the miller of the mill " * 20 + "水" * 90
    lines = list(folded(text, 30))
    assert max(map(cells, lines)) <= 30 and lines[0] == "the miller of the mill the"
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")
