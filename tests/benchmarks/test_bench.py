"""Benchmarks run and give what they say they give; how fast they are is never a test."""

from __future__ import annotations

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from terminal_fixture import ROOT, environment

from benchmarks import priority, saturation, servers
from benchmarks.overhead import __main__ as overhead
from benchmarks.overhead import graphs, remembered, requests
from benchmarks.overhead.shapes import SHAPES, Shape, bare_chain, run_one
from benchmarks.servers import instant_server, tokenizer
from nlpu import MissingPart
from nlpu.runtime.bench import report
from nlpu.runtime.bench.servers import may_serve
from nlpu.runtime.terminal.benches import BENCHES
from nlpu.sampling import Sampling


@pytest.fixture(scope="module")
def small() -> Iterator[None]:
    """A chain of three calls in the place of all shapes."""

    def three(note: requests.Note) -> object:
        from benchmarks.overhead.shapes import begin, step

        return step(note(2), step(note(1), begin(note(0))))

    async def bare_three(ask: object) -> None:
        for number in range(3):
            await ask(number)  # type: ignore[operator]

    assert bare_chain is SHAPES["chain 200"].bare
    whole = dict(SHAPES)
    SHAPES.clear()
    SHAPES["three"] = Shape(3, run_one(three), bare_three)
    yield
    SHAPES.clear()
    SHAPES.update(whole)


@pytest.mark.usefixtures("small")
def test_overhead_gives_shapes_and_graphs() -> None:
    figures = json.loads(json.dumps(overhead.overhead(1, (200,), long=False)))
    shape, graph = figures["shapes"][0], figures["graphs"][0]
    assert {"shape", "cpu_us_per_call", "bare_cpu_us_per_call", "ratio"} <= set(shape)
    assert shape["shape"] == "three" and shape["ratio"] > 0
    assert {"nodes", "ratio", "kib_per_node", "journal_bytes_over_text"} <= set(graph)
    assert graph["nodes"] == 200 and graph["bare_us_per_node"] > 0
    assert figures["calls_per_second_per_core"] > 0
    assert {"machine", "versions", "date"} <= set(figures)
    overhead.tables(figures)


@pytest.mark.usefixtures("small")
def test_overhead_works_without_the_embedded_model(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(name: str | None) -> Path:
        raise MissingPart("not here")

    monkeypatch.setattr(servers, "installed_model", absent)
    with tokenizer() as (directory, name), instant_server("yes") as url:
        assert "not installed" in name
        assert requests.measure_shape("three", url, directory, 50, 1)["prompt_tokens"] > 50


def test_the_bare_client_sends_what_ours_sent() -> None:
    wanted = requests.Request("1", (5, 6), Sampling(8), priority=-3)
    body = requests.bodies_of([wanted])[0]
    assert body["prompt"] == [5, 6] and body["priority"] == -3 and body["max_tokens"] == 8


@pytest.mark.parametrize("way", remembered.WAYS)
def test_questions_on_a_document_are_measured_with_equal_bodies(way: str) -> None:
    with instant_server("yes", window=remembered.WINDOW) as url, tokenizer() as (home, _):
        row = remembered.measure_document(url, home, 2000, 1, way, calls=3)
    assert 1500 < row["prompt_tokens"] < 2500 and row["ratio"] > 0 < row["ratio_dumping"]
    wanted = requests.Request("1", (5, 6), Sampling(8), priority=-3)
    assert json.loads(remembered.bytes_of([wanted])[0]) == requests.bodies_of([wanted])[0]
    assert len(overhead._document_cells(row)) == 8


def test_saturation_gives_a_share_for_each_rate(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLPU_VLLM_PYTHON", raising=False)
    figures = saturation.saturation(rates=(200,), seconds=0.2)
    row = figures["rates"][0]
    assert 0 < row["share"] < 1.5 and row["calls"] == 40 and row["calls_per_s_per_core"] > 0
    assert figures["vllm"] is None
    saturation._print(figures)


def test_a_benchmark_that_needs_vllm_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NLPU_VLLM_PYTHON", raising=False)
    assert not may_serve(None)
    with pytest.raises(MissingPart, match="NLPU_VLLM_PYTHON"):
        priority.priority()


def test_priorities_on_and_off_against_a_server() -> None:
    with instant_server("yes") as url, tokenizer() as (directory, _):
        served = priority.Served(url, None, tokenizer=directory)
        found = priority.measure(served, 1, (1, 1, 2))
        assert found["calls"] == 4 and found["makespan"]["on_s"] > 0
        assert saturation.measure_vllm(served, 1, calls=4)["ratio"] > 0
    priority._print(found | report.circumstances())


def test_percentiles() -> None:
    assert report.percentile([float(n) for n in range(1, 101)], 0.95) == 95
    assert report.percentile([1.0], 0.95) == 1.0


@pytest.mark.parametrize("kind", ["bare", "plain"])
def test_a_graph_is_measured_in_its_own_process(kind: str) -> None:
    assert graphs.child(kind, 200)["seconds"] > 0


def test_the_command_prints_json() -> None:
    code = "from nlpu.runtime.terminal.app import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", code, "bench", "overhead", "--help"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "120"},
    )
    assert done.returncode == 0, done.stderr
    assert "Usage: python -m benchmarks.overhead" in done.stdout
    assert "--repeats" in done.stdout and "--quick" in done.stdout and "--json" in done.stdout


def python(*words: str, at: Path) -> subprocess.CompletedProcess[str]:
    """What another interpreter says, in a directory that is not the project's."""
    return subprocess.run(
        [sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=at,
        env=environment(COLUMNS="120"),
    )


MODULES = sorted(
    path.parent.name if path.stem == "__main__" else path.stem
    for path in (ROOT / "benchmarks").rglob("*.py")
    if "carry_out(" in path.read_text() and path.stem != "command"
)


@pytest.mark.parametrize("name", MODULES)
def test_a_benchmark_of_the_project_has_options_and_its_line_in_the_docs(
    name: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [name, "--help"])
    for module in (f"benchmarks.{name}", f"benchmarks.{name}.__main__"):
        monkeypatch.delitem(sys.modules, module, raising=False)  # which another test may import
    with pytest.raises(SystemExit) as ended:
        runpy.run_module(f"benchmarks.{name}", run_name="__main__", alter_sys=True)
    said = capsys.readouterr().out
    assert ended.value.code == 0 and "--json" in said
    assert f"Usage: python -m benchmarks.{name} [OPTIONS]" in said
    command = f"nlpu bench {name}" if name in BENCHES else f"python -m benchmarks.{name}"
    assert f"`{command}` |" in (ROOT / "docs" / "benchmarks.md").read_text()


def test_the_benchmarks_of_the_project_run_from_anywhere_and_end_as_commands_do(
    tmp_path: Path,
) -> None:
    done = python("-m", "benchmarks.memory_fit", "--data", ".", at=tmp_path)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr.startswith("error: there are no .json files in .: name a directory of")
    done = python("-m", "benchmarks.fake_vllm", "--help", at=tmp_path)
    assert done.returncode == 0 and "--with-parent" in done.stdout


def test_where_the_scripted_server_is_not_installed_a_benchmark_says_so(tmp_path: Path) -> None:
    code = "import sys; sys.modules['benchmarks'] = None\n"  # as in a wheel: it cannot be imported
    code += "from nlpu.runtime.terminal.app import main; main(['bench', 'overhead', '--quick'])"
    done = python("-c", code, at=tmp_path)
    assert done.returncode == 1 and not done.stdout
    assert done.stderr == (
        "error: this needs the project's own servers and cases, which are not installed with "
        "nlpu: install nlpu from a checkout of the project (pip install -e .)\n"
    )
