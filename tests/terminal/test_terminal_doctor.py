"""``nlpu doctor``: what works, what can be had and how, what is set by whom."""

from __future__ import annotations

import os
import shlex
from dataclasses import replace
from pathlib import Path

import pytest
from terminal_fixture import Terminal, fault_server, nlpu

from nlpu.engines.models import DEFAULT_MODEL, known_models
from nlpu.runtime.settings import NAMES, Settings
from nlpu.runtime.terminal.doctor import report
from nlpu.runtime.terminal.doctor_checks import (
    Check,
    _disk,
    _engine,
    declared_here,
    extras,
    how_to_install,
    packages,
    version_here,
)

__all__ = ["nlpu"]  # a fixture
DECLARED = [
    "aiohttp>=3.14",
    "prompt_toolkit>=3.0.53",
    "xllamacpp",
    "chromadb>=1.5.9; extra == 'memory'",
    'numpy>=2.4; python_version >= "3.11" and extra == "memory"',
    'mcp>=2.3; extra == "mcp"',
    'vllm>=0.32; extra == "vllm"',
    'lathe; extra == "new"',
]
BASE = {"aiohttp": "3.14.5", "prompt_toolkit": "3.0.53", "xllamacpp": "0.2"}
MODELS = [
    Check("models", "small", True, "/models/small.gguf", adds="98 MB, Apache-2.0, Somebody"),
    Check("models", "larger", False, "", "nlpu models get larger", "1,117 MB, MIT, Somebody"),
]


def told(installed: dict[str, str]) -> list[str]:
    """The lines of a report on a machine that has these packages."""
    checks = [
        *packages(DECLARED, installed.get),
        Check("base", "local", True, "small"),
        *MODELS,
        *extras(DECLARED, installed.get),
    ]
    lines = []
    for title, section in report(checks, Settings()):
        lines += [title, *(f"  {mark} {line}".rstrip() for mark, line in section)]
    return lines


def test_a_base_install_lacks_nothing() -> None:
    lines = told(BASE)
    assert lines[0] == "this works now, on local (small)"
    assert '   nlpu run ask "What is a loom?"' in lines and "   nlpu repl" in lines
    assert not [line for line in lines if "missing" in line or "error" in line]
    assert "  here small   98 MB, Apache-2.0, Somebody" in lines
    assert "  to have larger  1,117 MB, MIT, Somebody: nlpu models get larger" in lines
    offered = [line for line in lines if "pip install" in line]
    assert [line.split()[2] for line in offered] == ["memory", "mcp", "vllm", "new"]
    for line in offered:
        name = line.split()[2]
        assert line.endswith(f": {how_to_install(name)}")
    assert lines[-3:] == [
        "settings",
        "   engine: local (built in)",
        "   model: the default of its engine (built in)",
    ]


def test_an_extra_that_is_here_is_said_to_be() -> None:
    whole = BASE | {"chromadb": "1.5.9", "numpy": "2.4.6"}
    assert "  here memory  texts that are kept, and found again (nlpu memory)" in told(whole)
    half = extras(DECLARED, (BASE | {"numpy": "2.4.6"}).get)
    (memory,) = (check for check in half if check.name == "memory")
    assert (memory.ok, memory.detail) == (False, "no chromadb")


def test_what_the_base_lacks_comes_first_and_alone() -> None:
    lines = told({"aiohttp": "3.14.5"})
    assert lines[:3] == [
        "no run can be made yet",
        "  missing packages: no prompt_toolkit, xllamacpp: make install",
        "models that need no server (--model NAME)",
    ]


def test_a_command_is_one_that_a_shell_understands() -> None:
    assert how_to_install("mcp") == "pip install -c constraints.txt -e '.[mcp]'"
    assert how_to_install("memory").endswith("-r requirements-embedder.txt")
    assert shlex.split(how_to_install("vllm"))[-1] == "vllm>=0.32"


def test_every_extra_says_what_it_adds() -> None:
    for check in extras(declared_here(), version_here):
        assert check.adds or check.name == "local"


def test_the_whole_report_says_who_set_what(
    nlpu: Terminal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "nlpu.toml"
    file.write_text("engine = 'scripted'\nprice = [1, 2]\nrun_dir = 'kept'")
    monkeypatch.setenv("NLPU_CALLS", "7")
    ended = nlpu("doctor", "--offline", "--run-dir", "here")
    assert ended.code == 0 and ended.err == ""
    assert ended.out.startswith("this works now, on scripted (")
    settings = ended.out.partition("\nsettings\n")[2].splitlines()
    assert settings == [
        f"  engine: scripted (nlpu.toml: {file}:engine)",
        "  model: the default of its engine (built in)",
        "  run_dir: here (command line: --run-dir)",
        f"  price: 1,1,2 (nlpu.toml: {file}:price)",
        "  calls: 7 (environment: NLPU_CALLS)",
    ]
    file.write_text("engin = 'scripted'")
    assert nlpu("doctor").code == 2


def test_json_has_checks_and_settings(nlpu: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NLPU_STORE", "pages")
    with fault_server() as url:
        told = nlpu("doctor", "--engine", url, "--json").json
    checks = {check["name"]: check for check in told["checks"]}
    assert told["ready"] and checks[url]["ok"] and "fault-1" in checks[url]["detail"]
    assert {"python", "packages", "memory", "mcp", "otel", "documents", "vllm"} <= checks.keys()
    assert "pydantic" in checks["packages"]["detail"] and "pexpect" in checks["dev"]["detail"]
    assert all(check["remedy"] for check in told["checks"] if not check["ok"])
    assert {check["group"] for check in told["checks"]} <= {"base", "models", "extras", "servers"}
    assert [name for name in checks if checks[name]["group"] == "models"] == [
        model.name for model in known_models()
    ]
    assert tuple(told["settings"]) == NAMES
    assert told["settings"]["store"] == {"value": "pages", "origin": "environment: NLPU_STORE"}
    assert told["settings"]["engine"] == {"value": url, "origin": "command line: --engine"}


def test_an_engine_that_does_not_answer_is_what_is_wrong(nlpu: Terminal) -> None:
    ended = nlpu("doctor", "--engine", "http://127.0.0.1:9")
    assert ended.code == 1 and "no run can be made yet\n  missing" in ended.out
    assert "Start the server, or fix the URL. Start one: nlpu serve MODEL" in ended.out
    assert nlpu("doctor", "--engine", "http://127.0.0.1:9", "--offline").code == 0
    with fault_server("--not-vllm", "--model", "one", "--model", "two") as url:
        ended = nlpu("doctor", "--engine", url, "--model", "three")
    assert ended.code == 1 and "It serves: one, two" in ended.out


def test_several_servers_are_asked_as_one(nlpu: Terminal) -> None:
    with fault_server() as one, fault_server() as other, fault_server("--model", "two") as odd:
        ended = nlpu("doctor", "--engine", f"{one},{other}")
        assert ended.code == 0 and f"this works now, on {one},{other} (fault-1, window" in ended.out
        ended = nlpu("doctor", "--engine", f"{one},http://127.0.0.1:9")
        assert ended.code == 0 and "1 server of 2 cannot be reached" in ended.out
        ended = nlpu("doctor", "--engine", f"{one},{odd}")
        assert ended.code == 1 and "must be alike" in ended.out
    ended = nlpu("doctor", "--engine", "http://127.0.0.1:9,http://127.0.0.1:10")
    assert ended.code == 1 and "None of 2 is there" in ended.out
    assert "127.0.0.1:9 (" in ended.out and "127.0.0.1:10 (" in ended.out


def test_an_engine_of_an_extra_needs_it_and_a_model() -> None:
    no_torch = extras(['torch; extra == "transformers"'], BASE.get)
    found = _engine(replace(Settings(), engine="transformers"), False, no_torch)
    assert (found.ok, found.detail) == (False, "no torch")
    assert found.remedy == how_to_install("transformers")
    found = _engine(replace(Settings(), engine="transformers"), False, [])
    assert (found.ok, found.detail) == (False, "no model is named")


def test_models_are_looked_for_by_name(nlpu: Terminal) -> None:
    ended = nlpu("doctor", "--offline", "--model", "no-such-model")
    assert ended.code == 1 and "local: there is no model 'no-such-model': known are" in ended.out
    here = nlpu("doctor", "--offline", "--json").json["checks"]
    (embedded,) = (check for check in here if check["name"] == DEFAULT_MODEL)
    (local,) = (check for check in here if check["name"] == "local" and check["group"] == "base")
    assert embedded["ok"] == local["ok"] and "MB, Apache-2.0" in embedded["adds"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_directory_that_cannot_be_written_is_named(nlpu: Terminal, tmp_path: Path) -> None:
    (tmp_path / "locked").mkdir(mode=0o555)
    ended = nlpu("doctor", "--offline", "--engine", "scripted", "--run-dir", "locked")
    assert ended.code == 1 and "locked: " in ended.out and "--run-dir" in ended.out


@pytest.mark.parametrize(
    ("model", "line"),
    [
        ("nonsense", "  missing  local: there is no model 'nonsense': known are "),
        ("./x.gguf", "  missing  local: there is no file or folder ./x.gguf: check the path\n"),
        ("org/x", "  missing  local: org/x is not on this machine: run with --model org/x to"),
    ],
)
def test_a_model_that_is_not_there_is_said_once(nlpu: Terminal, model: str, line: str) -> None:
    ended = nlpu("doctor", "--offline", "--model", model)
    assert ended.code == 1 and line in ended.out
    (check,) = (
        each
        for each in nlpu("doctor", "--model", model, "--json").json["checks"]
        if each["name"] == "local"
    )
    assert check["remedy"] and ": " not in check["detail"]


def test_a_folder_that_was_removed_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    found = _disk(Path(".nlpu/runs"))
    assert not found.ok and "was removed" in found.detail and "--run-dir" in found.remedy
