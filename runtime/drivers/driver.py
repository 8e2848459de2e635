"""A driver: a Python function that reaches outside, with its effect and the roles of its arguments.

Theory of operation
-------------------
A driver is declared once, by the person who writes the program, before any text is read:

    effect     pure      computes from its arguments alone
               read      looks at something, and changes nothing
               write     changes something that is ours
               external  reaches others: sends, pays, publishes, calls the network

    role       authority decides what happens to whom (a recipient, a path, an amount)
               selector  picks one of several things that may all be seen (an id, a page number)
               content   is carried along (the body of a letter, the words to look for)

Rules
1. What is not declared is external, and every argument authority.
2. What a driver brings is untrusted, replies of writes included, unless its declaration vouches
   for it (``brings``). What a pure one gives is trusted as its arguments are.
3. A driver is a value: frozen, hashable by what it declares, and known by one digest.
4. Arguments are checked against their annotations before anything else is looked at. A list or
   record is taken as it is then: what the program makes of its own later is not in the call.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from copy import deepcopy
from dataclasses import dataclass, field
from functools import partial
from hashlib import blake2b
from typing import Any, Literal, get_args, overload

from pydantic import TypeAdapter, ValidationError

from nlpu.binding import by_name
from nlpu.checks import COUNT, DEADLINE, FLAG, FUNCTION, LABEL, NAMES, TEXT, Fit, check, maybe
from nlpu.errors import BadOp, BadOperand
from nlpu.label import UNTRUSTED, USER, Label
from nlpu.lifting import contains_value, gather
from nlpu.ops.checks import hints_of
from nlpu.printing import one_line
from nlpu.types.holding import from_json, held
from nlpu.types.json_text import written
from nlpu.types.result import ResultType, adapter, result_type
from nlpu.value import Value, current

Effect = Literal["pure", "read", "write", "external"]
Role = Literal["authority", "selector", "content"]
EFFECTS: tuple[Effect, ...] = get_args(Effect)
ROLES: tuple[Role, ...] = get_args(Role)
DEADLINE_S = 60.0
MOST_BYTES = 1_000_000  # of a result: a reply that floods is refused


KEY: ContextVar[tuple[str, int]] = ContextVar("nlpu_idempotency_key", default=("", 0))


def idempotency_key() -> str:
    """Inside a driver: a name of this very call, the same if it is made again after a crash.

    A service that knows such keys does the thing once, however often it is told. Elsewhere empty.
    """
    return KEY.get()[0]


def fencing_token() -> int:
    """Inside a driver: a number that is larger in each life of the run. Elsewhere 0.

    A process that was stopped, taken to be dead and followed may wake up in the middle of an act.
    A service that keeps the largest number it was given of a run refuses what comes with less.
    """
    return KEY.get()[1]


LABELS: ContextVar[Mapping[str, Label] | None] = ContextVar("nlpu_labels", default=None)
BROUGHT: ContextVar[list[Label] | None] = ContextVar("nlpu_brought", default=None)


def label_given(name: str) -> Label:
    """Inside a driver: the label of an argument, joined with that of the program that gives it.

    Elsewhere untrusted: nobody has said whose word it is.
    """
    return (LABELS.get() or {}).get(name, UNTRUSTED)


def brought(label: Label) -> None:
    """Inside a driver: what it gives is labelled no better than this. In the journal, too."""
    labels = BROUGHT.get()
    if labels is not None:
        labels.append(label)


# What a repr has otherwise in every process: addresses, and the order of a set's items.
_ADDRESS, _ITEMS = re.compile(r" at 0x[0-9a-fA-F]+"), re.compile(r"\{([^{}:]*)\}")


@dataclass(frozen=True, slots=True)
class Argument:
    """One argument of a driver."""

    name: str
    annotation: Any
    role: Role = "authority"
    default: Any = inspect.Parameter.empty

    @property
    def optional(self) -> bool:
        """Whether it may be left out."""
        return self.default is not inspect.Parameter.empty


def _told(annotation: Any) -> str:
    """An annotation's repr, the same in every process."""
    plain = _ADDRESS.sub("", repr(annotation))
    return _ITEMS.sub(lambda items: f"{{{', '.join(sorted(items[1].split(', ')))}}}", plain)


@dataclass(frozen=True, slots=True)
class Driver:
    """A declared function. Calling it inside a run issues a node and returns its Value.

    brings:     label of what it gives. label_of: what a result says of its own label, joined.
    audience: who comes to read its arguments (None: anyone).
    idempotent: doing it twice is as doing it once, so an unknown outcome may be tried again.
    deadline_s: seconds after which it has failed. most_bytes: longest result; not a text: as JSON.
    """

    name: str
    about: str
    function: Callable[..., Any] = field(compare=False)
    arguments: tuple[Argument, ...]
    result: ResultType
    effect: Effect = "external"
    brings: Label = UNTRUSTED
    label_of: Callable[[Any], Label] | None = field(default=None, compare=False, kw_only=True)
    audience: frozenset[str] | None = None
    idempotent: bool = False
    deadline_s: float = DEADLINE_S
    most_bytes: int = MOST_BYTES
    digest: bytes = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        _check(self)
        if self.audience is not None:
            object.__setattr__(self, "audience", frozenset(self.audience))
        parts = [self.name, self.about, self.effect, repr(self.result), str(self.brings)]
        kinds = [_told(each.annotation) for each in self.arguments]
        parts += [f"{a.name}:{k}:{a.role}" for a, k in zip(self.arguments, kinds, strict=True)]
        parts += [repr(self.audience and sorted(self.audience)), repr(self.idempotent)]
        digest = blake2b("\0".join(parts).encode(), digest_size=16).digest()
        object.__setattr__(self, "digest", digest)

    def __repr__(self) -> str:
        given = ", ".join(f"{each.name}: {each.role}" for each in self.arguments)
        return one_line(f"Driver {self.name}({given}), {self.effect}: {self.about}", 160)

    def __call__(self, *args: Any, **named: Any) -> Value[Any]:
        """Issue the call. Raises BadOperand, NotInRun."""
        given = self.bind(args, named)
        return current().issue(Drive(self, tuple(given)), tuple(given.values()))

    def bind(self, args: tuple[Any, ...], named: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments by name, those that are there already checked. Raises BadOperand."""
        names = {each.name: each.name for each in self.arguments}
        optional = {each.name for each in self.arguments if each.optional}
        given = by_name(
            self.name, names, args=args, named=named, optional=optional, what="arguments"
        )
        return {name: self._taken(name, content) for name, content in given.items()}

    def _taken(self, name: str, content: Any) -> Any:
        if contains_value(content):
            return content if isinstance(content, Value) else gather(content)
        return deepcopy(self.checked(name, content))

    def checked(self, name: str, content: Any) -> Any:
        """The argument, made of its annotated type. Raises BadOperand (rule 4)."""
        kind = self._adapter(name)
        try:
            made = kind.validate_python(content)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise BadOperand(f"argument {name!r} of {self.name}: {what}") from error
        reads = partial(from_json, kind)
        held(f"argument {name!r} of {self.name}", made, lambda: written(kind, made, True), reads)
        return made

    def text_of(self, name: str, content: Any) -> str:
        """An argument as JSON, the same in every process. Raises ValueError."""
        return written(self._adapter(name), content, sets=True)

    def _adapter(self, name: str) -> TypeAdapter[Any]:
        return adapter(next(each.annotation for each in self.arguments if each.name == name))

    def role_of(self, name: str) -> Role:
        """The role of an argument."""
        return next((each.role for each in self.arguments if each.name == name), "authority")


@dataclass(frozen=True, slots=True)
class Drive:
    """The work of a node that calls a driver; ``names`` are those of its operands."""

    driver: Driver
    names: tuple[str, ...]

    @property
    def name(self) -> str:
        """What it does, for people."""
        return self.driver.name


@overload
def driver(function: Callable[..., Any], **declared: Any) -> Driver: ...


@overload
def driver(**declared: Any) -> Callable[[Callable[..., Any]], Driver]: ...


def driver(
    function: Callable[..., Any] | None = None,
    *,
    effect: Effect = "external",
    roles: Mapping[str, Role] | None = None,
    **declared: Any,
) -> Any:
    """Declare a function as a driver: its docstring says what it does, annotations its types.

    Raises BadOp where one of these is missing, or a declaration is none.

    Args:
        function: The function, plain or async; None where something is declared.
        effect: ``pure`` computes, ``read`` looks, ``write`` changes what is ours, ``external``
            reaches others.
        roles: By argument: ``authority`` decides and must be trusted, ``selector`` picks among
            what may be seen, ``content`` is carried along. Not named: authority.
        **declared: ``name``, ``brings``, ``label_of``, ``audience``, ``idempotent``,
            ``deadline_s`` (seconds) and ``most_bytes``, as fields of Driver.
    """
    if function is None:
        return lambda f: driver(f, effect=effect, roles=roles, **declared)
    hints = hints_of(function, "a driver")
    about = inspect.getdoc(function)
    if not about:
        raise BadOp(
            f"the driver {function.__name__} needs a docstring: programs and people read it"
        )
    unknown = sorted(declared.keys() - _FITS)
    if unknown:
        raise BadOp(
            f"the driver {function.__name__} cannot declare {unknown[0]!r}; there are effect, "
            f"roles, {', '.join(_FITS)}"
        )
    check(f"driver {function.__name__}", {"roles": roles}, {"roles": maybe(_ROLES)}, BadOp)
    given = dict(roles or {})
    arguments = []
    for name, parameter in inspect.signature(function).parameters.items():
        if name not in hints or parameter.kind not in (
            parameter.POSITIONAL_OR_KEYWORD,
            parameter.KEYWORD_ONLY,
        ):
            raise BadOp(f"argument {name!r} of the driver {function.__name__} needs a type")
        role = given.pop(name, "authority")
        arguments.append(Argument(name, hints[name], role, parameter.default))
    if given:
        raise BadOp(f"the driver {function.__name__} has no argument {next(iter(given))!r}")
    result = result_type(hints.get("return", str))
    declared.setdefault("brings", USER if effect == "pure" else UNTRUSTED)  # rule 2
    name = declared.pop("name", function.__name__)
    return Driver(
        name, about, function, arguments=tuple(arguments), result=result, effect=effect, **declared
    )


_ROLES: Fit = (lambda roles: isinstance(roles, Mapping), "a dict of roles by argument")
_FITS: dict[str, Fit] = {
    "name": TEXT,
    "brings": LABEL,
    "label_of": maybe(FUNCTION),
    "audience": maybe(NAMES),
    "idempotent": FLAG,
    "deadline_s": DEADLINE,
    "most_bytes": COUNT,
}


def _check(made: Driver) -> None:
    given = {name: getattr(made, name) for name in _FITS}
    check(f"driver {made.name}", given, _FITS, BadOp)
    if made.effect not in EFFECTS:
        raise BadOp(f"driver {made.name}: effect is one of {', '.join(EFFECTS)}")
    for each in made.arguments:
        if each.role not in ROLES:
            raise BadOp(
                f"driver {made.name}: the role of {each.name!r} is one of {', '.join(ROLES)}"
            )
