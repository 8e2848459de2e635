"""Types at their borders: equal replies of different types, limits, names, sets, big numbers."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum, Flag
from itertools import count
from pathlib import Path
from typing import Annotated, Any, Literal, cast

import pytest
from grammar_kit import accepts
from kit import computer, execute, finish, resumed
from pydantic import (
    AfterValidator,
    Base64Bytes,
    Base64Str,
    Base64UrlStr,
    BaseModel,
    ConfigDict,
    Field,
)

from nlpu import lift, nlop, op
from nlpu.engines.grammar import grammar_of
from nlpu.errors import BadOp, BadOperand, DriverFailed, Malformed, Truncated
from nlpu.runtime.drivers.driver import driver
from nlpu.testing.scripted import Say, Scripted
from nlpu.types.json_text import canonical
from nlpu.types.result import result_type

Half = Annotated[float, AfterValidator(lambda number: number / 2)]
Double = Annotated[float, AfterValidator(lambda number: number * 2)]


class Color(Enum):
    RED = "red"
    BLUE = "blue"


class Paint(Enum):
    CRIMSON = "red"
    NAVY = "blue"


class Right(Flag):
    READ = 1
    WRITE = 2


def telling(kind: Any) -> Callable[[Any], Any]:
    def tell(x: Any) -> str:
        """Tell."""

    tell.__annotations__ = {"x": kind, "return": str}
    return nlop(tell)


@pytest.mark.parametrize(
    ("kinds", "reply", "expected"),
    [
        ((Half, Double), "8", [4.0, 16.0]),
        ((Color, Paint, Literal["red", "blue"]), "red", [Color.RED, Paint.CRIMSON, "red"]),
        ((list[int], Annotated[list[int], AfterValidator(tuple)]), "[1]", [[1], (1,)]),
    ],
)
def test_equal_calls_are_shared_and_each_read_as_its_type_says(
    kinds: Any, reply: str, expected: Any
) -> None:
    model = Scripted(reply)

    def program() -> list[Any]:
        asked = [op("Give one", kind)("x") for kind in kinds]
        return [each.value for each in asked]

    assert execute(program, engine=model).result == expected
    assert len(model.seen) == 1


def test_a_choice_of_another_type_is_refused_and_not_written_by_its_name() -> None:
    model = Scripted({"Give": "red", "Tell": "fine"})
    run = execute(lambda: telling(Literal["red", "blue"])(op("Give one", Color)("x")), engine=model)
    assert isinstance(run.error, BadOperand) and "one of red, blue" in str(run.error)


@pytest.mark.parametrize(
    "kind", [int, Annotated[int, Field(ge=0)], int | None, int | str, Decimal, float | None]
)
def test_a_number_at_its_limit_is_truncated(kind: Any) -> None:
    ask = op("Give one", kind, max_tokens=3)
    run = execute(lambda: ask("x"), engine=Say("429", finish_length=True))
    assert isinstance(run.error, Truncated) and "trim" not in str(run.error), run.result


def test_a_choice_that_begins_another_is_truncated_at_its_limit() -> None:
    ask = op("Give one", Literal["New York", "New York City"], max_tokens=2)
    for text, error in (("New York", Truncated), ("New York City", type(None))):
        run = execute(lambda: ask("x"), engine=Say(text, 2, finish_length=True))
        assert isinstance(run.error, error)


class Sum(BaseModel):
    amount: Decimal
    rate: float = 0.0


def test_digits_are_kept_where_there_is_a_decimal_and_nowhere_else() -> None:
    many = "3.14159265358979323846"
    assert result_type(Sum).parse(f'{{"amount":{many}}}').amount == Decimal(many)
    assert result_type(float | str).parse(many) == float(many)
    for kind, text in ((Sum, '{"amount":1,"rate":1e999}'), (list[float | str], "[1e400]")):
        with pytest.raises(Malformed):
            result_type(kind).parse(text)


def test_equal_choices_of_two_types_are_told_apart() -> None:
    kind = result_type(Literal[0, False])
    assert kind.read("False") == (False, "False") and kind.read("False")[0] is False
    assert kind.read("0")[0] is not False
    error = execute(lambda: telling(Right)(Right.READ | Right.WRITE), engine="fine").error
    assert isinstance(error, BadOperand)


@pytest.mark.parametrize("given", ["abcdef", "äbcdef"])
def test_bounds_of_a_text_operand_hold_however_it_is_given(given: str) -> None:
    short = telling(Annotated[str, Field(max_length=2)])
    for call in (lambda: short(given), lambda: short(x=given), lambda: short.map([given])):  # type: ignore[attr-defined]
        assert execute(call, engine="fine").error is not None
    loud = telling(Annotated[str, AfterValidator(lambda text: text + "!")])
    assert isinstance(execute(lambda: loud("a"), engine="fine").error, BadOperand)


PAID: list[int] = []


@driver(effect="read", roles={"amount": "content"})
def pay(amount: Annotated[int, Field(le=100)]) -> Annotated[int, Field(le=5)]:
    """Pay."""
    PAID.append(amount)
    return amount


def test_bounds_of_a_driver_hold() -> None:
    assert isinstance(execute(lambda: pay(1000)).error, BadOperand) and not PAID
    assert isinstance(execute(lambda: pay(50)).error, DriverFailed)
    assert execute(lambda: pay(5)).result == 5


def test_a_type_that_reads_one_text_in_two_ways_is_the_programs_fault() -> None:
    numbers = count()

    class Record(BaseModel):
        a: int
        id: int = Field(default_factory=lambda: next(numbers))

    run = execute(lambda: op("Give one", Record)("x"), engine='{"a":1}')
    assert isinstance(run.error, BadOp) and "default_factory" in str(run.error)


class Once(BaseModel):
    items: Iterable[int]


@pytest.mark.parametrize(
    ("kind", "why"),
    [
        (Iterable[int], "read only once"),
        (Generator[int, None, None], "read only once"),
        (Once, "read only once"),
        (dict[tuple[int, int], str], "a tuple cannot be a key in JSON"),
        (list[dict[frozenset[int], str]], "a frozenset cannot be a key in JSON"),
    ],
)
def test_what_no_life_could_read_as_the_first_is_no_type(kind: Any, why: str) -> None:
    with pytest.raises(BadOp, match=why):
        result_type(kind)


ONCE: dict[str, Callable[[], Any]] = {
    "generator": lambda: (number for number in range(3)),
    "map": lambda: map(str, [1]),
    "in a list": lambda: [zip([1], [2], strict=True)],
    "in a dict": lambda: {"a": iter([1])},
}


@pytest.mark.parametrize("blocking", [False, True])
@pytest.mark.parametrize("name", ONCE)
def test_a_lifted_function_gives_nothing_that_is_read_once(name: str, blocking: bool) -> None:
    """Its digest reads it, and the program found nothing in it."""
    run = execute(lambda: repr(lift(ONCE[name], blocking=blocking)().value))
    assert isinstance(run.error, BadOperand) and "has not run yet" in str(run.error), run


@pytest.mark.parametrize(
    "kind", [complex, list[complex], dict[bool, int], Base64Str, Base64UrlStr, list[Base64Bytes]]
)
@pytest.mark.parametrize("prompt", ["a", "b", "c", "d"])
def test_a_scripted_model_says_what_is_written_in_a_way_of_its_own(kind: Any, prompt: str) -> None:
    run = execute(lambda: repr(op("Give one", kind)(prompt).value), engine=Scripted())
    assert run.error is None, run.error


@pytest.mark.parametrize("number", [1 + 2j, 2j, -0.0 - 1j, 1e300 - 2.5e-7j, complex(1, 0)])
def test_complex_numbers_are_written_in_the_language_of_their_type(number: complex) -> None:
    kind = result_type(complex)
    assert kind.constraint is not None
    assert accepts(kind.constraint, kind.render(number)) and accepts(kind.constraint, '"1e5"')
    assert not accepts(kind.constraint, '"one"')


class M(BaseModel):
    a: int


@pytest.mark.parametrize(
    ("kind", "name"),
    [
        (dict[str, Half], "dict[str, float]"),
        (M | None, "M or null"),
        (tuple[M, ...], "tuple[M, ...]"),
        (list[dict[str, M]], "list of dict[str, M]"),
        (Annotated[int, Field(ge=1)], "int"),
    ],
)
def test_names_say_nothing_of_modules_and_addresses(kind: Any, name: str) -> None:
    assert result_type(kind).name == name


def test_the_order_of_a_type_is_its_own() -> None:
    assert result_type(Literal["b", "a"]).name == "one of b, a"
    assert result_type(Literal["a", "b"]).name == "one of a, b"
    assert result_type(Annotated[int, Field(ge=0), {"a": 1}]).parse("5") == 5  # has no hash


@dataclass(frozen=True)
class Part:
    name: str
    size: int = 1


def test_sets_of_records_and_in_queues_have_an_order() -> None:
    parts = {Part("a"), Part("b"), Part("c")}
    kind = result_type(set[Part])
    assert kind.parse(kind.render(parts)) == parts
    assert kind.render(parts) == kind.render({Part("c"), Part("b"), Part("a")})
    assert execute(lift(lambda: [{Part("a", 1)}])).error is None
    assert canonical(deque([{"b", "a", "c"}])) == '[["a","b","c"]]'
    assert canonical([{1: {3, 1}, "1": 2}])


class Twice(BaseModel):
    x: int | None = Field(None, alias="y")
    y: int | None = Field(None, alias="z")


class Named(BaseModel):
    model_config = ConfigDict(extra="forbid")
    a: int = Field(alias="b")


class Plain(BaseModel):
    a: int


def test_a_reply_is_read_as_its_type_reads_it() -> None:
    assert result_type(Twice).parse('{"y":5}') == Twice(y=5)
    assert type(result_type(Named | Plain).parse('{"a":1}')) is Plain


@pytest.mark.parametrize("bound", [10**309, 10**400])
def test_great_bounds_have_a_grammar(bound: int) -> None:
    constraint = result_type(Annotated[int, Field(ge=bound)]).constraint
    assert constraint is not None and grammar_of(constraint)


def test_numbers_that_python_does_not_write_are_refused() -> None:
    assert isinstance(execute(lambda: telling(int)(10**5000), engine="fine").error, BadOperand)
    with pytest.raises(BadOp):
        result_type(Annotated[int, Field(ge=10**4400)])


def test_types_that_use_each_other_have_a_short_form() -> None:
    names = [f"N{n}" for n in range(6)]
    union = " | ".join(names)
    space: dict[str, Any] = {"BaseModel": BaseModel}
    source = "".join(f"class {n}(BaseModel):\n    a: '{union}'\n    b: '{union}'\n" for n in names)
    exec(compile(source, "made", "exec"), space)
    for name in names:
        space[name].model_rebuild(_types_namespace=space)
    assert len(result_type(space["N0"]).contract) < 20_000


def test_a_reply_of_backticks_is_read_at_once() -> None:
    """Looking for pairs of them takes minutes."""
    for text in ("`" * 40_000, "`" * 40_000 + " x"):
        with pytest.raises(Malformed):
            result_type(list[str]).parse(text)
        with pytest.raises(Malformed):
            result_type(bool).parse(text)


# -- what a type's own code raises ----------------------------------------------------------------


def exits() -> int:
    raise SystemExit(3)


RAISE: dict[str, Callable[[Any], Any]] = {
    "TypeError": lambda age: len(age) + age,
    "AttributeError: 'int' object": lambda age: age.years,
    "KeyError: 'age'": lambda age: {}["age"],
    "SystemExit: 3": lambda age: exits(),
}


@pytest.mark.parametrize("said", RAISE)
@pytest.mark.parametrize("words", [False, True])
def test_what_a_type_s_own_code_raises_is_told_as_that(said: str, words: bool) -> None:
    checks = AfterValidator(RAISE[said])
    kind = Annotated[str, checks] if words else Annotated[int, Field(ge=0), checks]
    ask = op("Ask", cast("Any", kind), retries=1)
    run = execute(lambda: ask("x").value, engine="7")
    assert type(run.error) is Malformed
    said = said if not words else said.partition(":")[0]
    assert f"the type's own code raised {said}" in str(run.error)
    assert str(run.error).endswith("; it was asked 2 times")


def test_of_what_is_no_value_of_the_type_the_type_says_why() -> None:
    odd = Annotated[str, AfterValidator(lambda text: len(text) % 2 or int("x"))]
    deep, long = "[" * 4000, "[0e99999999999999999999]"
    for kind, reply in ((odd, "ab"), (list[int], deep), (list[Decimal], long)):
        ask = op("Ask", cast("Any", kind), retries=0)
        run = execute(lambda ask=ask: ask("x").value, engine=Scripted(Say(reply, tokens=9)))
        assert type(run.error) is Malformed and "own code" not in str(run.error)
        assert ": " in str(run.error)


def test_a_later_life_outlives_it_too(tmp_path: Path) -> None:
    late: list[int] = []
    ask = op(
        "Ask", cast("Any", Annotated[int, AfterValidator(lambda age: exits() if late else age)])
    )
    with computer(Scripted("7"), run_dir=tmp_path) as machine:
        run = finish(machine.start(lambda: ask("x").value))
    late.append(1)
    again = resumed(tmp_path, run, lambda: ask("x").value, replay=True)
    assert run.result == 7 and type(again.error) is Malformed
