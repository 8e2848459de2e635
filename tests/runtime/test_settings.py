"""Settings: what stands over what, where each value comes from, and what they are for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from settings_kit import LAYERS, URL, place, put, value
from terminal_fixture import ROOT, Terminal, environment, fault_server, nlpu

from nlpu import Budget, op
from nlpu.errors import BudgetExceeded, Usage
from nlpu.runtime import Computer
from nlpu.runtime.bench.results import processor
from nlpu.runtime.settings import BUILT_IN, NAMES, Settings, read
from nlpu.runtime.terminal.options import settings
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu", "place"]  # fixtures


# -- precedence --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_each_source_stands_over_those_below(
    name: str, place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    in_file, in_environment, given = LAYERS[name]
    option, variable = "--" + name.replace("_", "-"), f"NLPU_{name.upper()}"
    found = settings()
    assert (getattr(found, name), found.origin(name)) == (getattr(Settings(), name), BUILT_IN)
    file = put(place, f"{name} = {in_file!r}")
    found = settings()
    wanted = place / in_file if name in ("store", "run_dir", "sheets") else value(name, in_file)
    assert (getattr(found, name), found.origin(name)) == (wanted, f"nlpu.toml: {file}:{name}")
    monkeypatch.setenv(variable, in_environment)
    found = settings()
    assert getattr(found, name) == value(name, in_environment)
    assert found.origin(name) == f"environment: {variable}"
    found = settings(**{name: given})
    assert getattr(found, name) == value(name, given)
    assert found.origin(name) == f"command line: {option}"
    monkeypatch.setenv(variable, "")  # empty: not set
    assert settings(**{name: None}).origin(name).startswith("nlpu.toml: ")


def test_the_nearest_file_counts_and_home_is_the_last_looked_in(
    place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(tmp_path, "calls = 1\nnlops = 9")
    monkeypatch.chdir(place / "deep")
    assert read().calls == 1
    put(place, "calls = 2")
    assert (read().calls, read().nlops) == (2, None), "files are not laid over each other"
    put(place / "deep", "calls = 3")
    assert read().calls == 3
    (place / "deep" / "nlpu.toml").unlink()
    monkeypatch.setenv("HOME", str(place / "deep"))
    assert read() == Settings(), "above the home directory nobody looks"


def test_paths_of_a_file_are_relative_to_it(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place, "run_dir = 'kept/runs'\nstore = '~/pages'\nmodel = './mine.gguf'")
    monkeypatch.chdir(place / "deep")
    found = read()
    assert found.run_dir == place / "kept" / "runs" and found.store == place.parent / "pages"
    assert found.model == str(place / "mine.gguf")
    put(place, "model = 'deep/mine.gguf'")
    assert read().model == "deep/mine.gguf", "a name on a hub may look like a path"
    (place / "deep" / "mine.gguf").touch()
    assert read().model == str(place / "deep" / "mine.gguf")


def test_a_model_goes_with_its_engine(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(place, f"engine = '{URL}'\nmodel = 'large'")
    assert settings(engine=URL).model == "large"
    other = settings(engine="scripted")
    assert other.model is None and other.origin("model") == BUILT_IN
    assert settings(engine="local", model="small").model == "small"
    assert processor(None, None) == processor(URL, None) == (URL, "large")
    assert processor("vllm", None) == ("vllm", None)
    monkeypatch.setenv("NLPU_ENGINE", "local")
    assert read().model is None
    monkeypatch.setenv("NLPU_MODEL", "tiny")
    assert (read().model, processor(None, None)) == ("tiny", ("local", "tiny"))


def test_a_working_directory_that_is_gone_has_no_file(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(place / "deep")
    (place / "deep").rmdir()
    assert read() == Settings()


# -- what they are for -------------------------------------------------------------------------


def test_a_run_is_made_as_it_is_set(nlpu: Terminal, place: Path) -> None:
    put(place, "engine = 'scripted'\nrun_dir = 'kept'\ncalls = 5\nprice = '1,1000000'")
    told = nlpu("run", "ask", "Hi", "--json").json
    header = nlpu("show", told["run_id"], "--json").json["header"]
    assert (header["engine"], header["budget"]["calls"]) == ("scripted", 5)
    assert told["receipt"]["money"] > 0 and list((place / "kept").glob("*.db"))
    assert nlpu("repl", stdin="Hi\n").code == 0
    session = nlpu("runs", "--json").json[0]["id"]
    assert nlpu("show", session, "--json").json["header"]["budget"]["calls"] == 5


def test_a_resumed_run_is_as_it_was_begun(nlpu: Terminal, place: Path) -> None:
    with fault_server("--not-vllm", "--model", "one", "--model", "two") as url:
        put(place, f"engine = '{url}'\nmodel = 'two'\ncalls = 1")
        (place / "p.py").write_text(
            "from nlpu import op\ndef go():\n    return op('More')(op('Say')('it'))\n"
        )
        begun = nlpu("run", "p.py:go", "--json")
        name = begun.json["run_id"]
        assert begun.code == 3
        put(place, "engine = 'scripted'\ncalls = 100\nprice = '1,1'")
        ended = nlpu("resume", name, "--json")
        assert ended.code == 3 and "budget of 1 calls" in ended.err
        done = nlpu("resume", name, "--calls", "9", "--json")
        assert done.code == 0 and done.json["receipt"]["money"] == 0
        again = nlpu("run", "--from", name, "--json").json
        header = nlpu("show", again["run_id"], "--json").json["header"]
        assert (header["engine"], header["model"], header["budget"]["calls"]) == (url, "two", 100)
    (identity,) = header["processors"].values()
    assert identity.startswith("two|")
    assert nlpu("replay", name, "--json").json["receipt"]["calls"] == 0


def test_a_resumed_session_is_as_it_was_begun(nlpu: Terminal, place: Path) -> None:
    put(place, "engine = 'scripted'\ncalls = 2")
    nlpu("repl", stdin="One\n")
    put(place, f"engine = '{URL}'\ncalls = 9")
    ended = nlpu("repl", "--resume", "last", stdin="Two\nThree\n")
    assert ended.code == 3 and "budget of 2 calls" in ended.err
    first = nlpu("runs", "--json").json[0]["id"]
    put(place, "engine = 'scripted'\ncalls = 1")
    ended = nlpu("repl", stdin=f"One\nresume {first}\nThree\n")
    assert ended.code == 3 and "budget of 2 calls" in ended.err
    assert nlpu("repl", "--resume", first, "--calls", "9", stdin="Three\n").code == 0


def test_seconds_count_from_each_start_anew(nlpu: Terminal, place: Path) -> None:
    put(place, "seconds = 0.3")
    with fault_server("--rate", "no_answer=1") as url:
        name = nlpu("run", "ask", "Hi", "--engine", url, "--json").json["run_id"]
        told = nlpu("resume", name, "--json").json
    assert told["error"]["type"] == "DeadlineExceeded"


def test_programs_take_the_store_that_is_set(nlpu: Terminal, place: Path) -> None:
    body = "def go(word: str, store: str = '.nlpu/memory'): return [word, store]\n"
    (place / "p.py").write_text(body)
    words = ("run", "p.py:go", "a", "--engine", "scripted", "--json")
    assert nlpu(*words).json["result"] == ["a", ".nlpu/memory"]
    put(place, "store = 'pages'")
    told = nlpu(*words).json
    assert told["result"] == ["a", str(place / "pages")]
    assert nlpu(*words[:3], "b", *words[3:]).json["result"] == ["a", "b"]
    put(place, "store = 'other'")
    assert nlpu("replay", told["run_id"], "--json").json["result"] == told["result"]
    (place / "p.py").write_text(body.replace(".nlpu/memory", ""))
    assert nlpu(*words).json["result"] == ["a", ""], "a program that needs none is given none"
    assert str(place / "other") in nlpu("memory", "stats").err


def test_a_computer_without_an_engine_is_as_it_is_set(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with fault_server("--not-vllm", "--model", "one", "--model", "two", "--api-key", "k") as url:
        put(place, f"engine = '{url}'\nmodel = 'two'")
        monkeypatch.setenv("NLPU_API_KEY", "k")
        with Computer() as computer:
            assert computer.processors["main"].capabilities.model == "two"
        with Computer(model="one") as computer:
            assert computer.processors["main"].capabilities.model == "one"
        with Computer("scripted") as computer:
            assert computer.processors["main"].capabilities.model != "two"


def test_reading_is_quick_and_light(place: Path) -> None:
    put(place, "\n".join(f"{name} = {raw[0]!r}" for name, raw in LAYERS.items()))
    code = (
        "import sys, time, tomllib; from nlpu.runtime.settings import read; read()\n"
        "took = []\n"
        "for _ in range(20):\n"
        "    began = time.process_time(); read(); took.append(time.process_time() - began)\n"
        "print([m for m in ('nlpu.ops.op', 'typer', 'pydantic') if m in sys.modules], min(took))"
    )
    ended = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=place,
        env=environment(PYTHONPATH=str(ROOT)),
    )
    loaded, _, seconds = ended.stdout.rpartition(" ")
    assert loaded == "[]" and float(seconds) < 0.002


def test_a_computer_without_an_engine_holds_the_price_and_the_limits_too(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(place, "engine = 'scripted'\nprice = [1e6, 1e6]\nmoney = 1000\ncalls = 2\nrun_dir = 'r'")
    ask = op("Is it?", bool)

    def three() -> Any:
        return [ask(f"{number}").value for number in range(3)]

    with Computer() as computer:
        run = computer.run(three)
        assert isinstance(run.error, BudgetExceeded) and run.receipt.money > 0
        assert computer.run(three, budget=Budget()).error is None, "limits of its own"
        with pytest.raises(BudgetExceeded):
            [*computer.map(three, [()])]
    monkeypatch.setenv("NLPU_CALLS", "9")
    with Computer() as computer:
        assert len(computer.run(three).result) == 3
    put(place, "engine = 'scripted'\nmoney = 100")
    with Computer() as computer, pytest.raises(Usage, match=r"of 100.0 money needs prices"):
        computer.run(three)
    with Computer(Scripted("yes")) as computer:
        assert computer.run(three).error is None, "given an engine, it is as it is written"
