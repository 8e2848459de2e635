"""Arguments: from the words of a command line to what a program takes.

Theory of operation
-------------------
A program's parameters say what it takes: words are converted by their annotations, ``name=value``
fills the parameter of that name, the rest go in order, and input texts go to the text parameters
that are still empty, in order. What is neither text, number, yes or no nor a choice (a list, a
dict, a record) is written as JSON, or as ``@FILE`` that holds it.

Rules
1. A mistake is a Usage error that names the parameter and shows them all.
2. ``name=value`` is one only if the part before ``=`` is an identifier; an identifier that is no
   parameter is a mistake, never silently a text.
3. Only what a person typed names a file: a content that stands for a word is never looked into.
4. A word goes to the parameter of its place, as in Python; one that has a name moves no other.
"""

from __future__ import annotations

import inspect
import json
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from enum import Enum
from math import inf
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import ValidationError

from nlpu.errors import BadOp, ProgramError, Usage, described
from nlpu.lifting import check_text
from nlpu.printing import one_line
from nlpu.runtime.loader import Program
from nlpu.types.forms import form
from nlpu.types.holding import from_json
from nlpu.types.json_text import Twice, check_once, normal
from nlpu.types.result import adapter, choices_of, result_type

_BOOLS = {"yes": True, "true": True, "1": True, "no": False, "false": False, "0": False}
_IN_ORDER = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class Content(str):
    """A content that stands for a word, as it is: neither ``name=value`` nor ``@FILE`` (rule 3)."""

    __slots__ = ()


def _nothing_opens(name: str) -> str:
    raise Usage(f"@{name} cannot be read here; give the JSON itself")


NAMELESS: Mapping[str, Content] = {}


@dataclass(frozen=True, slots=True)
class Parameter:
    """One parameter and the type its string is converted to.

    schema: of a type that is written as JSON. many: ``*args``, takes all that is left. bounds:
    the type with what ``Annotated`` says of it beside.
    """

    name: str
    type: Any
    default: Any  # Parameter.empty: it must be given
    many: bool
    schema: Any = None
    bounds: Any = None

    @property
    def required(self) -> bool:
        """Whether it must be given."""
        return self.default is inspect.Parameter.empty and not self.many

    def __str__(self) -> str:
        shown = f"{'*' if self.many else ''}{self.name}: {_type_name(self)}"
        return shown if self.required or self.many else f"{shown} = {self.default!r}"


def parameters(program: Program) -> list[Parameter]:
    """What the program takes. Raises ProgramError for a type that no string can give."""
    try:
        hints = typing.get_type_hints(program.function, include_extras=True)
    except Exception as error:  # an annotation can be any expression
        raise ProgramError(f"the annotations of {program.name} fail: {error}") from error
    found = []
    for name, parameter in inspect.signature(program.function).parameters.items():
        many = parameter.kind is inspect.Parameter.VAR_POSITIONAL
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            continue
        kind = whole = _plain(hints.get(name, str))
        bounds = None
        if get_origin(whole) is Annotated and _is_word(_plain(get_args(whole)[0])):
            kind, bounds = _plain(get_args(whole)[0]), whole
        schema = None if _is_word(kind) else _schema(name, kind)
        found.append(
            Parameter(
                name, kind, default=parameter.default, many=many, schema=schema, bounds=bounds
            )
        )
    return found


def usage(program: Program) -> str:
    """The program and its parameters in one line."""
    return f"{program.name}({', '.join(map(str, parameters(program)))})"


def bind(
    program: Program,
    words: Sequence[str],
    texts: Sequence[str] = (),
    *,
    named: Mapping[str, Content] = NAMELESS,
    opened: Callable[[str], str] = _nothing_opens,
) -> tuple[list[Any], dict[str, Any]]:
    """Arguments from words, contents by name and input texts. Raises Usage (rule 1).

    opened: gives the text of a file that a word names.
    """
    places = parameters(program)
    try:
        by_name, ordered = apart(words, named, {place.name: place for place in places})
        return _bind(program, places, by_name, ordered=ordered, texts=texts, opened=opened)
    except Usage as error:
        raise Usage(f"{error}. Usage: {usage(program)}") from None


def _bind(
    program: Program,
    places: list[Parameter],
    named: list[tuple[Parameter, str]],
    ordered: list[str],
    texts: Sequence[str],
    opened: Callable[[str], str],
) -> tuple[list[Any], dict[str, Any]]:
    given: dict[str, Any] = {}
    rest: list[Any] = []
    own = inspect.signature(program.function).parameters
    free = [place for place in places if own[place.name].kind in _IN_ORDER]
    tail = next((place for place in places if place.many), None)
    for place, word in named:
        if place.name in given or place.many:
            raise Usage(f"{place.name!r} is given twice" if not place.many else _no_name(place))
        given[place.name] = convert(word, place, opened)
    for number, word in enumerate(ordered):
        target = free[number] if number < len(free) else tail
        if target is None:
            raise Usage(f"{word[:40]!r} is one argument too many")
        if target.name in given:  # rule 4
            raise Usage(
                f"{target.name!r} is given twice, by its name and as {word[:40]!r} by its place: "
                "give what comes behind it by name, too"
            )
        _put(given, rest, target, convert(word, target, opened))
    for text in texts:
        target = next((each for each in places if _takes_text(each, given)), tail)
        if target is None or target.type is not str:
            raise Usage("there is no parameter left for an input text: each text needs its own")
        _put(given, rest, target, convert(check_text(text, "the input"), target))
    _complete(places, given)
    unnamed = [each for each in free if rest or own[each.name].kind is _IN_ORDER[0]]
    return [given.pop(each.name, each.default) for each in unnamed] + rest, given


def _put(given: dict[str, Any], rest: list[Any], place: Parameter, content: Any) -> None:
    if place.many:
        rest.append(content)
    else:
        given[place.name] = content


def _takes_text(place: Parameter, given: dict[str, Any]) -> bool:
    return place.type is str and place.name not in given and not place.many


def _no_name(place: Parameter) -> str:
    return f"{place.name!r} takes all that is left, it cannot be given by name"


def _complete(places: list[Parameter], given: dict[str, Any]) -> None:
    missing = [place.name for place in places if place.required and place.name not in given]
    if missing:
        raise Usage(f"{missing[0]!r} is missing: give it as an argument or with --input FILE")


def apart(
    words: Sequence[str], contents: Mapping[str, Content], places: dict[str, Parameter]
) -> tuple[list[tuple[Parameter, str]], list[str]]:
    """Words and contents by name, and those in order (rule 2)."""
    named, ordered = [], []
    pairs: list[tuple[str, str, str]] = [(name, "=", each) for name, each in contents.items()]
    for word in words:
        name, sign, content = word.partition("=")
        if sign and name.isidentifier() and not isinstance(word, Content):
            pairs.append((name, sign, content))
        else:
            ordered.append(word)
    for name, _, content in pairs:
        if name in places:
            named.append((places[name], content))
        else:
            first = next(iter(places), "text")
            meant = "".join(f"; did you mean {one}?" for one in get_close_matches(name, places, 1))
            raise Usage(
                f"there is no parameter {name!r}{meant or ';'} a text with '=' in it is given by "
                f"name: {first}='{name}=...'"
            )
    return named, ordered


def convert(word: str, place: Parameter, opened: Callable[[str], str] = _nothing_opens) -> Any:
    """The content of a string for a parameter. Raises Usage."""
    try:
        check_text(word, f"{place.name!r}")
        if place.schema is not None:
            return _read(word, place, opened)
        content = _converted(word, place.type)
        return content if place.bounds is None else adapter(place.bounds).validate_python(content)
    except ValidationError as error:
        raise Usage(f"{place.name!r} cannot be {word[:40]!r}: {_why(error)}") from error
    except (ValueError, KeyError) as error:
        raise Usage(f"{place.name!r} must be {_type_name(place)}, not {word[:40]!r}") from error
    except ProgramError as error:
        raise Usage(str(error)) from error


def _converted(word: str, wanted: Any) -> Any:
    if wanted is str:
        return str(word)
    if wanted is bool:
        return _BOOLS[word.lower()]
    if wanted in (int, float):
        number = wanted(word)
        if number in (inf, -inf) and "inf" not in word.lower():
            raise ValueError(f"{word} is more than a float holds")
        return number
    return choices_of(wanted)[word]


def _read(word: str, place: Parameter, opened: Callable[[str], str]) -> Any:
    """The content of a JSON text, of one in a file, or of a text that needs no quotes."""
    reader, options = adapter(place.type), place.schema.get("anyOf", [place.schema])
    is_text = [option.get("type") == "string" for option in options]
    text, where, how = word, f"{word[:40]!r}", ""
    if not any(is_text):  # else "@" may begin a text
        how = ", as JSON or @FILE"
        if word[:1] == "@" and not isinstance(word, Content):
            text, where = _held(word[1:], place, opened), f"what {word[1:]} holds"
    try:
        if not all(is_text):
            check_once(text)
        try:
            exact = result_type(place.type).exact
            return from_json(reader, "" if all(is_text) else normal(text, exact))
        except ValueError:
            if not any(is_text):
                raise
            return reader.validate_python(str(text))
    except Exception as error:  # a model's own validators may raise anything
        wanted = f"{_type_name(place)}{how}, of the form {_form(place.schema)}"
        raise Usage(f"{place.name!r} must be {wanted}; not {where}: {_why(error)}") from error


def _held(name: str, place: Parameter, opened: Callable[[str], str]) -> str:
    try:
        return opened(name)
    except Usage as error:
        raise Usage(f"{place.name!r} names a file: {error}") from None


def _why(error: Exception) -> str:
    """What is wrong, and at which place within."""
    if not isinstance(error, ValidationError):
        return str(error) if isinstance(error, Twice) else described(error)
    first = error.errors()[0]
    at = ".".join(map(str, first["loc"]))
    return f"at {at}: {first['msg']}" if at else first["msg"]


def _plain(annotation: Any) -> Any:
    """The one type a string is converted to: None beside a plain one cannot be given."""
    if isinstance(annotation, types.UnionType) or get_origin(annotation) is typing.Union:
        options = [option for option in get_args(annotation) if option is not types.NoneType]
        if len(options) == 1 and _is_word(options[0]):
            return _plain(options[0])
    return str if annotation is Any else annotation


def _is_word(annotation: Any) -> bool:
    """Whether its contents are written as words are, and not as JSON."""
    if annotation in (str, int, float, bool, Any) or get_origin(annotation) is Literal:
        return True
    return isinstance(annotation, type) and issubclass(annotation, Enum)


def _schema(name: str, annotation: Any) -> Any:
    """What JSON its contents are. Raises Usage where there is none."""
    try:
        constraint = result_type(annotation).constraint
        assert constraint is not None
    except BadOp as error:
        raise Usage(
            f"a terminal cannot give {name!r}, of type {annotation!r}; write a program whose "
            "parameters are text, numbers, yes or no, choices, or what JSON can hold (lists, "
            "dicts, dataclasses, pydantic models), and run that"
        ) from error
    return json.loads(constraint.spec)


def _form(schema: Any) -> str:
    return one_line(form(schema, {"$defs": schema.get("$defs", {})}))


def _type_name(place: Parameter) -> str:
    if place.schema is not None:
        return result_type(place.type).name
    wanted = place.type
    if wanted in (str, int, float):
        return "text" if wanted is str else str(wanted.__name__)
    return "yes|no" if wanted is bool else "|".join(choices_of(wanted))
