"""What goes past the labels by accident is warned of where it can be seen, once a place."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from kit import echo, execute
from pydantic import BaseModel

from nlpu import Value, lift, nlop
from nlpu.errors import ProgramError
from nlpu.label import UNTRUSTED
from nlpu.runtime import spawn
from nlpu.runtime.graph.label_gaps import LabelGap
from nlpu.value import current

BAD = Value("bad", UNTRUSTED)


def told(program: Callable[[], Any]) -> list[str]:
    """What a run of it warns of."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("default")
        run = execute(program)
    assert run.error is None, run.error
    assert all(each.category is LabelGap for each in caught)
    return [str(each.message) for each in caught]


# -- caches ---------------------------------------------------------------------------------------


@functools.lru_cache
def module_wide(text: str) -> str:
    return str(echo(Value(text, UNTRUSTED)))


def _plain(text: str) -> str:
    return str(Value(text, UNTRUSTED))


by_another_name = functools.cache(_plain)


class Things:
    @functools.cached_property
    def prop(self) -> str:
        return str(echo(BAD))

    @functools.lru_cache  # noqa: B019 - as people write it
    def method(self, text: str) -> str:
        return str(echo(Value(text, UNTRUSTED)))

    @staticmethod
    @functools.cache
    def static(text: str) -> str:
        return str(echo(Value(text, UNTRUSTED)))


def of_another_library(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def cached(*args: Any) -> Any:
        if args not in kept:
            kept[args] = function(*args)
        return kept[args]

    kept: dict[Any, Any] = {}
    cached.cache = kept  # type: ignore[attr-defined]
    return cached


@of_another_library
def elsewhere(text: str) -> str:
    return str(echo(Value(text, UNTRUSTED)))


CACHED: dict[str, Callable[[str], Any]] = {
    "module_wide": module_wide,
    "_plain": by_another_name,
    "prop": lambda text: Things().prop,
    "method": lambda text: Things().method(text),
    "static": Things.static,
    "elsewhere": elsewhere,
}


@pytest.mark.parametrize("name", CACHED)
def test_a_cache_around_a_reading_is_warned_of(name: str) -> None:
    """The second scope gets what the first has read, and is not lowered by it: the gap itself."""
    labels: list[Any] = []

    def asks() -> None:
        CACHED[name](f"asked {name}")
        labels.append(current().label)

    (said,) = told(lambda: str(spawn(asks)) and "done")
    assert said.startswith(f"{name} reads Values and is cached") and "leave the cache out" in said
    assert labels == [UNTRUSTED]


def test_a_local_cache_is_seen_and_told_once_a_place() -> None:
    @functools.lru_cache
    def local(text: str) -> str:
        def deeper() -> str:
            return str(echo(Value(text, UNTRUSTED)))

        return deeper()

    def program() -> None:
        for text in "abc":
            local(text)

    (said,) = told(program)
    assert said.startswith("local reads")


def test_what_is_not_cached_or_reads_nothing_is_not_warned_of() -> None:
    @functools.cache
    def reads_nothing(text: str) -> str:
        return text

    def reads() -> str:
        return str(echo(BAD))

    assert told(lambda: reads_nothing("x") + reads()) == []


def test_a_warning_is_an_error_where_warnings_are() -> None:
    @functools.cache
    def local(text: str) -> str:
        return str(echo(Value(text, UNTRUSTED)))

    run = execute(lambda: local("x"))
    assert isinstance(run.error, ProgramError) and "LabelGap" in str(run.error)


# -- arguments ------------------------------------------------------------------------------------


class Letter(BaseModel):
    text: str


@dataclass
class Note:
    text: str


@nlop
def answer(letter: Letter) -> str:
    """Answer the letter."""


def put(given: Any) -> None:
    """Tell it what this scope has seen."""
    text = str(BAD)
    if isinstance(given, list):
        given.append(text)
    elif isinstance(given, dict):
        given["text"] = text
    elif isinstance(given, tuple):
        given[0].append(text)
    else:
        given.text = text


@pytest.mark.parametrize("given", [[], {}, ([],), Note(""), Letter(text="")])
def test_what_is_put_into_an_argument_afterwards_is_warned_of(given: Any) -> None:
    labels: list[Any] = []

    def told_more(given: Any) -> None:
        labels.append(current().label)

    def program() -> Any:
        inner = spawn(told_more, given)
        put(given)
        return str(inner)

    (said,) = told(program)
    assert said.startswith("what told_more was given was changed") and "give it a copy" in said
    assert labels != [UNTRUSTED]


def test_so_is_what_is_put_into_a_record_that_a_function_waits_with() -> None:
    def program() -> Any:
        note = Note("")
        later = lift(lambda text, note: note.text)(echo("x"), note)
        put(note)
        return later

    (said,) = told(program)
    assert "was changed after it was called" in said


def test_an_op_asks_of_a_record_what_it_was() -> None:
    """What can be copied is: nothing is to be warned of."""

    def program() -> Any:
        letter = Letter(text="dear")
        later = answer(letter)
        put(letter)
        return later.value

    with warnings.catch_warnings():
        run = execute(program)
    assert "dear" in run.result and "bad" not in run.result


def test_what_is_not_changed_or_matters_to_no_label_is_not_warned_of() -> None:
    def lowered_only() -> Any:
        inner = spawn(len, [1, 2])
        str(BAD)
        return inner

    def changed_only() -> Any:
        items = [1, 2]
        inner = spawn(len, items)
        items.append(3)
        return inner

    def before() -> Any:
        items = [str(BAD)]
        return spawn(len, items)

    for program in (lowered_only, changed_only, before):
        assert told(program) == []


def test_as_an_error_it_fails_what_was_given_it_alone() -> None:
    def program() -> Any:
        items: list[str] = []
        inner = spawn(len, items)
        put(items)
        with pytest.raises(ProgramError, match="was changed after it was called"):
            _ = inner.value
        return "goes on"

    assert execute(program).result == "goes on"
