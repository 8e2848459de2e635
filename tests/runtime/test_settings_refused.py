"""Settings that are refused: in a file, in the environment, and truths in the place of numbers."""

from __future__ import annotations

import inspect
import os
import re
from pathlib import Path
from typing import Any

import pytest
from settings_kit import URL, place, put
from terminal_fixture import Terminal, nlpu

from nlpu import Budget, Limits
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.engines.vllm.server import VllmServer
from nlpu.errors import Usage
from nlpu.runtime import Computer
from nlpu.runtime.settings import Settings, read
from nlpu.testing.scripted import Scripted

__all__ = ["nlpu", "place"]  # fixtures
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
