"""``nlpu bench throughput``: profiles have the lengths they are named by; results their shape."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from benchmarks.servers import scripted_server, tokenizer
from nlpu.errors import Usage
from nlpu.processor import Processor, open_processor
from nlpu.runtime.bench import results, throughput, throughput_runs
from nlpu.runtime.bench.plots import _rising, draw
from nlpu.runtime.bench.servers import ROWS, Served, Target, target
from nlpu.runtime.bench.throughput_profiles import PROFILES, filled, profile, sessions
from nlpu.testing.scripted import Scripted

PLAN = throughput_runs.Plan((1, 2), 2, 700, 4, every=False)


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[Target, bool]]:
    """A server that answers at full length, and whether it has the embedded model's tokenizer."""
    with (
        tokenizer() as (directory, name),
        scripted_server("--full", "--window", "16384", "--tokenizer", directory) as url,
    ):
        server = Served(url, None)
        yield Target("fake", server.engine, server), "not installed" not in name


@pytest.fixture(scope="module")
def figures(served: tuple[Target, bool]) -> dict[str, Any]:
    return throughput_runs.measure(served[0], tuple(PROFILES), PLAN, quick=True)


@pytest.fixture(scope="module")
def processor() -> Processor:
    return asyncio.run(open_processor("main", Scripted(window=100_000)))


def test_every_profile_is_as_long_as_it_says(
    served: tuple[Target, bool], figures: dict[str, Any]
) -> None:
    exact = served[1]
    assert {"date", "machine", "versions", "engine", "model", "flags", "seed"} <= set(figures)
    by_name = {each["name"]: each for each in figures["profiles"]}
    if exact:
        assert list(by_name) == ["prose/128", "judge/500", "record/250", "agent/75x5"]
    for each in figures["profiles"]:
        assert each["forced"] and each["knee"] in PLAN.levels
        assert [row["name"] for row in each["rows"]] == ["cold x1", "cold x2", "warm x2"]
        cold = each["rows"][1]
        assert cold["calls"] == 2 * each["turns"]
        assert len(cold["ratio"]["each"]) == PLAN.repeats == len(cold["p95_s"]["each"])
        if each["name"].startswith(("prose", "agent")):
            assert cold["completion_tokens_per_call"] == each["tokens_out"]
        if exact and each["turns"] == 1:
            assert cold["prompt_tokens_per_call"] == each["tokens_in"]
    throughput.tables(figures)


def test_an_engine_in_the_process_is_called_directly_for_the_bare_side() -> None:
    found = Target("scripted", lambda many: Scripted(window=2000, max_in_flight=many))
    figures = throughput_runs.measure(found, ("judge",), PLAN, quick=True)
    assert "xllamacpp" in figures["versions"] and figures["profiles"][0]["rows"][1]["ratio"]
    assert figures["profiles"][0]["rows"][0]["completion_tokens_per_call"] <= 3  # "yes" or "no"


def test_a_second_run_does_not_find_the_first_ones_texts() -> None:
    with scripted_server("--gpu", "8,2000,1e6", "--full", "--window", "8192") as url:
        server = Served(url, None)
        found = Target("fake", server.engine, server)
        cached = [_cached(found)["cold x2"], _cached(found)["cold x2"]]
    assert max(cached) < 0.2  # the instruction is shared


def _cached(found: Target) -> dict[str, float]:
    (judge,) = throughput_runs.measure(found, ("judge",), PLAN, quick=True)["profiles"]
    return {row["name"]: row["cached"] for row in judge["rows"]}


def test_profiles_fit_and_are_about_as_long_where_no_tokenizer_is_known() -> None:
    with scripted_server("--not-vllm", "--full") as url:
        server = Served(url, None)
        found = Target("fake", server.engine, server)
        small = throughput_runs.measure(found, tuple(PROFILES), PLAN, quick=True)
        whole = throughput_runs.Plan((1,), 1, 1 << 30, 1, every=False)
        large = throughput_runs.measure(found, ("agent", "judge"), whole, quick=False)
    for each in (*small["profiles"], large["profiles"][1]):
        if each["turns"] == 1:
            sent = each["rows"][0]["prompt_tokens_per_call"]
            assert 0.75 * each["tokens_in"] < sent < 1.25 * each["tokens_in"]
    assert [each["name"] for each in large["profiles"]] == ["agent/75", "judge/1000"]


def test_a_profile_that_fails_says_why_in_its_place(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    found = Target("scripted", lambda many: Scripted(window=400, max_in_flight=many))
    figures = throughput_runs.measure(found, ("record", "judge"), PLAN, quick=True)
    record, judge = figures["profiles"]
    assert record["rows"] == [] and "too small for this model" in record["failed"]
    assert judge["rows"] and throughput.code_of(figures) == 1
    assert "record failed: record/250 is too small" in capsys.readouterr().err
    throughput.tables(figures)
    assert "record failed: " in capsys.readouterr().out
    if find_spec("matplotlib"):
        draw(figures, tmp_path / "a.png")
    with pytest.raises(Usage, match="record/250 is too small"):
        throughput_runs.measure(found, ("record",), PLAN, quick=True)
    with pytest.raises(Usage, match="no profile is called 'poem'"):
        throughput_runs.throughput("http://127.0.0.1:1", profiles=("poem",))


def test_profiles_are_halved_until_they_fit(processor: Processor) -> None:
    whole = profile("agent", processor, 100_000)
    assert whole.name == "agent" and (whole.tokens_in, whole.tokens_out, whole.turns) == (
        300,
        50,
        10,
    )
    half = profile("judge", processor, 2500)
    assert half.name == "judge/2000" and half.tokens_in == 2000
    assert profile("agent", processor, 800).name == "agent/75x5"  # a char is a token here
    with pytest.raises(Usage, match="does not fit"):
        profile("prose", processor, 60)
    with pytest.raises(Usage, match="prose, judge, record, agent"):
        profile("poem", processor, 100)


def test_warm_texts_differ_at_their_end_only(processor: Processor) -> None:
    chosen = profile("prose", processor, 100_000)
    (one,), (two,) = sessions(chosen, processor, "a", 2, warm=True)
    assert one != two and one[:-8] == two[:-8]
    (one,), (two,) = sessions(chosen, processor, "a", 2, warm=False)
    assert one[:6] != two[:6]
    with pytest.raises(Usage, match="prose/10 is too small for this model"):
        sessions(chosen._replace(name="prose/10", tokens_in=10), processor, "a", 1, warm=False)


def test_filled_texts_have_the_wanted_length() -> None:
    words = filled(lambda text: len(text.split()), 40, "head", "tail")
    assert len(words.split()) == 40 and words.startswith("head ") and words.endswith(" tail")
    assert filled(len, 3, "far too long already") == "far too long already"


def test_the_knee_is_the_least_level_near_the_best() -> None:
    rates = {1: 10.0, 2: 19.0, 4: 20.0, 8: 20.5}
    rows = [
        {"in_flight": n, "cache": "cold", "calls_per_s": {"median": r}} for n, r in rates.items()
    ]
    warm = {"in_flight": 1, "cache": "warm", "calls_per_s": {"median": 99.0}}
    assert throughput_runs.knee([*rows, warm]) == 2


def test_results_are_written_and_drawn(figures: dict[str, Any], tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    made, drawn = tmp_path / "made.json", tmp_path / "made.png"
    results.deliver("throughput", figures, print, as_json=True, output=made, plot=drawn)
    written = results.read(made)
    assert written["bench"] == "throughput" and written["quick"]
    assert drawn.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize("values", [(0.45, 0.55), (0.0163, 0.694), (0.146, 1.53), (1e-3, 9e3)])
def test_axes_have_numbers_to_read_by(values: tuple[float, float]) -> None:
    matplotlib_figure = pytest.importorskip("matplotlib.figure")
    rows = [
        {"cache": "cold", "in_flight": level, "rate": {"median": value, "each": [value]}}
        for level, value in zip((1, 64), values, strict=True)
    ]
    axes = matplotlib_figure.Figure().add_subplot()
    _rising(axes, [{"name": "prose/128", "rows": rows}], "rate", "nlops/s")
    low, high = axes.get_ylim()
    told = [text.get_text().replace(",", "") for text in axes.get_yticklabels()]
    assert low <= values[0] and values[1] <= high and 2 <= len(told) <= 12
    assert [float(text) for text in told] == pytest.approx(list(axes.get_yticks()))
    assert [text.get_text() for text in axes.get_xticklabels()] == ["1", "64"]


def test_the_command_has_its_options() -> None:
    told = CliRunner().invoke(throughput.app, ["--help"], env={"COLUMNS": "120"}).output
    options = ("--engine", "--model", "--profile", "--quick", "--json", "--output", "--plot")
    assert all(option in told for option in options)


@pytest.mark.parametrize(
    "words", [("--output", "no/where.json"), ("--output", "."), ("--plot", "a.txt")]
)
def test_files_that_cannot_be_written_are_told_before_the_measurement(
    words: tuple[str, str],
) -> None:
    ended = CliRunner().invoke(throughput.app, ["--engine", "http://127.0.0.1:1", *words])
    assert isinstance(ended.exception, Usage) and words[1] in str(ended.exception)


def test_what_cannot_be_measured_is_told() -> None:
    with pytest.raises(Usage, match="'scripted' cannot be measured"), target("scripted", None):
        pass


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(300)
def test_lengths_are_forced_on_the_embedded_processor() -> None:
    plan = throughput_runs.Plan((2,), 1, 520, 4, every=False)
    with target("local", None) as found:
        figures = throughput_runs.measure(found, tuple(PROFILES), plan, quick=True)
    for each in figures["profiles"]:
        cold = each["rows"][0]
        out = cold["completion_tokens_per_call"]
        if each["name"].startswith("judge"):
            assert out <= 2
        elif each["name"].startswith("record"):
            assert each["tokens_out"] / 2 <= out <= 2 * each["tokens_out"]
        else:
            assert out == each["tokens_out"]
        if each["turns"] == 1:
            assert cold["prompt_tokens_per_call"] == each["tokens_in"]
    assert ROWS == 8
