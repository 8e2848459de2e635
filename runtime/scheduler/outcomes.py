"""Outcomes: what becomes of an attempt when it has ended.

Theory of operation
-------------------
    a reply          decoded: the call and its sharers have their result
    an invalid one   asked for again with what is wrong (``Op.retries``); the last is a failure of
                     the model, and final
    a fault          tried again later, or final (``retry`` decides)
    dropped          nothing needs it any more; its budget is charged in full, as for a lost answer

A call that the budget refused waits here until something settles. Then the first of those refused
is tried, and the next when that one fitted, so a settlement costs one try and not one for each.

Rules
1. An outcome is an event, which is journaled before anyone sees it.
2. Sharers get their leader's outcome and keep their own labels.
3. Only faults of the host are tried again as they were. What is asked again with what was wrong
   is another attempt of the same call: with its key, in its turn, out of the same budget.
4. An attempt whose answer was lost has spent what it could: a budget is never exceeded.
"""

from __future__ import annotations

from nlpu.errors import DoesNotFit, EngineDied, HostError, ModelError, Overloaded, ProgramError
from nlpu.processor import FREE
from nlpu.prompt.complaint import Invalid, complaint, reason
from nlpu.prompt.decode import Decoded, decode
from nlpu.runtime.graph.stage import Stage, advance
from nlpu.runtime.graph.usage import Cost
from nlpu.runtime.scheduler.board import Board
from nlpu.runtime.scheduler.budget import TOKENS_PER_NLOP, Amount
from nlpu.runtime.scheduler.events import AskedAgain, Done, Follows, Lost, Poor, RetryAfter
from nlpu.runtime.scheduler.poor_judges import poverty
from nlpu.runtime.scheduler.queue import Attempt, ProcessorQueue, quarantined
from nlpu.wire import Reply, Usage

_NO_ROOM = "; the window has no room to ask again with what was wrong"
_NOTHING = Amount(0)


def update(board: Board, attempt: Attempt, outcome: Reply | BaseException, now: float) -> None:
    """Note what becomes of an attempt that has ended."""
    queue, run, cost = attempt.queue, attempt.run, attempt.node.call_cost
    del queue.attempts[attempt.node.issue_seq]
    queue.alone = False
    run.counts.in_flight -= 1
    if attempt.dropped:  # what it really took is not known, unless it was never sent
        run.ledger.settle(attempt.most, _NOTHING)
        if attempt.started:
            run.ledger.charge(attempt.most, lost=True)
        board.unblock(run)
        return
    assert cost is not None
    cost.service_s += now - attempt.sent_s
    cost.queue_s = attempt.sent_s - cost.start_s if cost.attempts == 1 else cost.queue_s
    run.fault = outcome if isinstance(outcome, HostError) else None
    if isinstance(outcome, Reply):
        _replied(board, attempt, outcome, cost)
    else:
        run.ledger.settle(attempt.most, _NOTHING)
        if isinstance(outcome, HostError):
            _faulted(board, attempt, outcome, now)
        else:
            board.close(run, attempt.node, _refused(attempt, outcome))
    if run.ledger.blocked:
        board.unblock(run)


# -- replies --------------------------------------------------------------------------------------


def _replied(board: Board, attempt: Attempt, reply: Reply, cost: Cost) -> None:
    run, queue = attempt.run, attempt.queue
    queue.health.answer(attempt.sent_s)
    queue.answered()
    took, price = reply.usage, queue.processor.price
    cost.add(took)
    money = 0.0
    if price is not FREE:
        money = price.of(took.prompt_tokens, took.cached_tokens, took.completion_tokens)
        cost.money += money
    if run.ledger.limited:
        tokens = took.prompt_tokens + took.completion_tokens
        nlops = took.completion_tokens / TOKENS_PER_NLOP
        run.ledger.settle(attempt.most, Amount(1, nlops, tokens, money))
    run.counts.completion_tokens += took.completion_tokens
    run.counts.prompt_tokens += took.prompt_tokens
    try:
        decoded = decode(attempt.node.node_work.op, reply)
    except (ModelError, ProgramError) as error:
        cost.wasted_tokens += took.completion_tokens
        if not _ask_again(board, attempt, reply, error):
            run.counts.calls += 1
            board.close(run, attempt.node, error)
        return
    run.counts.calls += 1
    _done(board, attempt, decoded, took.completion_tokens)


def _done(board: Board, attempt: Attempt, decoded: Decoded, tokens: int) -> None:
    node, run, key, cost = attempt.node, attempt.run, attempt.node.call_key, attempt.node.call_cost
    assert key is not None and cost is not None
    cost.trimmed = decoded.trimmed
    before = run.invalid.pop(key, ()) if run.invalid else ()
    why = poverty(node.node_work.op, attempt.queue.processor, decoded.content)
    poor = _poor(attempt, why, before, tokens) if why else None
    board.events.append(Done(node, decoded, poor))
    for sharer in run.followers.pop(key, ()):
        board.events.append(Follows(node, sharer))


def _poor(attempt: Attempt, why: str, before: tuple[Invalid, ...], tokens: int) -> Poor | None:
    """What is said of a poor judgement, if it is the run's first of that model."""
    model, told = attempt.queue.processor.capabilities.model, attempt.run.poor_judges
    if model in told:
        return None
    told.add(model)
    return Poor(f"{model} {why}", ProgramError(f"{model} {why}{_asked(before)}"), tokens)


def _ask_again(board: Board, attempt: Attempt, reply: Reply, error: Exception) -> bool:
    """Queue the call once more, if its reply can be complained of and there is room for that.

    If not, the error says how often it was asked, and what is wrong with a record.
    """
    node, run, cost = attempt.node, attempt.run, attempt.node.call_cost
    assert node.call_key is not None and node.operand_texts is not None and cost is not None
    op, before, more = node.node_work.op, run.invalid.get(node.call_key, ()), ""
    found = complaint(op, reply, error)
    if found is not None and len(before) < op.retries:
        try:
            processor = attempt.queue.processor.speaking(run.convention)
            size = len(processor.prompt(op, node.operand_texts, (*before, found)))
        except DoesNotFit:
            more = _NO_ROOM
        else:
            run.invalid[node.call_key] = (*before, found)
            cost.again += 1
            cost.unsent = 1
            board.events.append(
                AskedAgain(node, found, run.most(op, attempt.queue.processor, size))
            )
            advance(node, Stage.READY)
            run.counts.waiting += 1
            attempt.queue.push(node)
            board.due = True
            return True
    what = f"{error}{reason(op, found, error)}{_asked(before)}{more}"
    if what != f"{error}":
        error.args = (what,)
    return False


def _asked(before: tuple[Invalid, ...]) -> str:
    return f"; it was asked {len(before) + 1} times" if before else ""


def _refused(attempt: Attempt, error: BaseException) -> BaseException:
    """The error of a refused attempt: if only the complaint did not fit, what it was of."""
    node = attempt.node
    invalid = attempt.run.invalid.get(node.call_key or b"", ())
    if not invalid or not isinstance(error, DoesNotFit):
        return error
    try:
        decode(node.node_work.op, Reply(invalid[-1].text, "stop", Usage()))
    except ModelError as first:
        first.args = (f"{first}{_NO_ROOM}",)
        return first
    return error


# -- faults ---------------------------------------------------------------------------------------


def _faulted(board: Board, attempt: Attempt, error: HostError, now: float) -> None:
    node, queue, run = attempt.node, attempt.queue, attempt.run
    _charge_lost(board, attempt, error)
    queue.health.fault(node, error, attempt.sent_s, now)
    cost = node.call_cost
    assert cost is not None
    knocking, refused = queue.health.down, isinstance(error, Overloaded)
    cost.knocks += knocking
    if refused:
        cost.refused += not knocking
        queue.refused(attempt.sent_s, now)
    if queue.health.quarantined(node):
        board.close(run, node, quarantined(node, queue))
    elif knocking and queue.health.given_up(now):
        _give_up(board, attempt, error)
    elif refused and not queue.attempts and queue.health.given_up(now):
        board.close(run, node, error)  # it alone: the next in the queue may have more luck
    elif _may_retry(queue, cost, error):
        advance(node, Stage.READY)
        run.counts.waiting += 1
        queue.backing_off.add(node.issue_seq)
        seconds = queue.health.delay_s(cost.attempts - cost.knocks, error)
        board.events.append(RetryAfter(node, queue, seconds))
    else:
        board.close(run, node, error)


def _may_retry(queue: ProcessorQueue, cost: Cost, error: HostError) -> bool:
    free = cost.knocks + cost.refused + cost.again  # those did not fail
    left = cost.attempts - free < queue.processor.limits.attempts
    return error.transient and left and queue.health.may_retry(error)


def _charge_lost(board: Board, attempt: Attempt, error: HostError) -> None:
    """What an attempt without an answer may have taken, is spent (rule 4)."""
    down_s, most = attempt.queue.health.down_since_s, attempt.most
    knocked = down_s is not None and attempt.sent_s > down_s  # the dead generate nothing
    if error.free or (knocked and isinstance(error, EngineDied)):
        return
    beyond = max(0, error.generated - round(most.nlops * TOKENS_PER_NLOP))
    nlops, tokens = most.nlops + beyond / TOKENS_PER_NLOP, most.tokens + beyond
    took = Amount(1, nlops, tokens, most.money + attempt.queue.processor.price.of(0, 0, beyond))
    attempt.run.ledger.charge(took, lost=True)
    board.events.append(Lost(attempt.node, took))


def _give_up(board: Board, attempt: Attempt, error: HostError) -> None:
    """The server stays down: fail what waits for it, too."""
    board.close(attempt.run, attempt.node, error)
    queue, attempt.queue.calls = attempt.queue.calls, []
    for _, _, waiting in queue:
        if board.is_ready(waiting):
            run = board.run_of(waiting)
            board.close(run, waiting, error)
            run.counts.waiting -= 1
