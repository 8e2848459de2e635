"""The dispatcher: the one place where a driver is called.

Theory of operation
-------------------
A driver's node becomes ready when its arguments are there. Then, in this order:

    state       what happens                                             next
    arrived     its result is in the journal                             settled
                an equal effect was made elsewhere (``repeating``)       settled
                it was under way at a crash, and cannot be done twice    unclear
                the policy has no objection                              intended
                a person is needed                                       asked
    unclear     the person says: done | again | stop                     settled | intended | -
    asked       the person approves of exactly this call | does not      intended | settled
    intended    its intent is in the journal, synced to the disk         called
    called      a result, an error, or its deadline                      settled

Rules
1. Nothing is called before its intent is committed; with an effect, before that is on the disk.
2. A journaled result is never made again. An intent without a result is repeated only if that is
   harmless (pure, read, declared idempotent) or a person says so.
3. What labels permit is ``policy``'s to say; what a person approves is journaled with the intent,
   and what is called is that or nothing: contents that a program has changed meanwhile are not.
4. A result is checked against the driver's type and size before it is a content; its label is the
   driver's, joined with those of its arguments, of the scope, and of what it says itself
   (``brought``).
5. A failure of the driver is a DriverFailed of its node alone. It has the label of what was brought
   up to then; where results say their own label (``label_of``), a failure says none: untrusted.
6. What a program (or nested program) does to the world happens in the order in which it says so,
   and a look finds what was done before it and nothing that comes after; looks run in parallel.
   This is time alone: no data and no label flows, and a failure stops nothing that follows.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable
from contextvars import copy_context
from copy import deepcopy
from functools import reduce
from typing import Any, get_args
from uuid import uuid4

from pydantic_core import PydanticSerializationError

from nlpu.errors import BadOperand, DriverFailed, NeedsPerson, NlpuError, Refused, described
from nlpu.label import UNTRUSTED, USER, Label, join
from nlpu.lifting import check_text
from nlpu.printing import shown
from nlpu.runtime.drivers.approval import ExactCall
from nlpu.runtime.drivers.driver import BROUGHT, KEY, LABELS, Drive, Driver
from nlpu.runtime.drivers.person import PERSON, Verdict
from nlpu.runtime.drivers.policy import objections
from nlpu.runtime.drivers.repeating import made_before, seen_before
from nlpu.runtime.executor.threads import Threads
from nlpu.runtime.graph.kind import KINDS, Kind
from nlpu.runtime.graph.node import Node, content_of
from nlpu.runtime.graph.stage import Stage
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.journal.records import PastIntent
from nlpu.runtime.ports import GraphPort
from nlpu.types.json_text import compact
from nlpu.value import CURRENT, Value, peek_label

_HARMLESS = frozenset({"pure", "read"})


def _ready(graph: GraphPort, node: Node) -> None:
    """Arrived: all arguments are there."""
    run, driver, scope = node.issue_scope.run, node.node_work.driver, peek_label(node)
    node.lower_label(driver.brings)  # its failure, too
    given = _arguments(node)
    labels = _labels(node, scope)
    call = ExactCall(node.issue_position, driver, _json(driver, given), labels=labels, scope=scope)
    if node.run_ports.dry and driver.effect not in _HARMLESS:
        run.replay.refused.add(driver.name)
        raise Refused(f"{call.text} at {call.position}: a dry run changes nothing")
    harmless = driver.effect in _HARMLESS or driver.idempotent
    past = _met(node, call)
    if past is None and not run.replay.only:
        past = seen_before(run, call) if harmless else made_before(run, call)
    if past is not None and past.text:
        _settle(node, run.journal.texts[past.text], past.label)
    elif past is not None and past.message and not (harmless and not run.replay.only):
        raise _failing(node, DriverFailed(past.message), past.label)
    elif run.replay.only:
        asked = _weighed(call)
        if asked.objections and past is None:
            raise _refusal(asked)
        graph.fail(node, run.replay.missing(node.issue_position, node.work_name))
    elif past is not None and not harmless:
        _ask(node, call, lambda: _person(node, call).settles(call), _settled_by)
    else:
        asked, approved = _weighed(call), past is not None and past.approved
        if asked.objections and not approved:
            _ask(node, asked, lambda: _person(node, asked).approves(asked), _approved_by)
        else:
            _intend(node, call, approved=approved)


def _met(node: Node, call: ExactCall) -> PastIntent | None:
    """What the journal holds of this very call. Raises Diverged."""
    run, digest = node.issue_scope.run, call.digest
    before = run.replay.past.driven.get(call.position)
    if before is None:
        run.replay.check_kind("driver", call.position, f"calls the driver {call.driver.name}")
    elif before != digest and not run.replay.lenient:
        run.replay.diverge(f"{call.position} ({call.driver.name})", "another call was made there")
    return run.replay.past.intents.pop(digest, None)  # what is left has not been met


def _labels(node: Node, scope: Label) -> dict[str, Label]:
    """Those of the arguments."""
    return {
        name: peek_label(value) if isinstance(value, Value) else scope
        for name, value in zip(node.node_work.names, node.work_operands, strict=True)
    }


def _weighed(call: ExactCall) -> ExactCall:
    """The call with what stands against it."""
    return call._replace(objections=tuple(objections(call.driver, call.labels, call.scope)))


def _refusal(call: ExactCall) -> Refused:
    why = "; ".join(each.why for each in call.objections)
    return Refused(f"{call.text} at {call.position} was refused: {why}", call)


# -- asking a person ----------------------------------------------------------------------------


def _person(node: Node, call: ExactCall) -> Any:
    """The person of this computer. Raises NeedsPerson."""
    if node.run_ports.person is None:
        why = "; ".join(each.why for each in call.objections) or "its outcome is not known"
        raise NeedsPerson(
            f"{call} at {call.position} needs a person: {why}. Resume the run at a terminal"
        )
    return node.run_ports.person


def _ask(
    node: Node,
    call: ExactCall,
    question: Callable[[], Awaitable[Any]],
    then: Callable[[Node, ExactCall, Any], None],
) -> None:
    async def asked() -> None:
        try:
            answer, error = await _contained(question), None
        except Exception as failure:
            answer, error = None, failure
        node.run_ports.outside.post(_answered, node, call, answer, error, then)

    try:
        _person(node, call)
    except NeedsPerson as error:
        node.run_ports.outside.post(node.run_ports.outside.stop, node.issue_scope.run, error)
        return
    node.run_ports.outside.spawn_io(asked())


def _answered(
    node: Node,
    call: ExactCall,
    answer: Any,
    error: Exception | None,
    then: Callable[[Node, ExactCall, Any], None],
) -> None:
    if node.work_stage is Stage.SETTLED:
        return
    try:
        if error is not None:
            raise NeedsPerson(f"the person could not be asked about {call}: {described(error)}")
        then(node, call, answer)
    except NeedsPerson as stop:
        node.run_ports.outside.stop(node.issue_scope.run, stop)
    except NlpuError as failure:
        node.run_ports.graph.fail(node, failure)


def _clear(call: ExactCall, answer: Any, known: tuple[Any, ...]) -> None:
    """Take no answer for another: what only counts as true in Python is no approval."""
    if not any(isinstance(answer, type(each)) and answer == each for each in known):
        wanted = " or ".join(map(repr, known))
        raise NeedsPerson(f"the person's answer about {call} must be {wanted}, not {shown(answer)}")


def _approved_by(node: Node, call: ExactCall, yes: bool) -> None:
    _clear(call, yes, (True, False))
    if not yes:
        raise _refusal(call)
    _intend(node, call, approved=True)


def _settled_by(node: Node, call: ExactCall, verdict: Verdict) -> None:
    _clear(call, verdict, get_args(Verdict))
    if verdict == "again":
        _intend(node, call, approved=True)  # the person has just seen the exact call
    elif verdict == "done":
        lost = f"{call.text} at {call.position} was done before a crash; its result is lost"
        node.issue_scope.run.history.undone(
            node.issue_position, lost
        )  # what the program sees, in later lives
        raise _failing(node, DriverFailed(lost), USER)
    else:
        raise NeedsPerson(f"the outcome of {call} at {call.position} is not known yet")


# -- calling ------------------------------------------------------------------------------------


def _intend(node: Node, call: ExactCall, *, approved: bool) -> None:
    """Journal the intent; the call itself comes after the commit (rule 1)."""
    run, changes = node.issue_scope.run, call.driver.effect not in _HARMLESS
    run.history.intent(call.position, call.digest, call.text, approved, sync=changes)
    node.run_ports.graph.send(node)
    node.call_cost = Cost(how="driven", start_s=node.run_ports.outside.turn_s)

    def start() -> None:
        if run.status == "running" and node.work_stage is Stage.SENT:
            node.run_ports.outside.spawn_io(_called(node, call), lasting=changes)

    node.run_ports.outside.on_hub(start)


async def _called(node: Node, call: ExactCall) -> None:
    driver, text, failure = call.driver, "", None
    found: list[Label] = []
    PERSON.set(node.run_ports.person)  # in this task alone, as the next one
    KEY.set((_key(node, call), len(node.issue_scope.run.journal.rows) + 1))  # each life has rows
    LABELS.set({name: join(call.scope, label) for name, label in call.labels.items()})
    BROUGHT.set(found)
    try:
        performed = _perform(driver, _exactly(node, call))
        text = _checked(driver, await asyncio.wait_for(performed, driver.deadline_s))
    except NeedsPerson as stop:  # to answer a question: nothing has been done
        node.run_ports.outside.post(node.run_ports.outside.stop, node.issue_scope.run, stop)
        return
    except TimeoutError:
        failure = DriverFailed(f"{driver.name} gave no answer within {driver.deadline_s:g} s")
    except NlpuError as error:
        failure = DriverFailed(f"{driver.name} failed: {error}")
    except Exception as error:  # whatever a driver raises is its own failure (rule 5)
        failure = DriverFailed(f"{driver.name} failed: {described(error)}")
    node.run_ports.outside.post(_returned, node, text, failure, reduce(join, found, USER))


async def _perform(driver: Driver, given: dict[str, Any]) -> Any:
    token = CURRENT.set(None)  # it is outside the program: it has no ops
    try:
        if inspect.iscoroutinefunction(driver.function):
            return await _contained(lambda: driver.function(**given))
        loop = asyncio.get_running_loop()
        context = copy_context()
        return await loop.run_in_executor(Threads(), lambda: context.run(driver.function, **given))
    finally:
        CURRENT.reset(token)


async def _contained(work: Callable[[], Awaitable[Any]]) -> Any:
    """Await others' code; what would end our task or loop is its failure like any other."""
    task = asyncio.current_task()
    try:
        return await work()
    except (asyncio.CancelledError, SystemExit, KeyboardInterrupt) as error:
        if isinstance(error, asyncio.CancelledError) and task is not None and task.cancelling():
            raise  # we did that
        raise RuntimeError(described(error)) from None


def _returned(node: Node, text: str, failure: NlpuError | None, label: Label) -> None:
    """Journal the outcome, even of a run that was stopped meanwhile: it is a fact."""
    run = node.issue_scope.run
    if failure is None:
        run.history.effect(node.issue_position, text, label)
    else:
        run.history.undone(node.issue_position, str(failure), label)
    if node.work_stage is Stage.SETTLED:
        return
    assert node.call_cost is not None  # it was intended
    node.call_cost.service_s = node.run_ports.outside.turn_s - node.call_cost.start_s
    try:
        if failure is not None:
            raise _failing(node, failure, label)
        _settle(node, text, label)
    except NlpuError as error:
        node.run_ports.graph.fail(node, error)


def _failing(node: Node, failure: NlpuError, label: Label) -> NlpuError:
    """The failure, for raising, its node labelled by what was brought up to then (rule 5)."""
    told = label if node.node_work.driver.label_of is None else UNTRUSTED
    node.lower_label(join(label, told))
    return failure


def _settle(node: Node, text: str, label: Label) -> None:
    """``label``: came with the text. Raises DriverFailed where the driver cannot label it."""
    node.lower_label(label)
    driver: Driver = node.node_work.driver
    try:
        is_text = driver.result.kind == "text"  # parsing takes blanks off the ends of a reply
        content = text if is_text else driver.result.parse(text)
    except NlpuError as error:
        raise _failing(node, error, label) from None
    if driver.label_of is not None:
        try:
            node.lower_label(driver.label_of(content))
        except Exception as error:  # the driver's own code
            what = f"the label of what {driver.name} gave cannot be told"
            failure = DriverFailed(f"{what}: {described(error)}")
            raise _failing(node, failure, label) from error
    node.run_ports.graph.settle(node, content)


def _key(node: Node, call: ExactCall) -> str:
    """The run, the position and the exact call, as one name. Batches of one name have others."""
    run = node.issue_scope.run
    journal = run.journal.path.stem if run.journal.path is not None else uuid4().hex
    one = run.header.get("each", {}).get("one", "")
    return f"{journal}{one}.{run.number}-{call.digest}"


def _arguments(node: Node) -> dict[str, Any]:
    """The contents by name, checked. Raises BadOperand."""
    driver = node.node_work.driver
    return {
        name: driver.checked(name, content_of(value))
        for name, value in zip(node.node_work.names, node.work_operands, strict=True)
    }


def _exactly(node: Node, call: ExactCall) -> dict[str, Any]:
    """The arguments of that call, for the driver alone. Raises BadOperand (rule 3)."""
    given = _arguments(node)
    if _json(call.driver, given) != call.arguments:
        raise BadOperand("its arguments were changed after it was issued; nothing was done")
    return deepcopy(given)


def _json(driver: Driver, given: dict[str, Any]) -> str:
    try:
        parts = (f"{compact(name)}:{driver.text_of(name, given[name])}" for name in given)
        return "{" + ",".join(parts) + "}"
    except (PydanticSerializationError, ValueError) as error:
        raise BadOperand(
            f"an argument of {driver.name} cannot be written as JSON: {error}"
        ) from error


def _checked(driver: Driver, content: Any) -> str:
    """The result as its canonical text (rule 4). Raises DriverFailed."""
    what = f"the result of {driver.name}"
    try:
        text = check_text(driver.result.render(driver.result.keep(content, what)), what)
    except NlpuError as error:
        raise DriverFailed(str(error)) from error
    if len(text.encode()) > driver.most_bytes:
        raise DriverFailed(f"{what} is longer than {driver.most_bytes:,} bytes")
    return str.__str__(text)  # of no class of its own, as a later life reads it


def _issued(graph: GraphPort, node: Node) -> None:
    """It waits for its operands, and its turn (rule 6)."""
    scope, effect = node.issue_scope, node.node_work.driver.effect
    turn: list[Node] = []
    if effect == "read":
        turn = [last for last in scope.touched[:1] if last.node_work.driver.effect != "read"]
        scope.touched.append(node)
    elif effect != "pure":
        turn, scope.touched = scope.touched, [node]
    graph.wait_for(node, (*node.work_operands, *turn))


KINDS[Drive] = Kind(_issued, _ready, lasting=True)
