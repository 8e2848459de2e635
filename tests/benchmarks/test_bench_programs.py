"""``nlpu bench programs`` and its peers: the same work for all, honest counts, known truths."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import all as all_benches
from benchmarks.peers import harness
from benchmarks.peers import running as programs_peers
from benchmarks.peers.__main__ import tables as peers_tables
from benchmarks.peers.running import against, counters, peers_python, run_peer
from benchmarks.peers.work import PROGRAMS, answer_tokens, calls_of, prompt_of, work_of
from benchmarks.servers import scripted_server
from nlpu.errors import MissingPart, ServerFault
from nlpu.prompt.convention import FIRST
from nlpu.prompt.messages import messages_of
from nlpu.runtime import Computer
from nlpu.runtime.bench import programs, programs_quality
from nlpu.runtime.bench.programs_quality import facts, quality
from nlpu.runtime.bench.programs_standard import Whole, standard
from nlpu.runtime.bench.programs_work import NOTE, TURN, Size
from nlpu.runtime.bench.servers import Served, Target
from nlpu.testing.scripted import Scripted, Seen

TINY = Size(3, 3, 2, 3, text=20)
GPU = ("--gpu", "8,2000,1e6", "--full", "--window", "16384")
PEERS = Path(".venv-peers/bin/python")


@pytest.fixture(scope="module")
def served() -> Iterator[Served]:
    with scripted_server(*GPU) as url:
        yield Served(url, None)


@pytest.mark.parametrize("program", PROGRAMS)
def test_the_work_is_the_same_for_all_but_its_texts(program: str) -> None:
    one, two = work_of(program, TINY, "a"), work_of(program, TINY, "b")
    assert one != two
    assert json.loads(json.dumps(one).replace('"a ', '"b ')) == two
    assert calls_of(one) > 3 and answer_tokens(one) == answer_tokens(two)


def test_peers_send_the_messages_that_we_send() -> None:
    for op, contents in ((TURN, ("so far",)), (NOTE, ("new", "before"))):
        names = [place.name for place in op.operands]
        theirs = harness.messages(prompt_of(op), **dict(zip(names, contents, strict=True)))
        ours = [
            {"role": m.role, "content": m.content}
            for m in messages_of(op, contents, convention=FIRST)
        ]
        assert theirs == ours


@pytest.fixture(scope="module")
def rows(served: Served) -> list[dict[str, Any]]:
    return against(served, "fault-1", TINY, 1, None)


def test_ours_does_the_work_and_the_server_counts_it(
    served: Served, rows: list[dict[str, Any]]
) -> None:
    assert [row["name"] for row in rows] == ["fleet nlpu", "uneven nlpu"]
    for row in rows:
        assert row["as_asked"] and row["wall_s_over_ours"] == row["cpu_s_over_ours"] == 1
        assert row["completion_tokens"]["each"] == [row["asked_completion_tokens"]]
        assert row["steps"]["median"] > 0 and row["cpu_ms_per_call"] > 0
    fleet = rows[0]
    assert fleet["cached_tokens"]["median"] > fleet["prompt_tokens"]["median"] / 4  # append-only
    assert set(counters(served)) == {"steps", "prompt_tokens", "cached_tokens", "completion_tokens"}


def test_a_second_run_does_not_find_the_first_ones_texts(
    served: Served, rows: list[dict[str, Any]]
) -> None:
    for row, again in zip(rows, against(served, "fault-1", TINY, 1, None), strict=True):
        assert again["prompt_tokens"] == row["prompt_tokens"]
        assert again["cached_tokens"]["median"] < 1.1 * row["cached_tokens"]["median"]


def test_a_peer_that_fails_is_told(served: Served) -> None:
    order = {"work": {}, "warm_up": {}}
    with pytest.raises(ServerFault, match="did not start"):
        run_peer([sys.executable, "-c", "import sys; sys.stdin.readline()"], served, order, 0)


def test_peers_files_compile_and_the_harness_needs_the_standard_library_only() -> None:
    here = Path(harness.__file__).parent
    for path in sorted(here.glob("*.py")):
        compile(path.read_text(), path.name, "exec")
        if path.stem.endswith("_peer") or path.stem in ("harness", "ours"):
            assert len(path.read_text().splitlines()) <= 100, "readable in a minute"
    assert "nlpu" not in Path(harness.__file__).read_text()
    pins = (here / "requirements.txt").read_text().splitlines()
    names = {line.partition("==")[0] for line in pins if not line.startswith("#")}
    assert {"langgraph", "langchain-openai", "dspy"} <= names
    assert all("==" in line for line in pins if not line.startswith("#"))


def test_no_peers_is_said_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(programs_peers.PYTHON_VARIABLE, sys.executable)
    with pytest.raises(MissingPart, match="make peers"):
        peers_python()


@pytest.mark.slow
@pytest.mark.skipif(not PEERS.exists(), reason="`make peers` was not run")
def test_all_frameworks_do_the_same_token_work() -> None:
    with scripted_server(*GPU) as url:  # with an empty cache
        rows = against(Served(url, None), "fault-1", TINY, 1, peers_python())
    for program in PROGRAMS:
        mine = [row for row in rows if row["program"] == program]
        assert [row["who"] for row in mine] == ["nlpu", "langgraph", "dspy"]
        for figure in ("prompt_tokens", "cached_tokens", "completion_tokens"):
            assert len({row[figure]["median"] for row in mine}) == 1, figure
        assert all(row["as_asked"] for row in mine)


def truthful(seen: Seen) -> str:
    """Answers small questions right, and big ones with the first line's city alone, and with 0."""
    if "how many" in seen.instruction:
        return "0"
    return seen.operands.popitem()[1].split("\n")[0].split()[2]  # Anna from Oslo bought ...


def test_quality_is_the_share_of_right_items() -> None:
    with Computer(Scripted(truthful)) as computer:
        rows = {row["name"]: row for row in quality(computer, 2, 3, 2)}
    share = {name: row["quality"]["median"] for name, row in rows.items()}
    assert share == {"cities big": 0.3333, "cities small": 1, "count big": 0, "count small": 1}
    assert rows["cities big"]["calls"] == 2 and rows["cities small"]["calls"] == 6
    assert len(rows["count small"]["makespan_s"]["each"]) == 2


def test_an_invalid_reply_is_wrong_and_no_error() -> None:
    groups = [facts(3)]
    with Computer(Scripted("not a number, nor Rome or Oslo")) as computer:
        run = computer.run(
            lambda: [*programs_quality.big_cities(groups), *programs_quality.big_count(groups)]
        )
    assert run.result == [[None], [None]]
    assert programs_quality.right_cities([None], groups[0]) == [False] * 3


def test_makespans_stand_beside_their_bounds() -> None:
    with Computer(Whole(Scripted(window=4000, max_in_flight=4))) as computer:
        rows = standard(computer, TINY, 20, 1)
    assert {"agents", "uneven"} <= {row["name"] for row in rows}
    assert all(row["bound_s"]["median"] > 0 and row["calls"] for row in rows)


def test_tables_of_all_and_of_the_peers(rows: list[dict[str, Any]]) -> None:
    found = Target("scripted", lambda many: Scripted(window=4000, max_in_flight=many))
    figures: dict[str, Any] = programs.measure(found, quick=True)
    json.dumps(figures)
    all_benches.tables({"programs": figures, "minutes": 1.0})
    peers_tables({**figures, "peers": [{**row, "server": "fake GPU"} for row in rows]})
