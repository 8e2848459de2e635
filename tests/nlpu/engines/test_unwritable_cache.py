"""A cache that cannot be written only costs time: the default model answers without it."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from terminal_fixture import COMMAND, environment

from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart

pytestmark = pytest.mark.local
try:
    installed_model(None)
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)


@pytest.fixture
def homeless(tmp_path: Path) -> dict[str, str]:
    """The environment of a user without a home, whose temporary directory is the test's."""
    (tmp_path / "tmp").mkdir()
    homes = ("XDG_CACHE_HOME", "XDG_STATE_HOME")
    return environment(HOME="/dev/null", TMPDIR=str(tmp_path / "tmp"), **dict.fromkeys(homes, ""))


def ended(command: list[str], place: Path, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=place, check=False)


def test_a_run_and_its_replay_need_no_cache(tmp_path: Path, homeless: dict[str, str]) -> None:
    run = ended([*COMMAND, "run", "ask", "Hi", "--json"], tmp_path, homeless)
    assert run.returncode == 0, run.stderr
    told = json.loads(run.stdout)
    again = ended([*COMMAND, "replay", told["run_id"], "--trust", "--json"], tmp_path, homeless)
    assert json.loads(again.stdout)["result"] == told["result"]
    assert "Traceback" not in again.stderr
    assert not list((tmp_path / "tmp").glob("nlpu-*"))


def test_nor_does_a_tokenizer_that_has_to_be_asked(
    tmp_path: Path, homeless: dict[str, str]
) -> None:
    code = (
        "from nlpu.engines.embedded.vocabulary import vocabulary\n"
        "from nlpu.engines.models import installed_model\n"
        "home, asked = vocabulary(installed_model(None), lambda text, special: [7])\n"
        "print(asked.encode('a'), (home / 'tokenizer.json').exists())\n"
    )
    done = ended([sys.executable, "-c", code], tmp_path, homeless)
    assert done.stdout == "[7] False\n", done.stderr


def test_without_any_place_the_cache_is_named(tmp_path: Path, homeless: dict[str, str]) -> None:
    code = (
        "import tempfile\n"
        "from nlpu.engines.embedded.vocabulary import tokenizer_files\n"
        "from nlpu.engines.models import installed_model\n"
        "tempfile.tempdir = '/dev/null'\n"
        "tokenizer_files(installed_model(None))\n"
    )
    done = ended([sys.executable, "-c", code], tmp_path, homeless)
    assert "StorageFailed: /dev/null" in done.stderr and "NLPU_CACHE" in done.stderr
