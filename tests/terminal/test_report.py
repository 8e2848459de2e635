"""The HTML report as a file: what is in it, and what can never be."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from kit import PATIENCE_S, Doomed, computer, slow
from recorded_fixture import DIGEST, begun, program, recorded
from terminal_fixture import Terminal, nlpu

from nlpu import Limits
from nlpu.errors import Usage
from nlpu.runtime.terminal.files import write_file
from nlpu.runtime.terminal.show.archive import find
from nlpu.runtime.terminal.show.edges import replayed, shape_of
from nlpu.runtime.terminal.show.report import data_of, report_of
from nlpu.testing.scripted import Say, Seen

__all__ = ["nlpu"]  # a fixture
EVIL = "</script><script>alert(1)</script><!-- {script} {data} ```x``` \u2028 <|system|>"


def evil(seen: Seen) -> Say:
    """Yes to questions; to all else a text that would like to be markup."""
    return Say("yes" if "good" in seen.instruction else EVIL, seconds=1.0)


def parts(page: str) -> dict[str, str]:
    """The page's style, data and script, and the page without them under ``""``."""
    found = {
        "style": re.search(r"<style>(.*?)</style>", page, re.DOTALL),
        "data": re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S),
        "script": re.search(r"<script>(.*?)</script>", page, re.DOTALL),
    }
    texts = {name: match[1] for name, match in found.items() if match is not None}
    for text in texts.values():
        page = page.replace(text, "")
    return {**texts, "": page}


def test_data_stands_in_one_block_and_the_policy_names_the_rest(tmp_path: Path) -> None:
    record = recorded(tmp_path, evil)
    page = parts(report_of(record, shape_of(record)))
    assert "<" not in page["data"]
    data = json.loads(page["data"])
    assert EVIL in data["texts"]
    for name in ("style", "script"):
        digest = hashlib.sha256(page[name].encode()).digest()
        assert f"{name}-src 'sha256-{base64.b64encode(digest).decode()}'" in page[""]
    assert "default-src 'none'" in page[""]
    assert "alert" not in page[""] + page["script"]
    for outside in ("http:", "https:", "src=", "href=", "url(", "@import", "fetch(", "innerHTML"):
        assert outside not in page[""] + page["style"] + page["script"]


def test_the_graph_is_that_of_the_program(tmp_path: Path) -> None:
    record = recorded(tmp_path, evil)
    data = data_of(record, shape_of(record))
    assert not data["notes"]
    at = {node[0]: i for i, node in enumerate(data["nodes"])}
    calls = {row[0]: row for row in data["calls"]}
    assert list(calls) == ["main/0/0", "main/0/1", "main/0/2", "main/1/1", "main/2", "main/3"]
    edges = {(a, b): control for a, b, control in data["edges"]}
    good, polish = at["main/2"], at["main/3"]
    assert edges[good, polish] == 1  # it was issued because of what was seen
    assert edges[at["main/1"], polish] == 0
    layers = [node[2] for node in data["nodes"]]
    assert all(layers[a] < layers[b] for a, b, _ in data["edges"])
    assert [row[3] for row in data["calls"]] == ["user"] * 6  # labels
    assert data["forced"][0][0].startswith("digest.py:")
    assert data["costs"][1][-1][:2] == ["all", "6"]


def test_edges_are_guessed_where_the_program_has_changed(tmp_path: Path) -> None:
    record = recorded(tmp_path, lambda seen: "yes" if "good" in seen.instruction else "a text")
    program(tmp_path, DIGEST + "\n# another line\n")
    shape = shape_of(record)
    assert "source has changed" in shape.partial
    data = data_of(record, shape)
    assert "Edges are partial" in data["notes"][0]
    assert data["layouts"] == [] and all(row[-1] == -1 for row in data["calls"])
    at = {node[0]: i for i, node in enumerate(data["nodes"])}
    assert [at["main/0/0"], at["main/2"], 0] in map(
        list, data["edges"]
    )  # of equal texts, the first
    assert len(data["calls"]) == 6


def test_a_run_that_was_cut_off_is_replayed_as_far_as_it_came(tmp_path: Path) -> None:
    runs, grave = tmp_path / "runs", tmp_path / "grave"
    engine = Doomed(slow(1.0), runs, grave, at=3)
    with computer(engine, run_dir=runs, limits=Limits(max_in_flight=1)) as machine:
        run = begun(machine, program(tmp_path), "tides").wait(PATIENCE_S)
    record = find(grave, run.name)
    data = data_of(record, shape_of(record))
    assert record.status == "stopped" and not data["notes"]
    assert [(row[0], row[2]) for row in data["calls"]] == [
        ("main/0/0", "done"),
        ("main/0/1", "done"),
        ("main/0/2", "open"),
    ]
    assert "main/1/1" in {node[0] for node in data["nodes"]}  # issued, and never sent


def test_a_replay_for_the_graph_leaves_the_journal_as_it_is(tmp_path: Path) -> None:
    record = recorded(tmp_path)
    before = record.path.read_bytes()
    for path in tmp_path.glob("runs/*"):
        path.chmod(0o400)
    assert not shape_of(record).partial
    assert record.path.read_bytes() == before


GATE = threading.Event()
GATED = """
@nlop
def shorten(text: str) -> str:
    \"""Shorten the text.\"""


def go(topic: str) -> str:
    from test_report import GATE
    whole = shorten(topic).value
    GATE.wait()
    return whole
"""


def test_a_replay_that_is_busy_in_python_is_given_up(tmp_path: Path) -> None:
    GATE.set()
    record = recorded(tmp_path, body=GATED)
    GATE.clear()
    gave_up = threading.Event()

    def show() -> None:
        with pytest.raises(TimeoutError):
            replayed(record, lambda computer, run, arguments: None, most_s=0.01)
        gave_up.set()

    threading.Thread(target=show, daemon=True).start()
    assert gave_up.wait(PATIENCE_S)
    GATE.set()


def test_a_larger_run_is_summarised(tmp_path: Path) -> None:
    record = recorded(tmp_path, slow(1.0), "tides", 40)
    whole, short = (data_of(record, shape_of(record), most) for most in (1000, 20))
    calls = len(whole["calls"])
    assert len(short["calls"]) == 20 and f"Of {calls} calls the first 20" in short["notes"][0]
    assert sum(node[5] for node in short["nodes"]) == len(whole["nodes"]) > len(short["nodes"])
    assert "summarised" in short["graph"]
    assert len(short["flights"]) == len(whole["flights"]) == calls
    assert max(flight[4] for flight in whole["flights"]) == 39  # slots: as many as were in flight


def test_show_writes_reports_and_says_where(nlpu: Terminal, tmp_path: Path) -> None:
    run: Any = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json
    ended = nlpu("show", run["run_id"], "--html", "a.html", "--trace", "a.json")
    assert ended.code == 0 and ended.out == "" and "a.html" in ended.err
    told = nlpu("show", run["run_id"], "--html", "a.html", "--json").json
    assert told == {"run_id": run["run_id"], "html": "a.html", "partial": ""}
    assert "tides 2" in Path("a.html").read_text()
    assert sorted(path.name for path in tmp_path.glob("*a.*")) == ["a.html", "a.json"]


@pytest.mark.parametrize("where", [".", "no/such/place.html", "/dev/null", "-"])
def test_a_file_that_cannot_be_written(where: str, tmp_path: Path) -> None:
    with pytest.raises(Usage, match=r"is not a file|cannot write"):
        write_file(tmp_path / where, "text")
    assert list(tmp_path.iterdir()) == []


def test_show_takes_no_nonsense(nlpu: Terminal, tmp_path: Path) -> None:
    run: Any = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json
    for words in (
        ("--html", "no/such/a.html"),
        ("again", "and", "again"),
        (run["run_id"], "--live"),
    ):
        ended = nlpu("show", run["run_id"], *words)
        assert ended.code == 2 and ended.err.startswith("error: ") and "Traceback" not in ended.err
