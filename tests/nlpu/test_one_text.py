"""One content has one text, in all processes; what would not read back as it was is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import computer, execute
from pydantic import BaseModel, Field, PrivateAttr, Secret, SecretStr

from nlpu import lift
from nlpu.errors import BadOp, BadOperand
from nlpu.testing.scripted import Scripted
from nlpu.types.json_text import canonical, normal
from nlpu.types.result import result_type

SECRETS = [SecretStr, list[SecretStr], dict[str, SecretStr], Secret[int], list[Secret[date]]]


@pytest.mark.parametrize("kind", [*SECRETS, Any, None])
def test_secrets_and_what_says_nothing_are_no_types(kind: Any) -> None:
    with pytest.raises(BadOp):
        result_type(kind)


SETS = """
import sys
from typing import Annotated
from nlpu import lift, nlop
from nlpu.testing.scripted import Scripted
from pydantic import BaseModel
from nlpu.runtime import Computer
from nlpu.runtime.drivers.driver import driver

class Tags(BaseModel):
    tags: set[str]

@nlop
def extract(text: str) -> Tags:
    '''Extract tags.'''

@nlop
def use(tags: Tags) -> str:
    '''Use tags.'''

@driver(effect="read", roles={"tags": "content"})
def look(tags: Annotated[set[str], frozenset({"told", "of", "the", "type"})]) -> set[str]:
    '''Look.'''
    return {*tags, "more"}

def program():
    tags = extract("a coat")
    made = lift(lambda found: {"in": found.tags | {"x", "y", "z"}})(tags)
    return use(tags).value, look({"q", "w", "e", "r"}).value, made.value, use(Tags(tags={"k", "j"}))

model = Scripted({"Extract": '{"tags":["red","green","blue","tall"]}', "Use": "fine"})
with Computer(model, run_dir=sys.argv[1]) as machine:
    name = sys.argv[2]
    run = machine.resume(name, program, replay=True) if name else machine.start(program)
    run.wait()
    assert run.error is None, run.error
    print(run.name)
"""


def test_sets_have_one_order_in_all_processes(tmp_path: Path) -> None:
    script = tmp_path / "sets.py"
    script.write_text(SETS)
    name = ""
    for seed in ("1", "2", "3"):
        ended = subprocess.run(
            [sys.executable, str(script), str(tmp_path / "runs"), name],
            text=True,
            capture_output=True,
            env=os.environ | {"PYTHONHASHSEED": seed},
            check=False,
        )
        assert ended.returncode == 0, ended.stderr[-500:]
        name = name or ended.stdout.strip()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.integers(0, 3), st.booleans())
def test_normalising_changes_no_value_and_is_done_once(
    value: Any, indent: int, ascii: bool
) -> None:
    text = json.dumps(value, indent=indent or None, ensure_ascii=ascii)
    if "Infinity" in text:
        return
    once = normal(text)
    assert json.loads(once) == value and normal(once) == once


@given(st.recursive(st.integers() | st.text(), lambda i: st.frozensets(i, max_size=4)))
def test_the_canonical_text_depends_on_the_content_alone(content: Any) -> None:
    shuffled = (
        frozenset(sorted(content, key=repr, reverse=True))
        if isinstance(content, frozenset)
        else content
    )
    assert canonical([content]) == canonical([shuffled])


def test_a_lifted_function_may_give_sets_within_others() -> None:
    with computer(Scripted()) as machine:
        run = machine.start(lift(lambda: {"a": {3, 1, 2}}))
        run.wait()
    assert run.result == {"a": {1, 2, 3}}, run.error


class Partly(BaseModel):
    """Has what no JSON of it says."""

    number: int
    raw: str = Field(default="", exclude=True)
    _seen: str = PrivateAttr(default="")


class Kept(BaseModel):
    key: SecretStr


def _private() -> Partly:
    made = Partly(number=1)
    made._seen = "first"
    return made


@pytest.mark.parametrize(
    "make",
    [
        lambda: Partly(number=1, raw="first"),
        _private,
        lambda: {"a": [Partly(number=1, raw="first")]},
        lambda: (Kept(key=SecretStr("one")),),
    ],
)
def test_what_a_lift_gives_reads_back_as_it_was(make: Callable[[], Any]) -> None:
    run = execute(lambda: lift(make)().value, engine=Scripted("x"))
    assert type(run.error) is BadOperand and "reads back as another value" in str(run.error)
    run = execute(lambda: lift(lambda: [Partly(number=1)])().value, engine=Scripted("x"))
    assert run.error is None and run.result == [Partly(number=1)]
