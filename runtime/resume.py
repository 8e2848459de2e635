"""How the state of a run begins: anew, again (resumed or replayed), or edited from another run.

Rules
1. What a later life must know is in the header row, as plain data; with its user's mark (``own``).
2. A run that has finished stays finished: resumed, it is replayed, whatever the program does now.
3. The three give a ``RunState`` that has not started; its owner starts it. Loop thread only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from nlpu.errors import Diverged, HostError
from nlpu.label import UNTRUSTED
from nlpu.runtime.eval.answers import known_answers
from nlpu.runtime.graph.node import Scope
from nlpu.runtime.graph.seen import Sight
from nlpu.runtime.journal.edits import Ancestor, Edits, check
from nlpu.runtime.journal.header import has_json, result_text, source_digest
from nlpu.runtime.journal.odd_rows import checked, past_in
from nlpu.runtime.journal.own import marked, text_name
from nlpu.runtime.journal.records import Past
from nlpu.runtime.journal.store import JournalStore, RunLog
from nlpu.runtime.observe.receipt_sums import receipt_of
from nlpu.runtime.ports import Ports
from nlpu.runtime.run import RunState
from nlpu.runtime.scheduler.budget import Budget


def log_of(store: JournalStore, number: int) -> RunLog:
    """Read a run's part of a store: the rows that are there (``odd_rows``)."""
    log = RunLog(store, number, store.read(number))
    checked(log)
    return log


def anew(ports: Ports, log: RunLog, header: Mapping[str, Any], budget: Budget) -> RunState:
    """Make a run that has no past."""
    if log.keeps:
        header = marked(header)
        log.append("run", header)
    state = RunState(
        ports,
        log,
        budget=budget,
        estimates=header["estimates"],
        ancestor=_ancestor(log, header),
        reads=header.get("reads", ""),
        header=header,
    )
    return _begun(state)


def again(
    ports: Ports,
    log: RunLog,
    program: Callable[..., Any],
    date_s: float,
    budget: Budget | None = None,
    *,
    changed: bool = False,
    replay: bool = False,
) -> RunState:
    """Make a run that goes on with its former lives. Raises Usage for an ancestor that is gone."""
    past = past_in(log, keep_host_failures=replay)
    if past.finished and not changed:  # rule 2
        past, replay = past_in(log, keep_host_failures=True), True
    header = past.header
    state = RunState(
        ports,
        log,
        budget=Budget(**header["budget"]) if budget is None else budget,
        estimates=header["estimates"],
        past=past,
        replay=replay,
        reuse_changed=changed,
        source_changed=header["source"] != source_digest(program),
        ancestor=_ancestor(log, header),
        reads=header.get("reads", ""),
        header=header,
    )
    if not state.replay.only:
        log.append("resume", date_s, changed)
    return _begun(state)


def edited(
    ports: Ports,
    log: RunLog,
    header: Mapping[str, Any],
    budget: Budget,
    origin: int,
    edits: Edits,
) -> RunState:
    """Make a new run from an old one of the same journal. Raises Usage for an edit of nothing."""
    past, before = _origin(log, origin)
    check(past, edits)
    edits = edits.over(before)
    ancestor = Ancestor(past, edits, log)
    link = {
        "number": origin,
        "results": {at: log.text(text) for at, text in edits.results.items()},
        "ops": {name: log.text(text) for name, text in edits.ops.items()},
        "distrusted": sorted(edits.distrusted),
        "names": [text_name(text) for kind in (edits.results, edits.ops) for text in kind.values()],
    }
    whole = {**header, "from": {**header.get("from", {}), **link}}
    whole.setdefault("reads", past.header.get("reads", ""))  # its arguments are those
    whole = marked(whole)
    log.append("run", whole)
    state = RunState(
        ports,
        log,
        budget=budget,
        estimates=header["estimates"],
        ancestor=ancestor,
        reads=whole["reads"],
        header=whole,
    )
    if past.header["source"] != header["source"]:
        state.replay.divergence = (
            "the program's source has changed since that run: results are reused where the same "
            "is asked, and edits are at their positions, whatever is there now"
        )
    return _begun(state)


def _begun(run: RunState) -> RunState:
    """Give a run the scope of its program."""
    run.root = Scope(run, "main", None, "main")
    if run.reads:
        run.root.label = UNTRUSTED
        run.root.sights.append(Sight(0, None, UNTRUSTED, run.reads))
    return run


def ended(state: RunState) -> None:
    """Write the last row of a run; hold a replay against it. The state may become failed."""
    error = state.error
    if error is None and state.replay.ancestor is not None and state.replay.ancestor.unused:
        places = ", ".join(sorted(state.replay.ancestor.unused))
        unused = f"no call of the edited op came to be at {places}: not edited there"
        state.replay.divergence = "; ".join(filter(None, [state.replay.divergence, unused]))
    if state.replay.only:
        if error is None and not _is_as_recorded(state):
            state.status, state.result = "failed", None
            state.error = Diverged(
                "the program gives another result than the journal holds for it"
                + ("; its source has changed since" if state.replay.source_changed else "")
            )
        return
    journal = state.journal
    if not journal.keeps or (isinstance(error, HostError) and not state.begun):
        return  # nothing is kept at all, or the header may be lost with what could not be written
    text = journal.text(result_text(state.result)) if error is None else 0
    told = None if error is None else [type(error).__name__, str(error)]
    receipt = receipt_of(state).model_dump_json()
    journal.append("end", state.status, text, told, last=receipt)


def _is_as_recorded(state: RunState) -> bool:
    """Whether a replay's result is that of the run; one without a JSON form cannot be told."""
    end = state.replay.past.end
    if end is None or end.status != "done":
        return True
    recorded = state.journal.texts.get(end.text)
    return recorded is None or not has_json(state.result) or recorded == result_text(state.result)


def _ancestor(log: RunLog, header: Mapping[str, Any]) -> Ancestor | None:
    link = header.get("from")
    if link is None:
        return known_answers(header.get("eval", {}).get("cache", ""), log)
    past, _ = _origin(log, link["number"])
    return Ancestor(past, _edits_of(log, header), log)


def _origin(log: RunLog, number: int) -> tuple[Past, Edits]:
    """What an edited run comes from, with the effects that those before it made and it did not.

    Its texts are lent to the edited run's log. And the edits that led to it.
    """
    origin = log_of(log.store, number)
    past = past_in(origin)

    def lent(made: Any) -> Any:
        return made._replace(text=log.lend(origin.texts[made.text])) if made.text else made

    past.outcomes = {key: lent(made) for key, made in past.outcomes.items()}
    past.intents = {digest: lent(made) for digest, made in past.intents.items()}
    link = past.header.get("from")
    if link is not None:
        older = _origin(log, link["number"])[0].intents
        past.intents = {d: older[d] for d in older if d not in past.inherited} | past.intents
    return past, _edits_of(origin, past.header)


def _edits_of(log: RunLog, header: Mapping[str, Any]) -> Edits:
    """The edits that led to a run, its ancestors' included."""
    link, texts = header.get("from", {}), log.texts
    return Edits(
        {at: texts[number] for at, number in link.get("results", {}).items()},
        {name: texts[number] for name, number in link.get("ops", {}).items()},
        frozenset(link.get("distrusted", ())),
    )
