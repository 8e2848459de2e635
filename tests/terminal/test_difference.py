"""Two runs compared: the first position where they differ, and what followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kit import computer, echo, finish
from recorded_fixture import DIGEST, begun, program, recorded
from terminal_fixture import Terminal, nlpu

from nlpu.runtime.drivers import files
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.loader import load
from nlpu.runtime.terminal.show.archive import find
from nlpu.runtime.terminal.show.difference import difference_of, lines_of
from nlpu.testing.scripted import Seen

__all__ = ["nlpu"]  # a fixture


FAILS = "def go(topic: str):\n    raise ValueError(topic)\n"


def answer(seen: Seen) -> str:
    if "good" in seen.instruction:
        return "no" if "bad" in seen.operands["text"] else "yes"
    return " and ".join(seen.operands.values()) + ". The end."


def edited(place: Path, edits: Edits) -> Any:
    """A run, and one edited from it, compared."""
    with computer(answer, run_dir=place / "runs") as machine:
        spec = program(place)
        run = finish(begun(machine, spec, "tides"))
        function = load(spec).function
        other = finish(machine.rerun(run.name, function, "tides", edits=edits))
    runs = place / "runs"
    return difference_of(find(runs, run.name), find(runs, other.name))


def test_equal_runs_differ_nowhere(tmp_path: Path) -> None:
    one, other = recorded(tmp_path, answer), recorded(tmp_path, answer)
    found = difference_of(one, other)
    assert found["first"] is None and found["followed"] == [] and found["same"] == 6
    assert found["same_result"] and found["same_arguments"]
    assert lines_of(found, None)[-1] == "no position differs"


def test_runs_without_a_result_do_not_have_the_same(tmp_path: Path) -> None:
    one, other = (recorded(tmp_path, body=FAILS) for _ in range(2))
    found = difference_of(one, other)
    assert found["same_result"] is None and found["same_arguments"]
    assert "their result: neither has any on record" in lines_of(found, None)


def test_an_edited_result_is_named_first_and_what_followed_after(tmp_path: Path) -> None:
    found = edited(tmp_path, Edits(results={"main/0/1": "tides 1. Another end."}))
    first = found["first"]
    assert (first["position"], first["op"], first["differs"]) == ("main/0/1", "shorten", ["result"])
    assert first["diff"][3:] == [" tides 1.", "-The end.", "+Another end."]
    assert [(each["position"], each["differs"]) for each in found["followed"]] == [
        ("main/1/1", ["operands", "result"]),
        ("main/2", ["operands"]),
        ("main/3", ["operands", "result"]),
    ]
    assert found["same"] == 2 and found["runs"][1]["from"] == found["runs"][0]["id"]
    assert not found["same_result"]
    lines = lines_of(found, 2)
    assert "first difference: main/0/1  shorten  other result" in lines
    assert lines[-1] == "  ... and 1 more (see them with --all)"


def test_a_branch_not_taken_shows_as_changed_ops_and_operands(tmp_path: Path) -> None:
    found = edited(tmp_path, Edits(results={"main/0/0": "bad"}))
    last = found["followed"][-1]
    assert last["position"] == "main/3" and last["differs"] == ["operands", "result"]
    good = found["followed"][-2]
    assert good["position"] == "main/2" and good["differs"] == ["operands", "result"]


def test_an_edited_op_differs_where_it_is_first_called(tmp_path: Path) -> None:
    found = edited(tmp_path, Edits(ops={"polish": "Polish it until it shines."}))
    assert found["first"]["position"] == "main/3" and found["first"]["differs"] == ["op"]
    assert "+Polish it until it shines." in found["first"]["diff"]
    assert found["followed"] == []


def test_positions_appear_and_vanish(tmp_path: Path) -> None:
    one, other = recorded(tmp_path, answer, "tides", 2), recorded(tmp_path, answer, "tides", 3)
    there, back = difference_of(one, other), difference_of(other, one)
    assert there["first"]["position"] == back["first"]["position"] == "main/0/2"
    assert (there["first"]["change"], back["first"]["change"]) == ("appeared", "vanished")
    assert not there["same_arguments"]


def test_what_came_from_outside_counts(tmp_path: Path) -> None:
    drawn = "    topic = f'{topic} {runtime.random().random()}'\n    whole"
    body = "import runtime\n" + DIGEST.replace("    whole", drawn)
    runs = [recorded(tmp_path, answer, body=body) for _ in range(2)]
    found = difference_of(*runs)
    assert found["first"]["op"] == "clock" and found["first"]["differs"] == ["result"]
    assert found["followed"][0]["position"] == "main/1/0"


def test_what_drivers_brought_counts(tmp_path: Path) -> None:
    folder = files(tmp_path)

    def go(path: str) -> Any:
        return echo(folder.read(path))

    def once(content: bytes, path: str) -> Any:
        (tmp_path / path).write_bytes(content)
        with computer(run_dir=tmp_path / "runs") as machine:
            return find(tmp_path / "runs", finish(machine.start(go, path)).name)

    one, same, other = (once(text, "a") for text in (b"one", b"one", b"two"))
    assert difference_of(one, same)["first"] is None and difference_of(one, same)["same"] == 2
    first = difference_of(one, other)["first"]
    assert (first["position"], first["op"], first["differs"]) == ("main/0", "driver", ["result"])
    assert first["diff"][3:] == ["-one", "+two"]
    assert difference_of(one, once(b"one", "b"))["first"]["differs"] == ["operands"]
    assert difference_of(one, once(b"\xff", "a"))["first"]["differs"] == ["status", "result"]


def test_two_runs_shown(nlpu: Terminal, tmp_path: Path) -> None:
    words = ("run", program(tmp_path), "--engine", "scripted", "--json")
    one, other = (nlpu(*words, topic).json["run_id"] for topic in ("tides", "\x1b[31mtides"))
    told = nlpu("show", one, other, "--json").json
    assert told["first"]["position"] == "main/0/0" and told["first"]["differs"][0] == "operands"
    shown = nlpu("show", one, other)
    assert shown.code == 0 and "first difference: main/0/0" in shown.out
    same = nlpu("show", one, one)
    assert same.code == 0 and "no position differs" in same.out


def test_an_edited_run_names_its_origin(nlpu: Terminal, tmp_path: Path) -> None:
    run = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json["run_id"]
    Path("new.txt").write_text("another text")
    words = ("run", "--from", run, "--set", "main/0/0=new.txt", "--engine", "scripted", "--json")
    other = nlpu(*words).json["run_id"]
    assert nlpu("runs", "--json").json[0]["from"] == run
    table = nlpu("runs").out
    assert "from" in table and max(map(len, table.splitlines())) <= 80
    shown = nlpu("show", other)
    assert f"edited from run {run}" in shown.out and "taken" in shown.out
    assert nlpu("show", other, "--html", "a.html").code == 0
    assert f"edited from run {run}" in Path("a.html").read_text()
    assert nlpu("show", run, other, "--json").json["first"]["position"] == "main/0/0"
