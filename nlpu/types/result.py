"""Result types: from a Python annotation to a language the model must write in, and back.

Theory of operation
-------------------
Each annotation has four things: a *constraint* the engine decodes under, a *contract* sentence
that tells the model what is wanted, ``read`` from generated text to a content and the text that
is kept of it, and ``render`` from a content to the canonical text in which other ops read it.

    str             free text                       bool            yes | no
    Judgement       yes | no, with its probability
    int, float      a numeral                       Literal, Enum   one of the choices
    all else that pydantic has a JSON schema for    one JSON value: records, lists, dates, unions

Rules
1. ``parse(render(x)) == x`` for every content that ``keep`` lets through: what Python made and the
   type does not read back as it was is BadOperand. A property test holds it.
2. No bound that the user did not write changes or refuses a value. What runs on ends at its limit
   of tokens, which says so.
3. Every life reads what is kept of a reply, and reads it once: a validator may change its input.
4. ``read`` and ``parse`` raise Malformed, ``check`` and ``keep`` BadOperand; nothing else escapes.
5. What is not written as the type is, but can only mean one of its contents, is that (``lenient``).
6. Secrets are refused: two of them would have one text, and one answer.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import Enum
from functools import lru_cache, wraps
from math import isfinite
from types import NoneType
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin

from pydantic import TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from nlpu.errors import BadOp, BadOperand, Malformed
from nlpu.judgement import Judgement, read
from nlpu.types.bare import NUMERAL, value_of
from nlpu.types.descriptions import described, meaning_of
from nlpu.types.forms import form, is_decimal, notes, parts_of, schema_for
from nlpu.types.holding import from_json, held, plain
from nlpu.types.json_text import normal, written
from nlpu.types.lenient import readings
from nlpu.types.names import called, unannotated
from nlpu.types.schemas import check_imports, check_members
from nlpu.types.times import FORMATS, check_times
from nlpu.wire import Constraint

_INT = r"-?(0|[1-9][0-9]*)"
_FLOAT = r"-?(0|[1-9][0-9]*)(\.[0-9]+)?([eE][+-]?[0-9]+)?"
NUMBER_SCHEMAS = {  # for engines that take JSON schemas and no regular expressions
    _INT: {"type": "integer"},
    _FLOAT: {"type": "number"},
}

_TEXT_BOUNDS = {
    "minLength": "at least {} characters",
    "maxLength": "at most {} characters",
    "pattern": "of the pattern {}",
}
_SAYS = ("type", "$ref", "anyOf", "oneOf", "allOf", "enum", "const", "properties")

_RAISED = (Exception, SystemExit)  # of a type's own code: neither may end the loop that reads
Made = TypeVar("Made")
Kind = Literal["text", "bool", "judgement", "int", "float", "choice", "json"]


def remembered(make: Callable[[Any], Made]) -> Callable[[Any], Made]:
    """Make something of an annotation once.

    Annotations that only differ in order are equal (``int | str``), and some have no hash.
    """
    made = lru_cache(maxsize=1024)(lambda annotation, order: make(annotation))

    def found(annotation: Any) -> Made:
        try:
            hash(annotation)
            order = "" if isinstance(annotation, type) else repr(annotation)
        except (TypeError, ValueError):  # what it is annotated with has no hash, or is not written
            return make(annotation)
        return made(annotation, order)

    return wraps(make)(found)


@remembered
def adapter(annotation: Any) -> TypeAdapter[Any]:
    """pydantic's validator for the annotation (built once). Raises BadOp for what runs code."""
    made: TypeAdapter[Any] = TypeAdapter(annotation)
    check_imports(made.core_schema)
    return made


@dataclass(frozen=True, slots=True)
class ResultType:
    """One annotation, ready to be decoded. Compares by kind, name and constraint.

    ``notes`` are what the fields of a record say of themselves, for the prompt; ``about`` is what
    the annotation says and no schema does (``descriptions``). ``exact`` says that numbers keep all
    their digits, ``sets`` that a content may hold some, and ``times`` dates and such.
    ``probabilities`` says that the engine is asked how likely each choice is.
    """

    kind: Kind
    name: str
    contract: str
    constraint: Constraint | None
    annotation: Any = field(compare=False, repr=False)
    notes: str = field(default="", repr=False)
    exact: bool = field(default=False, compare=False, repr=False)
    sets: bool = field(default=False, compare=False, repr=False)
    times: bool = field(default=False, compare=False, repr=False)
    about: str = field(default="", compare=False, repr=False)
    probabilities: bool = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        """Note what each call looks at."""
        object.__setattr__(self, "probabilities", self.kind == "judgement")

    @property
    def one(self) -> str:
        """Its name with its article."""
        if self.kind != "json" or not self.name[0].isalpha():
            return self.name
        return f"{'an' if self.name[0] in 'aeioAEIO' else 'a'} {self.name}"  # a UUID, a User

    def read(self, text: str, cut: bool = False) -> tuple[Any, str]:
        """Read a generated text: its content, and what is kept of it (rule 3). Raises Malformed.

        cut: it ended at its limit, where bare words may be the beginning of others.
        """
        stripped = text.strip()
        choices = [*choices_of(self.annotation)] if self.kind == "choice" else ()
        try:
            return self._read(stripped)
        except _RAISED as error:  # a model's own validators may raise anything (rule 4)
            nearest = first = error
        bare = [None] * (self.kind == "json" and not cut)
        for reading in (*readings(self.kind, stripped, choices), *bare):
            with suppress(*_RAISED):
                try:
                    return self._read(self._bare_value(stripped) if reading is None else reading)
                except ValidationError as other:  # it says what is wrong and where
                    is_other = nearest is first and isinstance(first, ValueError)
                    nearest = other if is_other else nearest
        shown = stripped if len(stripped) <= 80 else stripped[:77] + "..."
        raise Malformed(f"the reply {shown!r} is not {self.one}") from nearest

    def _bare_value(self, text: str) -> str:
        schema = json.loads(self.constraint.spec if self.constraint else "{}")
        formats = not getattr(self.annotation, "is_data", False)
        return value_of(text, schema, adapter(self.annotation), self.exact, formats)

    def _read(self, text: str) -> tuple[Any, str]:
        if self.kind == "json":
            kept = normal(text, self.exact)
            made = from_json(adapter(self.annotation), kept)
            if self.times:
                check_times(kept, lambda: self.render(made))
            return made, kept
        content = _PARSERS[self.kind](self, text)
        if type(content) is str:  # an object of its own: which reply gave a text is told by it
            content = content[:1] + content[1:]
        return content, text if self.kind == "text" else self.render(content)

    def own(self, text: str) -> tuple[str, str]:
        """Read a free text without outer blanks, as ``read``, on the path of most calls."""
        if self.annotation is str:
            return text[:1] + text[1:], text  # an object of its own, see ``_read``
        return self.read(text)

    def parse(self, text: str) -> Any:
        """Read the content that a generated text stands for. Raises Malformed."""
        return self.read(text)[0]

    def render(self, content: Any) -> str:
        """Write a content as its canonical text."""
        return _WRITERS[self.kind](self, content)

    def begins_another(self, text: str) -> bool:
        """Whether a choice may have been on its way to a longer one."""
        return any(one != text and one.startswith(text) for one in choices_of(self.annotation))

    def check(self, content: Any, where: str) -> Any:
        """Make the content exactly of this type. Raises BadOperand naming ``where``."""
        if self.annotation is str:
            if not isinstance(content, str):
                raise BadOperand(f"{where} must be {self.name}, not {type(content).__name__}")
            return plain(content)
        try:
            return adapter(self.annotation).validate_python(content, strict=self.kind != "json")
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise BadOperand(f"{where} must be {self.name}: {what}") from error

    def keep(self, content: Any, where: str) -> Any:
        """Check what Python made: it must read back as it was, too (rule 1). Raises BadOperand."""
        made = self.check(content, where)
        if self.annotation is not str:
            held(where, made, lambda: self.render(made), self.parse)
        return made


@remembered
def choices_of(annotation: Any) -> dict[str, Any]:
    """The texts of a Literal's or Enum's choices, with what each stands for."""
    by_value = isinstance(annotation, type)
    return {str(member.value if by_value else member): member for member in _members(annotation)}


def _members(annotation: Any) -> tuple[Any, ...]:
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return tuple(annotation)
    return get_args(annotation)


def _digits(text: str) -> str:
    if NUMERAL.fullmatch(text) is None:  # Python reads more: 1_000, digits of all scripts
        raise ValueError(f"{text} is no numeral")
    return text


def _parse_float(kind: ResultType, text: str) -> float:
    number = float(_digits(text))
    if not isfinite(number):
        raise ValueError(f"{text} is not a number one can count with")
    return number


_PARSERS: dict[str, Callable[[ResultType, str], Any]] = {
    "text": lambda kind, text: (
        text
        if kind.annotation is str
        else adapter(kind.annotation).validate_python(text, strict=True)
    ),
    "bool": lambda kind, text: {"yes": True, "no": False}[text.lower()],
    "judgement": lambda kind, text: read(text),
    "int": lambda kind, text: int(_digits(text)),
    "float": _parse_float,
    "choice": lambda kind, text: choices_of(kind.annotation)[text],
}


def _write_choice(kind: ResultType, content: Any) -> str:
    choices = choices_of(kind.annotation)
    for text, choice in choices.items():
        if choice is content:
            return text
    for text, choice in choices.items():  # of equal ones that of its type: 0 is not False
        if type(choice) is type(content) and choice == content:
            return text
    raise ValueError(f"{content!r:.60} is none of its choices")


def _write_json(kind: ResultType, content: Any) -> str:
    return written(adapter(kind.annotation), content, kind.sets)


_WRITERS: dict[str, Callable[[ResultType, Any], str]] = {
    "text": lambda kind, content: plain(content) if isinstance(content, str) else str(content),
    "bool": lambda kind, content: "yes" if content else "no",
    "judgement": _write_json,
    "int": lambda kind, content: str(content),
    "float": lambda kind, content: str(content),
    "choice": _write_choice,
    "json": _write_json,
}


@remembered
def result_type(annotation: Any) -> ResultType:
    """Make the ResultType of an annotation. Raises BadOp where there is none."""
    if get_origin(annotation) is Annotated:
        inner = unannotated(annotation)
        if not _binds(annotation):
            return saying(result_type(inner), described(annotation))
        if inner is str and _schema(annotation).get("format") not in ("base64", "base64url"):
            return saying(_bound_text(annotation), described(annotation))
        return saying(_json(annotation), described(annotation, fields=False))
    if annotation is str:
        return ResultType("text", "text", "", None, str)
    if annotation is bool or annotation is Judgement:
        constraint = Constraint("choice", '["yes","no"]')
        kind: Kind = "bool" if annotation is bool else "judgement"
        return ResultType(kind, "yes or no", "Answer yes or no.", constraint, annotation)
    if annotation is int:
        wanted = "Answer with one whole number."
        return ResultType("int", "a whole number", wanted, Constraint("regex", _INT), int)
    if annotation is float:
        wanted = "Answer with one number."
        return ResultType("float", "a number", wanted, Constraint("regex", _FLOAT), float)
    if get_origin(annotation) is Literal or (
        isinstance(annotation, type) and issubclass(annotation, Enum)
    ):
        says = meaning_of(annotation) if isinstance(annotation, type) else ""
        return saying(_choice(annotation), says)
    return saying(_json(annotation), described(annotation))


def saying(kind: ResultType, about: str) -> ResultType:
    """The same type with more to say of itself."""
    lines = dict.fromkeys([*about.splitlines(), *kind.about.splitlines()])
    return replace(kind, about="\n".join(lines)) if about else kind


def _binds(annotation: Any) -> bool:
    """Whether what ``Annotated`` adds says more than a description does."""
    adds = get_args(annotation)[1:]
    return any(
        each.metadata or each.alias if isinstance(each, FieldInfo) else not isinstance(each, str)
        for each in adds
    )


def _bound_text(annotation: Any) -> ResultType:
    """Free text that is validated: no grammar cuts it at its bounds."""
    schema = _schema(annotation)
    wanted = [said.format(schema[word]) for word, said in _TEXT_BOUNDS.items() if word in schema]
    name = ", ".join(["text", *wanted])
    contract = f"Answer with text: {', '.join(wanted)}." if wanted else ""
    return ResultType("text", name, contract, None, annotation)


def _choice(annotation: Any) -> ResultType:
    texts = list(choices_of(annotation))
    if not texts or any(text.strip() != text or not text for text in texts):
        raise BadOp(f"{annotation!r} needs choices, each a text without outer blanks")
    if len(texts) != len(_members(annotation)):
        raise BadOp(f"{annotation!r} has choices that are written the same")
    name = "one of " + ", ".join(texts)
    spec = json.dumps(texts, ensure_ascii=False, separators=(",", ":"))
    return ResultType(
        "choice", name, f"Answer with {name}.", Constraint("choice", spec), annotation
    )


def _schema(annotation: Any) -> Any:
    try:
        schema = schema_for(adapter(annotation))
        check_members(annotation)
    except BadOp as error:
        raise BadOp(f"{called(annotation)}: {error}") from None
    except Exception as error:  # pydantic raises several kinds for types it has no schema for
        # Of several lines a colon ends all but one.
        line = str(error).replace(":\n", ":").partition("\n")[0]
        told = " ".join(line.partition(" Set `arbitrary")[0].split())  # what pydantic wants
        raise BadOp(f"{called(annotation)} has no JSON schema: {told}") from error
    if any(part.get("writeOnly") and part.get("format") == "password" for part in parts_of(schema)):
        raise BadOp(f"{called(annotation)} holds a secret, which has no text: use str")
    return schema


def _json(annotation: Any) -> ResultType:
    schema = _schema(annotation)
    if annotation in (None, NoneType) or not any(word in schema for word in _SAYS):
        raise BadOp(
            f"a result can be anything that pydantic has a JSON schema for, not {annotation!r}, "
            "which says nothing of what is wanted"
        )
    return json_type(called(annotation), schema, annotation)


def json_type(name: str, schema: Any, annotation: Any) -> ResultType:
    """The ResultType of a schema; ``annotation`` is what validates its contents."""
    try:
        spec = json.dumps(schema, ensure_ascii=False, separators=(",", ":"), sort_keys=False)
        spec.encode()
    except ValueError as error:  # a bound of 5,000 digits, or half a surrogate pair
        raise BadOp(f"the schema of {name} cannot be written: {error}") from error
    wanted = f"Answer with JSON of this form: {form(schema, {'$defs': schema.get('$defs', {})})}"
    parts = list(parts_of(schema))
    return ResultType(
        "json",
        name,
        wanted,
        constraint=Constraint("json", spec),
        annotation=annotation,
        notes=notes(schema),
        exact=any(is_decimal(part) for part in parts),
        sets=any(part.get("uniqueItems") for part in parts),
        times=any(part.get("format") in FORMATS for part in parts),
    )
