"""Settings: what stands over what, where each value comes from, and what is refused."""

from __future__ import annotations

import inspect
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import ROOT, Terminal, environment, fault_server, nlpu

from nlpu import Budget, Limits, op
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.engines.vllm.server import VllmServer
from nlpu.errors import BudgetExceeded, Usage
from nlpu.runtime import Computer
from nlpu.runtime.bench.results import processor
from nlpu.runtime.settings import BUILT_IN, NAMES, Settings, read
from nlpu.runtime.terminal.options import settings
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu"]  # a fixture
URL = "http://127.0.0.1:1"
LAYERS: dict[str, tuple[Any, Any, Any]] = {  # in the file, in the environment, given
    "engine": ("scripted", URL, "local"),
    "model": ("one", "two", "three"),
    "store": ("pages", "elsewhere", Path("here")),
    "run_dir": ("kept", "elsewhere", Path("here")),
    "sheets": ("measured", "../theirs", "mine/sheet.json"),
    "price": ([1, 2], "3,4,5", "0,0.5"),
    "calls": (10, "20", 30),
    "nlops": (1.5, "2.5", 3.5),
    "tokens": (100, "200", 300),
    "money": (1, "2.5", 0.01),
    "seconds": (60, "1e3", 0.1),
    "at_once": (10, "20", 30),
}


@pytest.fixture
def place(nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in a home of its own, with nothing set."""
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "work" / "deep").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    return tmp_path / "work"


def put(folder: Path, text: str) -> Path:
    """A file of settings; gives its path."""
    (folder / "nlpu.toml").write_text(text)
    return folder / "nlpu.toml"


def value(name: str, raw: Any) -> Any:
    """A raw value of the table as it is read."""
    if name == "price":
        parts = raw.split(",") if isinstance(raw, str) else raw
        first, *_, last = map(float, parts)
        return (first, float(parts[-2]), last)
    if name in ("store", "run_dir", "sheets"):
        return Path(raw)
    return type(LAYERS[name][2])(raw)


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


# -- what is refused ---------------------------------------------------------------------------

BAD = {
    "modle = 'x'": "'modle' is no setting; did you mean model? (it may name engine, model, store",
    "[tool]\ncalls = 1": "'tool' is no setting (it may name",
    "api_key = 'sesame'": "looks like a secret, which belongs in NLPU_API_KEY, never in a file",
    "openai-key = 'sesame'": "looks like a secret",
    "engine = 'gpu'": "scripted, or a server's URL: http://...; not 'gpu'",
    "engine = 3": "engine must be local, transformers, scripted",
    "engine = ''": "engine must be local, transformers, scripted",
    "engine = 'http://me:sesame@host'": "put the key in NLPU_API_KEY",
    "engine = 'http://a:1,http://me:sesame@host'": "put the key in NLPU_API_KEY",
    "engine = 'http://a:1/v1, me:sesame@host'": "put the key in NLPU_API_KEY",
    "engine = 'http://me:ses,ame@host/v1'": "put the key in NLPU_API_KEY",
    "model = []": "model must be the name or the directory of a model; not []",
    "model = ''": "model must be the name",
    "store = 1": "store must be a directory, or a database: postgresql://USER@HOST/NAME; not 1",
    "store = ''": "store must be a directory",
    'run_dir = "a\\u0000b"': "run_dir must be a directory",
    "price = 1": "price must be IN,OUT or IN,CACHED,OUT, such as 0.15,0.60; not 1",
    "price = '1,x'": "price must be IN,OUT",
    "price = [1, -2]": "price must be IN,OUT",
    "calls = 2.5": "calls must be a whole number more than 0 (leave it out for no limit); not 2.5",
    "calls = true": "calls must be a whole number",
    "calls = '5'": "more than 0 (leave it out for no limit), without quotes; not '5'",
    "calls = 0": "calls must be a whole number more than 0",
    "nlops = nan": "nlops must be a number more than 0 (leave it out for no limit); not nan",
    "nlops = inf": "nlops must be a number",
    f"seconds = 1{'0' * 400}": "seconds must be a number",
    "calls = 1\ncalls = 2": "is not TOML: Cannot overwrite a value",
    "calls : 1": "is not TOML: Expected '='",
    f"calls = {'[' * 9999}": "is not TOML: ",
}


@pytest.mark.parametrize("text", BAD, ids=lambda text: ascii(text)[:24])
def test_each_mistake_in_a_file_is_one_line(text: str, place: Path, nlpu: Terminal) -> None:
    file, message = put(place, text), BAD[text]
    ended = nlpu("run", "ask", "Hi", "--dry")
    assert ended.code == 2 and ended.err.count("\n") == 1, ended
    assert f"error: {file}" in ended.err and message in ended.err, ended.err
    assert "sesame" not in ended.err


def test_a_file_may_begin_with_the_mark_that_some_editors_write(place: Path) -> None:
    (place / "nlpu.toml").write_bytes(b"\xef\xbb\xbfcalls = 7\n")
    assert read().calls == 7


def test_files_that_cannot_be_read(place: Path) -> None:
    (place / "nlpu.toml").write_bytes(b"model = '\xff'")
    with pytest.raises(Usage, match="is not TOML: 'utf-8' codec"):
        read()
    (place / "nlpu.toml").unlink()
    (place / "nlpu.toml").mkdir()
    assert read() == Settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission(place: Path) -> None:
    put(place, "").chmod(0)
    with pytest.raises(Usage, match="cannot be read: Permission denied"):
        read()


@pytest.mark.skipif(os.geteuid() != 0, reason="root alone can give files away")
def test_a_strangers_file_in_a_place_for_everybody_is_not_obeyed(place: Path) -> None:
    file = put(place, f"engine = '{URL}'")
    os.chown(file, 12345, -1)
    assert read().engine == URL, "a mounted directory may have another owner"
    place.chmod(0o1777)
    with pytest.raises(Usage, match="is another user's"):
        read()
    os.chown(file, 0, -1)
    assert read().engine == URL


@pytest.mark.parametrize(
    ("variable", "raw", "message"),
    [
        ("NLPU_CALLS", "many", "NLPU_CALLS must be a whole number more than 0"),
        ("NLPU_NLOPS", "-1", "NLPU_NLOPS must be a number more than 0"),
        ("NLPU_SECONDS", "nan", "NLPU_SECONDS must be a number"),
        ("NLPU_ENGINE", "vllm", "NLPU_ENGINE must be local, transformers, scripted"),
        ("NLPU_ENGINE", "https://me:sesame@host/v1", "put the key in NLPU_API_KEY"),
        ("NLPU_ENGINE", "http://a:1,https://me:sesame@b:2", "put the key in NLPU_API_KEY"),
        ("NLPU_MODEL", " ", "NLPU_MODEL must be the name"),
        ("NLPU_PRICE", "1", "NLPU_PRICE must be IN,OUT"),
    ],
)
def test_each_mistake_in_the_environment_is_one_line(
    variable: str, raw: str, message: str, nlpu: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, raw)
    ended = nlpu("run", "ask", "Hi", "--dry")
    assert ended.code == 2 and ended.err.count("\n") == 1 and "sesame" not in ended.err
    assert ended.err.startswith("error: ") and message in ended.err


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


# -- truths are no numbers ---------------------------------------------------------------------

NUMERIC = {
    Budget: (),
    Limits: (),
    Scripted: (),
    EmbeddedEngine: (),
    HttpEngine: (URL,),
    VllmServer: ("m",),
    TransformersEngine: (".",),
    Computer: (Scripted(),),
}
PLACES = [
    (made, name)
    for made in NUMERIC
    for name, place in inspect.signature(made).parameters.items()
    if re.search(r"\b(int|float)\b", str(place.annotation))
]


@pytest.mark.parametrize(("made", "name"), PLACES, ids=str)
def test_a_truth_is_no_number(made: Any, name: str) -> None:
    with pytest.raises(Usage, match=r"True (\w+ )?is none|not '?True'?"):
        made(*NUMERIC[made], **{name: True})


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
