"""What Python code can get wrong: each mistake is one sentence, and a short traceback."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Any

import pytest

from nlpu.errors import NlpuError, Unreachable, Usage
from nlpu.printing import one_line
from runtime import Computer

MOST_LINES = 20


def nothing() -> str:
    """A program that asks no model."""
    return "done"


def refused(*args: Any, **settings: Any) -> NlpuError:
    """What a computer that is made so raises, at the latest when it opens its processors."""
    with pytest.raises(NlpuError) as caught, Computer(*args, **settings) as computer:
        computer.run(nothing)
    return caught.value


def test_a_model_may_be_a_path(tmp_path: Path) -> None:
    file = tmp_path / "x.gguf"
    said = str(refused(model=file))
    assert (
        said
        == str(refused(model=str(file)))
        == f"there is no file or folder {file}: check the path"
    )
    file.write_bytes(b"no model")
    assert str(file) in str(refused("local", model=file))


@pytest.mark.parametrize("model", [5, b"x.gguf", True, 0, "", " ", [], Path])
def test_a_model_that_is_no_name_is_bad_usage(model: Any) -> None:
    error = refused(model=model)
    assert isinstance(error, Usage) and repr(model) in str(error)
    assert "by its name or its path" in str(error)


@pytest.mark.parametrize(
    ("args", "settings"),
    [
        ((), {"model": "smolm"}),
        ((), {"model": "/nowhere/x.gguf"}),
        (("gpu",), {}),
        (("http://127.0.0.1:9",), {}),
    ],
)
def test_a_deliberate_error_has_a_short_traceback(args: Any, settings: Any) -> None:
    told = "".join(traceback.format_exception(refused(*args, **settings)))
    assert told.count("Traceback") == 1 and len(told.splitlines()) < MOST_LINES, one_line(told)


def test_a_cause_that_says_more_is_kept(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    error = refused("scripted", run_dir=tmp_path / "file" / "runs")
    assert isinstance(error.__cause__, OSError)
    unreachable = refused("http://127.0.0.1:9")
    assert isinstance(unreachable, Unreachable) and unreachable.__cause__ is None
