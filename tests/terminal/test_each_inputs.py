"""``nlpu run --each``: the inputs that it reads, and what it says to those that are none."""

from __future__ import annotations

from pathlib import Path

import pytest
from each_kit import SCRIPTED, each, folder, lines, texts
from terminal_fixture import Terminal, nlpu

__all__ = ["folder", "nlpu"]  # fixtures


def test_lines_of_json_with_what_editors_do_to_them(nlpu: Terminal, folder: Path) -> None:
    """A byte order mark, Windows' line ends, blank lines, no end of the last; equal inputs."""
    body = b'\xef\xbb\xbf{"text": "a", "times": 3}\r\n\r\n   \n"b"\r\n{"text": "a", "times": 3}'
    (folder / "in.jsonl").write_bytes(body)
    ended = nlpu(*each("in.jsonl"))
    assert ended.code == 0 and [line["index"] for line in lines(ended.out)] == [0, 1, 2]
    assert [line["result"]["times"] for line in lines(ended.out)] == [3, 1, 3]
    assert texts(ended.out) == ["a", "b", "a"] and "of 3: 3 done" in ended.err
    assert len({line["run"] for line in lines(ended.out)}) == 3


def test_rows_of_a_table(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.csv").write_bytes(b'id,text,times\r\n7,"a, ""q""\nline two",3\r\n8,b,\r\n')
    ended = nlpu(*each("in.csv"))
    assert texts(ended.out) == ['a, "q"\nline two', "b"]
    assert [(line["id"], line["result"]["times"]) for line in lines(ended.out)] == [
        ("7", 3),
        ("8", 1),
    ]
    (folder / "in.tsv").write_text("text\ttimes\nc\t4\n")
    assert lines(nlpu(*each("in.tsv")).out)[0]["result"]["times"] == 4


def test_files_of_a_folder(nlpu: Terminal, folder: Path) -> None:
    """Below, too; of one name in two folders; hidden ones are not read, which is said."""
    for name in ("in/b/a.txt", "in/a.txt", "in/.git/c", "in/.hidden"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(name)
    ended = nlpu(*each("in"))
    assert [line["id"] for line in lines(ended.out)] == ["a.txt", "b/a.txt"]
    assert texts(ended.out) == ["in/a.txt", "in/b/a.txt"] and "2 hidden files" in ended.err


def test_stdin_and_what_is_the_same_for_all(nlpu: Terminal, folder: Path) -> None:
    ended = nlpu(*each("-", "topic=snow"), stdin='"a"\n{"text": "b"}\n')
    assert [line["result"]["topic"] for line in lines(ended.out)] == ["snow", "snow"]
    args = ("run", "mine.py:go", "a", *SCRIPTED, "--each", "-")
    assert lines(nlpu(*args, stdin='{"times": 2}').out)[0]["result"]["text"] == "a"


def test_another_stream_under_the_same_command_is_told_before_it_costs(
    nlpu: Terminal, folder: Path
) -> None:
    """Its inputs tell as they come: where one of the first is new, it is another stream."""
    words = each("-", "--out", "out.jsonl", "--json")
    first = nlpu(*words, stdin='"a"\n"b"\n"a"\n').json
    assert (first["status"], first["done"], first["cost"]["calls"]) == ("done", 3, 3)
    kept = (folder / "out.jsonl").read_bytes()
    other = nlpu(*words, stdin='"a"\n"c"\n')
    assert other.code == 2 and other.json["status"] == "stopped"
    assert other.err.startswith(
        "error: input 2 on stdin is none of the 3 that this batch began with, so it is another "
        "stream: with --changed it goes on in the same batch; or name another --out"
    )
    assert (folder / "out.jsonl").read_bytes() == kept
    assert nlpu("runs", "--json").json[0]["arguments"] == "3 inputs", "no run was begun"
    again = nlpu(*words, stdin='"a"\n"b"\n"a"\n"d"\n').json  # it has come further
    assert (again["done"], again["known"], again["cost"]["calls"]) == (4, 3, 4)
    mine = nlpu(*each("-", "--out", "mine.jsonl", "--json"), stdin='"a"\n"c"\n').json
    assert (mine["done"], mine["known"], mine["cost"]["calls"]) == (2, 0, 2)
    for early, why in (("", "held no inputs"), ('"a"\n', "after 1 input, and this batch had 4")):
        kept = (folder / "out.jsonl").read_bytes()
        ended = nlpu(*words, stdin=early)
        assert ended.code == 2 and why in ended.err, "what was to write them failed"
        assert (folder / "out.jsonl").read_bytes() == kept
    both = nlpu(*words, "--changed", stdin='"c"\n"a"\n').json
    assert (both["done"], both["known"]) == (2, 1)


def test_values_that_are_no_texts(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('{"record": {"a": 1}, "flag": true}\n{"record": {}}\n')
    found = lines(nlpu(*each("in.jsonl", program="takes")).out)
    assert [line["result"] for line in found] == [[{"a": 1}, True], [{}, False]]


def test_what_a_file_gives_is_nobody_s_word(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n"b"\n')
    run = lines(nlpu(*each("in.jsonl")).out)[1]["run"]
    assert "the result is untrusted" in nlpu("show", run, "--labels").out


BAD = [
    (b'"a"\n{"text": nope}\n', "in.jsonl:2 is no line of JSON (Expecting value at column 10)"),
    (b'{"text": "a", "text": "b"}\n', "in.jsonl:1 is no line of JSON (the key 'text' is given"),
    (b'{"text": NaN}\n', "NaN is no JSON"),
    (b'["a", "b"]\n', "in.jsonl:1 is a list, and a line is one input"),
    (b'{"txt": "a"}\n', "in.jsonl:1: the column 'txt' is no parameter of the program. Usage: go("),
    (b'{"times": 5}\n', "in.jsonl:1: 'text' is missing"),
    (b'{"text": 5}\n', "in.jsonl:1: 'text' must be text, not 5"),
    (b'{"text": null}\n', "in.jsonl:1: 'text' is null, and must be given"),
    (b'{"text": "a", "times": "many"}\n', "in.jsonl:1: 'times' must be int, not 'many'"),
    (b'{"text": "\\ud800"}\n', "in.jsonl:1: 'text' has a lone surrogate"),
    (b"true\n", "in.jsonl:1: 'text' must be text, not True"),
    (b'"caf\xe9"\n', "in.jsonl:1 is not UTF-8 text (byte 4 is 0xe9); convert it"),
    (b"\xff\xfe\x22\x00", "in.jsonl is UTF-16; convert it first"),
    (b"\n \n", "in.jsonl holds no inputs"),
    (b'"' + b"x" * (17 << 20) + b'"', "in.jsonl:1 is longer than 16 MB"),
    (b'{"id": 1, "text": "a"}\n{"id": "1", "text": "b"}', "the id '1' is that of in.jsonl:1, too"),
    (b'{"id": 1.5, "text": "a"}\n', "in.jsonl:1: 'id' must be a text or a whole number, not 1.5"),
    (b'{"id": null, "text": "a"}\n', "'id' must be a text or a whole number, not null"),
    (b'{"id": {"a": 1}, "text": "a"}\n', "'id' must be a text or a whole number, not {\"a\": 1}"),
    (b"[" * 100_000, "in.jsonl:1 is no line of JSON"),
]


@pytest.mark.parametrize(("body", "words"), BAD)
def test_what_is_no_input_is_told_with_its_line(
    nlpu: Terminal, folder: Path, body: bytes, words: str
) -> None:
    (folder / "in.jsonl").write_bytes(body)
    ended = nlpu(*each("in.jsonl"))
    assert (ended.code, ended.out) == (2, "") and words in ended.err
    assert len(ended.err) < 600 and not (folder / ".nlpu").exists()  # before anything was asked


TABLES = [
    ("in.csv", b"text,text\na,b\n", "two columns are called 'text'"),
    (
        "in.csv",
        b"text,times\na,1,2\n",
        "in.csv:2 has 3 cells, and there are 2 columns (text",
    ),
    ("in.csv", b'text\n"a\n', "in.csv:2 is no row of a table"),
    ("in.csv", b"text\ncaf\xe9\n", "in.csv:2 is not UTF-8 text (byte 3 is 0xe9)"),
    ("in.csv", b"text;times\na;1\n", "names one column, 'text;times'; columns are"),
    ("in.csv", b"", "in.csv is empty"),
    ("in.csv", b"text,\na,b\n", "one of them has no name"),
    ("in.csv", b"text,times\na,many\n", "in.csv:2: 'times' must be int, not 'many'"),
    ("in/a.png", b"\x89PNG\0\0", "in/a.png is a binary file; convert it"),
    ("in/a.txt", b"", "in/a.txt is empty"),
]


@pytest.mark.parametrize(("name", "body", "words"), TABLES)
def test_what_is_no_row_or_file(
    nlpu: Terminal, folder: Path, name: str, body: bytes, words: str
) -> None:
    (folder / name).parent.mkdir(exist_ok=True)
    (folder / name).write_bytes(body)
    ended = nlpu(*each(name.partition("/")[0]))
    assert (ended.code, ended.out) == (2, "") and words in ended.err


def test_several_that_are_none_are_told_at_once(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('nope\n"a"\n{"txt": 1}\n' + "nope\n" * 9)
    told = nlpu(*each("in.jsonl")).err
    assert [f"in.jsonl:{line}" in told for line in (1, 2, 3, 4, 9)] == [
        True,
        False,
        True,
        True,
        False,
    ]


def test_what_does_not_go_together(nlpu: Terminal, folder: Path) -> None:
    (folder / "in.jsonl").write_text('"a"\n')
    (folder / "some").mkdir()
    (folder / "some" / "a.txt").write_text("a")
    cases = [
        (each("in.jsonl", "--out", "in.jsonl"), "in.jsonl is the file of the inputs"),
        (each("in.jsonl", "--out", "nowhere/out"), "cannot write nowhere/out"),
        (each("in.jsonl", "--out", "."), "is not a file"),
        (each("some", "--out", "some/out"), "lies among the inputs"),
        (each("in.jsonl", "--retry", "all"), "--retry takes 'failed'"),
        (each("in.jsonl", "--dry"), "--dry is about one run"),
        (each("in.jsonl", "--at-once", "0"), "--at-once must be a whole number more than 0"),
        (each("in.jsonl", "text=b", "text=c"), "'text' is given twice"),
        (each("nowhere.jsonl"), "there is no nowhere.jsonl"),
        (("run", "nothing", *SCRIPTED, "--each", "in.jsonl"), "no program is called 'nothing'"),
        (("run", "mine.py:go", "a", *SCRIPTED, "--out", "x"), "--out goes with --each"),
        (("run", "mine.py:go", "-", *SCRIPTED, "--each", "-"), "stdin ('-') can be given once"),
        (each("in.jsonl", "--json"), "name a file for the results with --out"),
    ]
    for args, words in cases:
        ended = nlpu(*args)
        assert ended.code == 2 and words in ended.err, (args, ended)
