"""stdout, arguments and files where the locale is not UTF-8: nothing fails, nothing is lost."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, environment

TEXT = "café 中 😀"
PROGRAM = f"STREAMS = True\ndef go(text: str = {TEXT!r}) -> str:\n    return text\n"
ASCII = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
HOSTS: list[tuple[dict[str, str], bytes]] = [
    ({"PYTHONIOENCODING": "latin-1"}, b"caf\xe9 \\u4e2d \\U0001f600\n"),
    ({"PYTHONIOENCODING": "ascii"}, b"caf\\xe9 \\u4e2d \\U0001f600\n"),
    ({"PYTHONIOENCODING": "cp1252:strict"}, b"caf\xe9 \\u4e2d \\U0001f600\n"),
    (ASCII, b"caf\\xe9 \\u4e2d \\U0001f600\n"),
    ({"LC_ALL": "C"}, f"{TEXT}\n".encode()),
]


def nlpu(
    place: Path, host: dict[str, str], *words: str, stdin: bytes = b""
) -> subprocess.CompletedProcess[bytes]:
    done = subprocess.run(
        [*COMMAND, *words],
        cwd=place,
        env=environment(**host),
        input=stdin,
        capture_output=True,
        check=False,
    )
    assert b"Traceback" not in done.stderr and done.returncode == 0, done.stderr
    return done


@pytest.mark.parametrize(("host", "out"), HOSTS)
def test_what_stdout_has_no_sign_for_is_escaped_and_said(
    tmp_path: Path, host: dict[str, str], out: bytes
) -> None:
    (tmp_path / "p.py").write_text(PROGRAM, "utf-8")
    done = nlpu(tmp_path, host, "run", "p.py:go", "--engine", "scripted")
    assert done.stdout == out
    noted = b"which cannot write all of this: the rest is escaped" in done.stderr
    assert noted == (b"\\u4e2d" in out)


@pytest.mark.parametrize("host", [host for host, _ in HOSTS])
def test_json_says_all_of_it_in_any_encoding(tmp_path: Path, host: dict[str, str]) -> None:
    (tmp_path / "p.py").write_text(PROGRAM, "utf-8")
    done = nlpu(tmp_path, host, "run", "p.py:go", "--engine", "scripted", "--json")
    told = json.loads(done.stdout)
    assert told["result"] == TEXT
    again = nlpu(tmp_path, host, "replay", told["run_id"], "--json")
    assert json.loads(again.stdout)["result"] == TEXT
    nlpu(tmp_path, host, "runs")
    nlpu(tmp_path, host, "show", told["run_id"])


@pytest.mark.parametrize(("host", "out"), HOSTS)
def test_words_and_lines_are_utf8_whatever_the_locale(
    tmp_path: Path, host: dict[str, str], out: bytes
) -> None:
    (tmp_path / "p.py").write_text(PROGRAM, "utf-8")
    words = ("run", "p.py:go", f"text={TEXT}!", "--engine", "scripted", "--json")
    assert json.loads(nlpu(tmp_path, host, *words).stdout)["result"] == f"{TEXT}!"
    line = f"run p.py:go 'text={TEXT}'\r\n".encode()
    assert out in nlpu(tmp_path, host, "repl", "--engine", "scripted", stdin=line).stdout


def test_lines_that_are_not_utf8_are_named(tmp_path: Path) -> None:
    done = subprocess.run(
        [*COMMAND, "repl", "--engine", "scripted"],
        cwd=tmp_path,
        env=environment(),
        input=b"caf\xe9\n",
        capture_output=True,
        check=False,
    )
    assert done.returncode == 2
    assert b"stdin is not UTF-8 text (byte 3 is 0xe9); convert it first" in done.stderr


SURROGATES = """
def fails(): raise ValueError("bad \\udcff text")
def gives(): return ["bad \\udcff text", 1e999]
"""


def test_what_no_encoding_has_is_written_as_json_has_it(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(SURROGATES)
    done = nlpu(tmp_path, {}, "run", "p.py:gives", "--engine", "scripted", "--json")
    told = json.loads(done.stdout)
    assert told["status"] == "done" and told["result"] == ["bad \udcff text", "Infinity"]
    again = nlpu(tmp_path, {}, "replay", told["run_id"], "--json")
    assert json.loads(again.stdout)["result"] == told["result"]
    plain = nlpu(tmp_path, {}, "run", "p.py:gives", "--engine", "scripted")
    assert b"PYTHONIOENCODING" not in plain.stderr  # that would not help


def test_a_failed_run_is_failed_whatever_its_error_says(tmp_path: Path) -> None:
    (tmp_path / "p.py").write_text(SURROGATES)
    words = ("run", "p.py:fails", "--engine", "scripted", "--json")
    done = subprocess.run(
        [*COMMAND, *words], cwd=tmp_path, env=environment(), capture_output=True, check=False
    )
    told = json.loads(done.stdout)
    assert (done.returncode, told["status"]) == (1, "failed")
    assert "raised ValueError: bad \udcff text" in told["error"]["message"]
    assert b"done and kept" not in done.stderr
    shown = json.loads(nlpu(tmp_path, {}, "show", told["run_id"], "--json").stdout)
    assert shown["status"] == "failed" and "bad \udcff text" in shown["error"]["message"]
