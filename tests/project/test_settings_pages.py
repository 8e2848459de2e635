"""The pages of settings name what there is, with its default, and nothing else."""

from __future__ import annotations

import inspect
import re
import time
from collections.abc import Iterator
from dataclasses import MISSING, fields, is_dataclass
from pathlib import Path
from typing import Any

import pytest

import nlpu
from nlpu import Limits, Op, Price, Value, errors, lift, op, runtime, split
from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.transformers_folder import TransformersEngine
from nlpu.label import UNTRUSTED, USER, Integrity, Label
from nlpu.runtime import Budget, Computer, FakeClock, Receipt, Run, drivers, endorse, first, spawn
from nlpu.runtime.drivers import McpServer, clock, files, pin, search
from nlpu.runtime.drivers.driver import Driver, driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.runtime.fleet.batch import Batch
from nlpu.runtime.fleet.driving.fleet import Fleet
from nlpu.runtime.fleet.item import Item
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.scheduler.breakpoints import Gate
from nlpu.runtime.settings import Settings
from nlpu.sampling import Sampling
from nlpu.testing.scripted import Say, Scripted, Seen

DOCS = Path(__file__).parents[2] / "docs"
PAGES = [DOCS / name for name in ("settings.md", "settings_runs.md", "settings_outside.md")]
ERRORS = (DOCS / "errors.md").read_text()

GIVEN: list[Any] = [
    op,
    Op.__call__,
    Value,
    lift,
    split,
    spawn,
    first,
    endorse,
    Label,
    Computer,
    Price,
    Limits,
    Budget,
    Computer.start,
    Computer.run,
    Computer.resume,
    Computer.rerun,
    Computer.evaluate,
    Computer.map,
    Fleet,
    Edits,
    Gate,
    files,
    search,
    clock,
    McpServer,
    pin,
    ScriptedPerson,
    EmbeddedEngine,
    HttpEngine,
    TransformersEngine,
    Scripted,
    Say,
    Seen,
    FakeClock,
]
HAVE = {
    "Op": Op,
    "Value()": Value,
    "Computer()": Computer,
    "Run": Run,
    "Batch": Batch,
    "Item": Item,
    "Gate()": Gate,
    "Receipt": Receipt,
}
WORDS = {  # defaults that are no value
    "by the type",
    "the function's",
    "untrusted",
    "no",
    "stop",
    "empty",
}
NAMESPACE = {
    "Budget": Budget,
    "Integrity": Integrity,
    "Limits": Limits,
    "Path": Path,
    "USER": USER,
    "UNTRUSTED": UNTRUSTED,
    "time": time,
}

Defaults = dict[str, Any]  # name -> default


def of_call(what: Any) -> Defaults:
    """The parameters of what is called, with their defaults; of those that stand for many: None."""
    found = {}
    made = {each.name: each for each in fields(what)} if is_dataclass(what) else {}
    for name, parameter in inspect.signature(what).parameters.items():
        default = parameter.default
        if name in made and made[name].default_factory is not MISSING:
            default = made[name].default_factory()  # type: ignore[misc]
        if parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD):
            default = MISSING
        if name != "self":
            found[name] = default
    return found


def of_fields(kind: Any, *others: str) -> Defaults:
    """The fields that are given, but for some."""
    return {
        each.name: inspect.Parameter.empty if each.default is MISSING else each.default
        for each in fields(kind)
        if each.init and each.name not in others
    }


def expected() -> dict[str, Defaults]:
    """Every table of settings that there must be."""
    found = {each.__qualname__.replace("Many.", "Computer."): of_call(each) for each in GIVEN}
    found["Op.using"] = of_fields(Op, "text", "operands", "result", "sampling")
    found["Op.using"] |= of_fields(Sampling)
    found["nlpu.toml"] = of_fields(Settings, "origins")
    declared = of_call(driver)
    effect = {name: declared[name] for name in ("effect", "roles")}
    found["driver"] = effect | of_fields(
        Driver, "about", "function", "arguments", "result", "effect"
    )
    return found


def tables(text: str) -> Iterator[tuple[str, list[list[str]]]]:
    """What each heading with a name is about: the rows of the table behind it."""
    for part in re.split(r"^#+ ", text, flags=re.MULTILINE):
        named = re.match(r"`([^`]+)`\n", part)
        rows = re.findall(r"^\| (`\w+` \|.*)\|$", part, re.MULTILINE)
        if named:
            yield named[1], [[cell.strip() for cell in row.split("|")] for row in rows]


def is_default(cell: str, default: Any) -> bool:
    """Whether a cell says what the default is."""
    if default is MISSING:
        return cell == ""
    if default is inspect.Parameter.empty:
        return cell in {"required", *WORDS}
    if not cell.startswith("`"):
        return cell in WORDS
    said = eval(cell.strip("`"), dict(NAMESPACE))
    return said is default or (said == default and type(said) is type(default))


NAMED = {name: rows for page in PAGES for name, rows in tables(page.read_text())}
EXPECTED = expected()


def test_each_table_is_of_something_and_each_thing_has_one() -> None:
    assert NAMED.keys() == EXPECTED.keys() | HAVE.keys()


@pytest.mark.parametrize("name", EXPECTED)
def test_a_table_names_all_settings_with_their_defaults(name: str) -> None:
    rows = {row[0].strip("`"): row for row in NAMED[name]}
    assert rows.keys() == EXPECTED[name].keys()
    for setting, default in EXPECTED[name].items():
        assert is_default(rows[setting][2], default), f"{setting}: {rows[setting][2]!r}, {default}"


@pytest.mark.parametrize("name", HAVE)
def test_a_table_names_all_that_there_is_to_ask_for(name: str) -> None:
    found = {
        each
        for kind in HAVE[name].__mro__
        if kind.__module__.startswith("nlpu.")
        for each, what in vars(kind).items()
        if not each.startswith("_") and (inspect.isfunction(what) or isinstance(what, property))
    }
    found |= {"Run": {"name"}, "Receipt": {*Receipt.model_fields}}.get(name, set())
    assert {row[0].strip("`") for row in NAMED[name]} == found


def test_all_public_names_are_on_a_page() -> None:
    whole = "".join(page.read_text() for page in [*PAGES, DOCS / "errors.md"])
    for name in [*nlpu.__all__, *runtime.__all__, *drivers.__all__]:
        assert re.search(rf"(`|import |, |\.|@|`runtime\.){name}\b", whole), name


@pytest.mark.parametrize("branch", ["ProgramError", "ModelError", "HostError"])
def test_a_table_names_all_errors_of_a_branch(branch: str) -> None:
    kind = getattr(errors, branch)
    found = {
        name
        for name, each in vars(errors).items()
        if inspect.isclass(each) and issubclass(each, kind) and each is not kind
    }
    (rows,) = (rows for name, rows in tables(ERRORS) if name == branch)
    assert {row[0].strip("`") for row in rows} == found
    for name, *_, last in rows:
        error = getattr(errors, name.strip("`"))
        if branch == "HostError":
            assert last == ("yes" if error.transient else "no"), name
        elif branch == "ProgramError":
            assert (last or "1") == str(error.exit_code), name


def test_each_error_has_an_example() -> None:
    code = "".join(re.findall(r"^```python\n(.*?)^```", ERRORS, re.MULTILINE | re.DOTALL))
    for name, each in vars(errors).items():
        if inspect.isclass(each) and each.__module__ == errors.__name__:
            assert re.search(rf"\b{name}\b", code), name
