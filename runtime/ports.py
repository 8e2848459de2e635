"""Ports: what programs, kinds of work and drivers may ask of the machine, and of which part of it.

Theory of operation
-------------------
The kernel imports the mechanisms; none of them imports it. What one needs of another it gets as a
port, by its run (``RunState.ports``):

    graph       puts work on the graph, and is the only writer of what becomes of it
    calls       what the scheduler is told: of a new node, a call that is ready, one given up
    programs    starts, parks and ends programs
    outside     the loop: its time, its turns, and what comes from elsewhere

Rules
1. A port has at most seven methods.
2. Ports stand below the graph, so that it can have them, too: a node, a scope and a run are ``Any``
   here, and typed where they are used.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator, Iterable
from dataclasses import dataclass, field
from typing import Any, Protocol

from nlpu.errors import NlpuError, UnknownProcessor
from nlpu.label import Label
from nlpu.processor import Processor


class GraphPort(Protocol):
    """What kinds of work and drivers ask of the graph."""

    def issue(self, scope: Any, work: Any, operands: tuple[Any, ...]) -> Any:
        """Put work on the graph, and give its node."""

    def wait_for(self, node: Any, values: Iterable[Any], needed: int | None = None) -> None:
        """Make the node ready when all (or ``needed``) of the values are settled."""

    def settle(self, node: Any, content: Any, vouched: Label | None = None) -> None:
        """Give the node its content; ``vouched``: its label, where its operands' do not count."""

    def fail(self, node: Any, error: BaseException) -> None:
        """Give the node the error that is why it has no content."""

    def cancel(self, node: Any) -> None:
        """Give the node up: nothing needs it any more."""

    def send(self, node: Any) -> None:
        """Note that what the node stands for is under way."""


class CallsPort(Protocol):
    """What is told and asked of those who have calls made."""

    def issued(self, node: Any) -> None:
        """Take note of a new node, in the order of issue."""

    def ready(self, node: Any) -> None:
        """Find the result of a call, its equal, or its place in a queue: its operands are there."""

    def drop(self, node: Any) -> None:
        """Stop a call that nothing needs."""

    def listen(self, run: Any, listener: Callable[[Any, str], None]) -> None:
        """Hand pieces of the run's replies to a listener as they come."""

    def end(self, run: Any) -> None:
        """Let go of a run that is over."""

    def before(self, processor: str) -> int:
        """Give how many calls wait for a processor, or are under way there."""


class ProgramsPort(Protocol):
    """What scopes and nested programs ask of the executor."""

    thread: int  # the one on which programs run, and read

    def start(
        self,
        scope: Any,
        program: Callable[..., Any],
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
        ended: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Run a program in a scope; ``ended`` gets its result, or what it raised."""

    def finish(
        self,
        scope: Any,
        outcome: Any,
        error: BaseException | None,
        done: Callable[[Any, BaseException | None], None],
    ) -> None:
        """Gather what a program gave, and cancel what that does not need."""

    def park(self, scope: Any, node: Any) -> None:
        """Return when the node is settled; other programs run meanwhile."""

    def wait(self, scope: Any, node: Any) -> Generator[Any, None, None]:
        """As ``park``, for async programs. ``node``: None for what never comes."""

    def aside(self, scope: Any, work: Callable[[], Any]) -> Any:
        """Give what work gives that is done on a thread while programs wait."""

    def kill(self, scope: Any) -> None:
        """Unwind the program of a scope, if it is still running."""

    def strands(self, scope: Any) -> bool:
        """Tell whether a program that has ended, and asks all the same, waits for ever."""


class OutsidePort(Protocol):
    """What is asked of the loop."""

    turn_s: float  # when this turn began: a turn is one moment to its calls

    def now_s(self) -> float:
        """Give the time in seconds, on the loop's clock."""

    def soon(self) -> None:
        """Have a turn at the next opportunity."""

    def on_hub(self, step: Callable[[], None]) -> None:
        """Do something in the last phase of a turn, between programs."""

    def post(self, settle: Callable[..., None], *facts: Any) -> None:
        """Settle what came from elsewhere in the next turn. On the loop's thread only."""

    def spawn_io(self, work: Coroutine[Any, Any, None], *, lasting: bool = False) -> None:
        """Run something that waits for elsewhere, and ends by posting its outcome.

        lasting: it changes something, so a computer that closes gives it time to tell its outcome.
        """

    def run_blocking(
        self, node: Any, function: Callable[[], Any], then: Callable[[Any, Any], None]
    ) -> None:
        """Call a function on a thread, and post what it gave: ``then(node, content)``."""

    def stop(self, run: Any, error: BaseException) -> None:
        """End a run before its programs do."""


@dataclass(slots=True)
class Processors:
    """The processors that are there, by name, and why others are not."""

    opened: dict[str, Processor] = field(default_factory=dict)
    absent: dict[str, NlpuError] = field(default_factory=dict)
    default: str = ""

    def find(self, name: str | None) -> Processor:
        """Give the processor of that name, or the default one.

        Raises UnknownProcessor, and why it could not be opened.
        """
        found = self.opened.get(name or self.default)
        if found is None:
            if (name or self.default) in self.absent:
                raise self.absent[name or self.default].with_traceback(None)
            have = ", ".join(self.opened) or "none"
            raise UnknownProcessor(f"no processor is called {name!r}; this computer has: {have}")
        return found


@dataclass(slots=True)
class Ports:
    """The machine, as what runs on it sees it.

    person: who may be asked (drivers' business). dry: drivers with an effect are refused.
    """

    graph: GraphPort
    calls: CallsPort
    programs: ProgramsPort
    outside: OutsidePort
    processors: Processors
    person: Any = None
    dry: bool = False
