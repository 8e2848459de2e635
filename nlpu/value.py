"""Values: the edges of the graph, and the one door between data and Python control flow.

Theory of operation
-------------------
An op takes Values and gives a Value at once, before its content exists. Passing a Value on draws
an edge and costs nothing. Python sees a content only where it asks for it: ``v.value``,
``bool(v)``, ``str(v)``, iteration, ``await v``. Asking is called *forcing*. It goes through the
current *issuer* (the scope of the program that asks), which parks the program until the content is
there and remembers that what the program does next depends on what it saw.

Rules
1. A Value is PENDING, then DONE with a content or FAILED with an error, and never changes again:
   a list or record that a program gets of it, or gave for it, is not the one in it.
2. A content leaves its Value where somebody is lowered by that, or nobody need be. Where no issuer
   is current (threads, contexts and callbacks of a program's own) a Value of a run that goes on
   refuses, and one that a program made lowers that program; finished runs and literals made outside
   of runs are read freely. It does not leave in a pickle, and a copy of a Value is that Value.
3. Values are not hashable and refuse ``==``: a comparison by identity would silently be wrong.
4. ``repr`` forces nothing and lowers nobody: it shows a content that is there, and in a program
   only one that its label would not lower. To look at another is to ask for it.
5. What a program is inside of is a context variable here, so that memory and firmware can issue
   ops without knowing the runtime. Where that has nothing, the runtime may know (``look_around``).
6. A Value that a program makes of a content of its own is labelled no better than the program:
   whatever it has seen may have gone into it.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from contextvars import ContextVar
from copy import deepcopy
from enum import IntEnum
from typing import TYPE_CHECKING, Any, Generic, NoReturn, Protocol, TypeVar, cast

from nlpu.errors import BadOperand, NlpuError, NotInRun
from nlpu.judgement import Judgement
from nlpu.label import UNTRUSTED, USER, Label, join
from nlpu.printing import one_line, shown

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class State(IntEnum):
    """Where a Value is in its life."""

    PENDING = 0
    DONE = 1
    FAILED = 2


class Issuer(Protocol):
    """What a program is inside of: the scope that issues its ops and parks it when it asks.

    label: what the program has seen so far, joined. going: whether its run has not ended.
    """

    label: Label

    @property
    def going(self) -> bool: ...

    def see(self, label: Label) -> None:
        """The program has seen something with this label. May be called from any thread."""

    def issue(self, work: Any, operands: tuple[Any, ...]) -> Value[Any]:
        """Put work on the graph and return its Value at once."""

    def force(self, value: Value[Any]) -> None:
        """Return when the value is settled; note that the program has seen it."""

    def wait(self, value: Value[Any]) -> Generator[Any, None, None]:
        """As ``force``, for ``await``."""

    def processor(self, name: str | None) -> Any:
        """The processor of that name, or the default one."""

    def remember(
        self, make: Callable[[], Any], what: str = "what was found", changes: str = ""
    ) -> Any:
        """What ``make`` gave when the program first came here: JSON, not null, without any op.

        what: names what is asked for; another is not answered by what was found for this one.
        changes: what it changes, if anything; then it is made in no dry run and in no replay.
        """

    def aside(self, work: Callable[[], Any]) -> Any:
        """What long work gives that needs no program: elsewhere, while calls go on."""


CURRENT: ContextVar[Issuer | None] = ContextVar("nlpu_current", default=None)
_FINDERS: list[Callable[[], Issuer | None]] = []


def look_around(find: Callable[[], Issuer | None]) -> None:
    """Have ``find`` say what code is inside of whose context does not (rule 5)."""
    _FINDERS[:] = [find]


def inside() -> Issuer | None:
    """The scope this code runs inside of, if any."""
    issuer = CURRENT.get()
    return _FINDERS[0]() if issuer is None and _FINDERS else issuer


def current() -> Issuer:
    """The scope this code runs inside of. Raises NotInRun outside any."""
    issuer = inside()
    if issuer is None:
        raise NotInRun(
            "ops work only inside a run; start one with Computer().run(program, ...) "
            "and call the op from within the program"
        )
    return issuer


def see(label: Label) -> None:
    """The program that runs here, if any, has seen something with this label."""
    issuer = inside()
    if issuer is not None:
        issuer.see(label)


def lowered(label: Label) -> Label:
    """The label, for what the program that runs here, if any, has made (rule 6)."""
    issuer = inside()
    return label if issuer is None else join(label, issuer.label)


def in_sight(label: Label) -> bool:
    """Whether the program that runs here, if any, stays as it is if it sees that label (rule 4)."""
    issuer = inside()
    return issuer is None or join(issuer.label, label) == issuer.label


def remembered(make: Callable[[], Any], what: str, changes: str = "") -> Any:
    """What ``make`` gives; for the program that runs here, if any, as it ``remember``s it."""
    issuer = inside()
    return make() if issuer is None else issuer.remember(make, what, changes)


def aside(work: Callable[[], T]) -> T:
    """What long work gives that needs no program; the one that runs here, if any, waits for it."""
    issuer = inside()
    return work() if issuer is None else cast("T", issuer.aside(work))


_ATOMS = (str, bool, int, float, type(None))
_PLAIN, _NESTS = frozenset(_ATOMS), frozenset({list, tuple, dict})
_DEEPEST = 8  # a list may hold itself


def own(content: Any) -> Any:
    """A content for a program to change as it likes; the Value's stays as it is (rule 1)."""
    if isinstance(content, _ATOMS):
        return content
    if type(content) is list and all(isinstance(item, _ATOMS) for item in content):
        return content.copy()
    try:
        return deepcopy(content)
    except Exception:  # no data: an object that only the program itself can have put there
        return content


def literal(content: Any, label: Label, maker: Issuer | None = None) -> Value[Any]:
    """A Value with exactly this label: for what no program has touched."""
    value: Value[Any] = Value.__new__(Value)
    value._state, value._content, value._error, value._label = State.DONE, content, None, label
    value._maker = maker
    return value


def reveal(value: Value[Any], *, there: bool) -> None:
    """Have programs see a Value that is settled as there, or as still on its way."""
    done = State.DONE if value._error is None else State.FAILED
    value._state = done if there else State.PENDING


class Value(Generic[R_co]):
    """A labelled content that may still be on its way.

    To pass it on draws an edge; to ask for its content (``value``, ``str``, ``bool``, iteration,
    ``await``) waits. Raises BadOperand where the label is none.

    Args:
        content: What it holds; it keeps a copy.
        label: Who vouches for it, joined with what the program that makes it has seen.
    """

    __slots__ = ("_content", "_error", "_label", "_maker", "_state")

    def __init__(self, content: Any = None, label: Label = USER) -> None:
        if not isinstance(label, Label):
            raise BadOperand(f"the label of a Value is a nlpu.Label, not {shown(label)}")
        maker = inside()
        self._state = State.DONE
        self._content = own(content)
        self._error: BaseException | None = None
        self._label = label if maker is None else join(label, maker.label)
        self._maker = maker

    # -- without forcing ------------------------------------------------------------------

    @property
    def label(self) -> Label:
        """The label; UNTRUSTED as long as neither content nor error is there."""
        return UNTRUSTED if self._state is State.PENDING else self._label

    @property
    def ready(self) -> bool:
        """Whether the content or the error is there; never waits."""
        return self._state is not State.PENDING

    def __repr__(self) -> str:
        if self._state is State.PENDING:
            said = "pending"
        elif not self._in_sight(self._label):
            said = f"not looked at ({one_line(str(self._label), 60)})"
        elif self._error is not None:
            said = f"failed: {shown(self._error, 100)}"
        else:
            return f"<Value {shown(self._content)}>"
        return f"<Value {said}{self._whence()}>"

    def _whence(self) -> str:
        """Where it comes from, for ``repr``."""
        return ""

    def _in_sight(self, label: Label) -> bool:
        """Whether who looks here, or else who made it, stays as it is if it sees that label."""
        issuer = inside() or self._maker
        return issuer is None or not issuer.going or join(issuer.label, label) == issuer.label

    # -- forcing ---------------------------------------------------------------------------

    @property
    def value(self) -> R_co:
        """The content. Waits for it, and raises the error of a Value that failed."""
        return own(self._seen())  # type: ignore[no-any-return]

    @property
    def error(self) -> BaseException | None:
        """Why it has no content, or None; waits for it. Async programs catch it at ``await``."""
        try:
            self._seen()
        except NlpuError as failure:
            if failure is not self._error:
                raise  # it could not even be asked for
        return self._error

    def _seen(self) -> Any:
        """The content itself, for looking only."""
        issuer = inside()
        if issuer is not None:
            issuer.force(self)
        else:
            self._seen_apart()
        return self._outcome()

    def _seen_apart(self) -> None:
        """It is read where no issuer is current (rule 2). Raises NotInRun where that is refused."""
        if self._maker is not None:
            self._maker.see(self._label)

    def _outcome(self) -> Any:
        if self._error is not None:
            raise self._error.with_traceback(None)  # of where it is asked for now, not before
        return self._content

    def __await__(self) -> Generator[Any, None, R_co]:
        issuer = inside()
        if issuer is not None:
            yield from issuer.wait(self)
        else:
            self._seen_apart()
        return own(self._outcome())  # type: ignore[no-any-return]

    def __bool__(self) -> bool:
        content = self._seen()
        if isinstance(content, bool | Judgement):
            return bool(content)
        raise BadOperand(
            f"this Value holds {type(content).__name__}, not a bool; ask a yes/no op, "
            "or use v.value to get the content"
        )

    def __str__(self) -> str:
        content = self._seen()
        return content if isinstance(content, str) else str(content)

    def __format__(self, spec: str) -> str:
        return format(self._seen(), spec)

    def __int__(self) -> int:
        return int(self._seen())

    def __float__(self) -> float:
        return float(self._seen())

    def __iter__(self) -> Iterator[Any]:
        return iter(self.value)  # type: ignore[call-overload, no-any-return]

    def __len__(self) -> int:
        return len(self._seen())

    def __getitem__(self, index: Any) -> Any:
        return own(self._seen()[index])

    def __contains__(self, item: object) -> bool:
        return item in self._seen()  # not by iteration: a text holds more than its characters

    def __eq__(self, other: object) -> NoReturn:
        raise BadOperand("Values are not compared; compare their contents: v.value == ...")

    def __hash__(self) -> NoReturn:
        raise BadOperand(
            "Values are not hashable: put contents (v.value) into sets and keys; in an async "
            "program await them one after the other, their calls run in parallel all the same"
        )

    def __getstate__(self) -> NoReturn:
        raise BadOperand("a Value cannot be pickled: give its content (str(v), v.value)")

    def __copy__(self) -> Value[R_co]:
        return self

    def __deepcopy__(self, memo: object) -> Value[R_co]:
        return self

    if not TYPE_CHECKING:  # a type checker finds these by itself

        def __getattr__(self, name: str) -> NoReturn:
            said = f"a Value has no attribute {name!r}"
            if name[0] != "_":  # else somebody probes for what objects may have
                said += (
                    ": it is a node of the graph, whose content may still be on its way; ask for "
                    f"the content, .value.{name}, or in an async program (await ...).{name}"
                )
            raise AttributeError(said)

        def _operated(self, other: object) -> NoReturn:
            raise TypeError(
                "a Value is no operand of +, < and the like: use its content, str(v) or v.value, "
                "or lift() a function over Values"
            )

        __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = _operated
        __truediv__ = __rtruediv__ = __lt__ = __le__ = __gt__ = __ge__ = _operated

    def each(self) -> list[Any]:
        """Give the elements of a list as Values of their own, so that each may fail alone.

        Where they are known before the whole, as of a map, nothing waits.
        """
        return [item if isinstance(item, Value) else literal(item, self._label) for item in self]


def adopted(given: Any, maker: Issuer, depth: int = 0) -> Any:
    """What a program is given, with the literals in it as its own: read apart, they lower it.

    Lists, tuples and dicts that hold some are made anew; others are what they were.
    """
    if type(given) is Value:
        return literal(given._content, given._label, maker)
    items = given.values() if type(given) is dict else given
    if type(given) not in _NESTS or _PLAIN.issuperset(map(type, items)) or depth == _DEEPEST:
        return given
    mine = [adopted(item, maker, depth + 1) for item in items]
    if all(new is old for new, old in zip(mine, items, strict=True)):
        return given
    return dict(zip(given, mine, strict=True)) if type(given) is dict else type(given)(mine)


def peek_label(value: Value[Any]) -> Label:
    """Give a Value's label; nobody is lowered by that. For the runtime alone, as the next two."""
    return value._label


def peek_content(value: Value[Any]) -> Any:
    """Give a Value's content, None where it has none (yet)."""
    return value._content


def peek_error(value: Value[Any]) -> BaseException | None:
    """Give why a Value has no content, None where it is not known to have none."""
    return value._error
