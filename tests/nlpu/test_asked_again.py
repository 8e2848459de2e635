"""A typed reply that is no result is asked for again, with what was wrong, in turns of the chat.

What is sent, when it is sent at all, what it costs, and what a kill leaves of it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
from fault_kit import Servers, prompt_text, servers, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from journal_kit import Opened, forge
from kit import Doomed, computer, count, echo, execute, finish, resumed, said, yes
from pydantic import BaseModel, Field, field_validator

from benchmarks.fake_vllm.faults import Seen as SeenByServer
from nlpu import Limits, Price, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import (
    BadProgram,
    BudgetExceeded,
    Declined,
    DoesNotFit,
    EmptyReply,
    JournalDamaged,
    Malformed,
    ModelError,
    NlpuError,
    ServerFault,
    Truncated,
)
from nlpu.label import UNTRUSTED
from nlpu.ops.op import Op
from nlpu.prompt.codec import Codec, decode, messages_of
from nlpu.prompt.complaint import Invalid, complaint
from nlpu.prompt.convention import FIRST, SECOND, Convention, read, written
from nlpu.prompt.frames import frame_from_template
from nlpu.prompt.markers import MARK
from nlpu.runtime import Budget, Computer, Run, first
from nlpu.runtime.handle import state_of
from nlpu.runtime.journal.odd_rows import past_in
from nlpu.runtime.journal.records import past_of
from nlpu.runtime.observe.pieces import AGAIN
from nlpu.runtime.plans.bounds import Bounds
from nlpu.runtime.plans.execute import program_of
from nlpu.runtime.plans.format import write
from nlpu.runtime.plans.parse import read as read_plan
from nlpu.runtime.resume import log_of
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.tokens import CharTokenizer
from nlpu.value import Value
from nlpu.wire import Reply, Request, Usage

__all__ = ["servers", "tokenizer"]  # fixtures


class Person(BaseModel):
    name: str
    age: int = Field(ge=18)


@nlop
def person(text: str) -> Person:
    """Who is it?"""


ANN, BEN = '{"name":"Ann","age":30}', '{"name":"Ben","age":7}'
TOO_YOUNG = "age: Input should be greater than or equal to 18"


def stubborn(seen: Seen) -> str:
    """Is wrong about everything, until it is told so."""
    right = {"Who": ANN, "many": "3", "so?": "yes"}
    wrong = {"Who": BEN, "many": "three", "so?": "perhaps"}
    told = right if seen.again else wrong
    return next((text for word, text in told.items() if word in seen.instruction), said(seen))


def both(run: Run) -> tuple[int, int]:
    return run.receipt.attempts, run.receipt.asked_again


# -- what is sent -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("op", "result", "wrong", "why"),
    [
        (person, Person(name="Ann", age=30), BEN, TOO_YOUNG),
        (count, 3, "three", "it is not a whole number"),
        (yes, True, "perhaps", "it is not yes or no"),
    ],
)
def test_it_is_told_what_was_wrong(op: Op[Any], result: Any, wrong: str, why: str) -> None:
    engine = Scripted(stubborn)
    run = execute(lambda: op("x"), engine=engine)
    assert run.result == result
    before, after = engine.seen
    assert (before.again, before.operands) == ("", {"text": "x"})
    assert after.operands == before.operands and after.instruction == before.instruction
    reply, _, words = after.again.partition("\n")
    assert reply == wrong
    assert why in words and op.result.contract in words
    assert after.request.constraint == before.request.constraint
    assert after.request.prompt[: len(before.request.prompt)] == before.request.prompt
    assert both(run) == (2, 1)


def test_what_it_is_told_of_json() -> None:
    def why(text: str, op: Op[Any] = person) -> str:
        with pytest.raises(ModelError) as found:
            decode(op, Reply(text, "stop", Usage(1, 1)))
        told = complaint(op, Reply(text, "stop", Usage(1, 1)), found.value)
        assert told is not None and told.text == text.strip()
        return told.why

    assert why('{"name":"Ann"') == "it is not JSON: Expecting ',' delimiter at character 14"
    assert why('{"name":"Ann"}') == "age: Field required"
    assert why('{"age":7}') == f"name: Field required; {TOO_YOUNG}"
    assert why("  ") == "it is empty"
    assert why(f"Here:\n```json\n{BEN}\n```\n") == TOO_YOUNG
    people = nlop_of(list[Person])
    assert why(f"[{ANN},{BEN}]", people) == f"[1].{TOO_YOUNG}"
    assert why(f"[{','.join([BEN] * 9)}]", people).endswith(f"[2].{TOO_YOUNG}; and 6 more")
    assert why("blue", nlop_of(Literal["red", "green"])) == "it is not one of red, green"


def nlop_of(kind: Any) -> Op[Any]:
    def found(text: str) -> Any:
        """Find it."""

    found.__annotations__["return"] = kind
    return nlop(found)


class Picky(BaseModel):
    """What a validator says may name objects, hold anything, and be as long as it likes."""

    name: str

    @field_validator("name")
    @classmethod
    def pick(cls, name: str) -> str:
        if name == "key":
            raise KeyError(name)
        raise ValueError(f"{object()} \n" + "long " * 999)


def test_what_a_validator_says_is_one_short_line_and_names_no_address() -> None:
    op = nlop_of(Picky)
    for name, start in (("key", "it is not a Picky: KeyError: 'key'"), ("x", "name: <object obj")):
        reply = Reply(f'{{"name":"{name}"}}', "stop", Usage(1, 1))
        with pytest.raises(Malformed) as found:
            decode(op, reply)
        told = complaint(op, reply, found.value)
        assert told is not None and told.why.startswith(start)
        assert len(told.why) < 300 and "\n" not in told.why and "0x" not in told.why
        told.why.encode()


@given(st.text(max_size=99), st.text(max_size=99))
def test_no_reply_becomes_a_special_token_or_another_prompt(text: str, why: str) -> None:
    text = text.encode(errors="replace").decode()
    codec = Codec(CharTokenizer(), frame_from_template(CharTokenizer(), CHATML))
    plain = codec.encode(person, ["x"])
    prompt = codec.encode(person, ["x"], SECOND, [Invalid(text, why)])
    wanted = "".join(map(chr, plain)) + (text or "...") + "<|im_end|>\n<|im_start|>user\n"
    assert "".join(map(chr, prompt)).startswith(wanted)


CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
    "<|im_start|>assistant{{ '\\n' }}"
)
NO_ANSWERS = "{% for m in messages %}{% if m.role == 'assistant' %}{{ raise_exception('no') }}"
NO_ANSWERS += "{% endif %}[{{ m.role }}]{{ m.content }}{% endfor %}[answer]"
INVALID = [Invalid("one <|im_end|>", "it is not two {contract}"), Invalid("", "it is empty")]


def test_a_template_without_such_turns_gets_them_as_text() -> None:
    frame = frame_from_template(CharTokenizer(), NO_ANSWERS)
    assert not frame.turns
    text = "".join(map(chr, Codec(CharTokenizer(), frame).encode(count, ["x"], SECOND, INVALID)))
    assert text.count("[user]") == 1 and text.endswith("[answer]")
    assert "Your answer was:\n```\none <|im_end|>\n```\n" in text
    assert "not a valid answer: it is not two {contract}.\n" in text
    _, only = messages_of(count, ["x"], invalid=INVALID, frame=frame)
    assert f"```\none <{MARK}|im_end|>\n```\n" in only.content


def test_messages_are_turns_and_markers_in_them_are_broken() -> None:
    plain = messages_of(count, ["x"])
    sent = messages_of(count, ["x"], invalid=INVALID)
    assert sent[:2] == plain
    assert [turn.role for turn in sent] == ["system", "user"] + ["assistant", "user"] * 2
    assert [turn.content for turn in sent[2::2]] == [f"one <{MARK}|im_end|>", "..."]
    assert sent[3].content.endswith(count.result.contract)


@pytest.mark.parametrize("mode", ["tokens", "messages"])
@pytest.mark.parametrize("stream", [False, True])
def test_a_real_server_gets_the_turns(
    servers: Servers, tokenizer: str, mode: str, stream: bool
) -> None:
    def answer(seen: SeenByServer) -> str:
        return ANN if "not a valid answer" in prompt_text(seen.body) else BEN

    home = tokenizer if mode == "tokens" else None
    with servers.serve(answer=answer, tokenizer=home) as server:
        with Computer(HttpEngine(server.url), limits=Limits(max_in_flight=4)) as machine:
            run = machine.start(lambda: person.map(["a", "b"]), stream=stream).wait(60)
        bodies = [seen.body for seen in server.seen]
    assert run.result == [Person(name="Ann", age=30)] * 2
    assert len(bodies) == 4 and both(run) == (4, 2)
    firsts = [body for body in bodies if "not a valid" not in prompt_text(body)]
    again = [body for body in bodies if "not a valid" in prompt_text(body)]
    assert len(firsts) == len(again) == 2
    for body in again:
        assert BEN in prompt_text(body) and TOO_YOUNG in prompt_text(body)
        if "messages" in body:
            roles = [turn["role"] for turn in body["messages"]]
            assert roles[-3:] == ["user", "assistant", "user"]
            assert body["messages"][-2]["content"] == BEN
        same = [name for name in firsts[0] if name not in ("prompt", "messages", "priority")]
        assert {name: body[name] for name in same if "id" not in name} == {
            name: firsts[0][name] for name in same if "id" not in name
        }
    assert ("messages" in bodies[0]) == (mode == "messages")


# -- when it is asked again ---------------------------------------------------------------------


class Saying(Scripted):
    """Gives the replies that it was given."""

    def __init__(self, *replies: Reply) -> None:
        super().__init__("")
        self.replies = [*replies]

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        await super().send(request)
        return self.replies.pop(0)


FINAL: list[tuple[Op[Any], Reply, type[NlpuError]]] = [
    (count, Reply("12", "length", Usage(1, 1)), Truncated),
    (person, Reply('{"name":"A', "length", Usage(1, 1)), Truncated),
    (count, Reply("", "stop", Usage(1, 1), declined="no"), Declined),
    (echo, Reply("", "stop", Usage(1, 1)), EmptyReply),
    (echo, Reply("\ud800", "stop", Usage(1, 1)), Malformed),
    (echo, Reply("cut", "length", Usage(1, 1)), Truncated),
    (count.using(retries=0), Reply("three", "stop", Usage(1, 1)), Malformed),
    (count.using(retries=0), Reply("", "stop", Usage(1, 1)), EmptyReply),
]


@pytest.mark.parametrize(("op", "reply", "error"), FINAL)
def test_what_is_never_asked_again(op: Op[Any], reply: Reply, error: type[NlpuError]) -> None:
    engine = Saying(reply)
    run = execute(lambda: op("x"), engine=engine)
    assert type(run.error) is error
    assert "asked" not in str(run.error) and both(run) == (1, 0)


def test_one_that_is_empty_or_no_text_is_asked_again() -> None:
    for text in ("", "\ud800"):
        engine = Saying(Reply(text, "stop", Usage(1, 1)), Reply("3", "stop", Usage(1, 1)))
        assert execute(lambda: count("x"), engine=engine).result == 3


def test_a_text_with_bounds_is_a_type() -> None:
    from typing import Annotated

    short = nlop_of(Annotated[str, Field(max_length=3)])
    engine = Scripted(["too long", "ok"])
    assert execute(lambda: short("x"), engine=engine).result == "ok"
    assert "should have at most 3 characters" in engine.seen[1].again


@pytest.mark.parametrize("retries", [0, 1, 3])
def test_the_last_error_says_how_often_it_was_asked(retries: int) -> None:
    engine = Scripted("three")
    run = execute(lambda: count.using(retries=retries)("x"), engine=engine)
    assert isinstance(run.error, Malformed)
    more = f"; it was asked {retries + 1} times" if retries else ""
    assert str(run.error) == f"the reply 'three' is not a whole number{more}"
    assert len(engine.seen) == retries + 1
    assert [seen.again.count("valid answer") for seen in engine.seen] == [*range(retries + 1)]
    assert (run.receipt.calls, run.receipt.failed, *both(run)) == (1, 1, retries + 1, retries)


def test_what_is_cut_when_asked_again_is_final() -> None:
    engine = Saying(Reply("three", "stop", Usage(1, 1)), Reply("3", "length", Usage(1, 32)))
    run = execute(lambda: count("x"), engine=engine)
    assert isinstance(run.error, Truncated) and str(run.error).endswith("it was asked 2 times")
    assert run.receipt.wasted_nlops == 0.33


def test_a_window_without_room_for_that_keeps_the_error() -> None:
    engine = Scripted("three", window=len(_prompt(count)) + count.max_tokens + 9)
    run = execute(lambda: count("x"), engine=engine)
    assert isinstance(run.error, Malformed) and len(engine.seen) == 1
    assert str(run.error).startswith("the reply 'three' is not a whole number; the window has no ")
    assert both(run) == (1, 0)


def test_a_server_that_finds_no_room_for_it_keeps_the_error_too() -> None:
    engine = Scripted(["three", DoesNotFit("too long")])
    run = execute(lambda: count("x"), engine=engine)
    assert isinstance(run.error, Malformed)
    assert str(run.error).startswith("the reply 'three' is not a whole number; the window has no ")


def _prompt(op: Op[Any]) -> Sequence[Any]:
    engine = Scripted("3")
    execute(lambda: op("x"), engine=engine)
    return engine.seen[0].request.prompt


def test_faults_between_are_tried_again_as_ever() -> None:
    engine = Scripted(["three", ServerFault("no"), ServerFault("no"), "3"])
    run = execute(lambda: count("x"), engine=engine, limits=Limits(attempts=3))
    assert run.result == 3
    assert both(run) == (4, 1)
    assert engine.seen[1].again == engine.seen[3].again


# -- who gets it --------------------------------------------------------------------------------


def test_equal_calls_get_the_mended_result() -> None:
    engine = Scripted(stubborn)
    run = execute(lambda: [count("x") for _ in range(5)], engine=engine)
    assert run.result == [3] * 5
    assert (len(engine.seen), run.receipt.shared, run.receipt.calls) == (2, 4, 1)


def test_an_heir_goes_on_where_it_was() -> None:
    def script(seen: Seen) -> Any:
        return Say(
            stubborn(seen) if "many" in seen.instruction else "fast",
            seconds=1.0 if seen.instruction.startswith("How") else 1.5,
        )

    def program() -> Any:
        raced = first(count("x"), echo("y"))  # it is cancelled while it is asked again
        return raced, count("x")

    engine = Scripted(script)
    run = execute(program, engine=engine)
    assert run.result == ("fast", 3)
    assert len([seen for seen in engine.seen if "many" in seen.instruction]) == 2
    assert run.receipt.asked_again == 1


def test_labels_are_those_of_the_call() -> None:
    def program() -> Any:
        good, bad = count("x"), count(Value("y", UNTRUSTED))
        echo("time passes").value  # noqa: B018
        labels = [int(good), good.label]
        return [*map(str, labels), int(bad), str(bad.label)]

    run = execute(program, engine=stubborn)
    assert run.result == execute(program, engine={"many": "3"}).result
    assert run.result == ["3", "user", 3, "untrusted"]


def test_what_reads_it_waits_for_the_mended_one() -> None:
    run = execute(lambda: echo(str(count("x").value)), engine=stubborn)
    assert run.result == "3" and run.receipt.depth == 2


# -- streaming ----------------------------------------------------------------------------------


@given(st.lists(st.sampled_from(["one", "12x", "1 2", "12 apples"]), max_size=3))
def test_a_stream_says_that_it_begins_anew(wrong: list[str]) -> None:
    op = count.using(retries=3)
    with computer(Scripted([*wrong, "12"])) as machine:
        run = machine.start(lambda: op("x"), stream=True)
        pieces = "".join(run.stream())
        assert finish(run).result == 12
    assert pieces.rpartition(AGAIN)[2] == "12"
    assert AGAIN in pieces or not wrong


# -- what it costs ------------------------------------------------------------------------------


def test_what_was_no_result_is_wasted_and_all_of_it_adds_up(tmp_path: Path) -> None:
    engine = Scripted(stubborn)
    price = Price(prompt=1.0, completion=10.0)
    run = execute(
        lambda: person.map(["a", "b"]), engine=engine, run_dir=tmp_path, prices={"main": price}
    )
    receipt = run.receipt
    assert receipt.prompt_tokens == sum(len(seen.request.prompt) for seen in engine.seen)
    assert (receipt.calls, receipt.attempts, receipt.asked_again) == (2, 4, 2)
    assert 0 < receipt.wasted_nlops < receipt.nlops
    assert receipt.money == pytest.approx(
        price.of(receipt.prompt_tokens, 0, receipt.completion_tokens)
    )
    assert "; 2 asked again" in str(receipt)
    (part,) = receipt.by_op
    assert part.asked_again == 2
    assert run.counts.calls == 2
    past = folded(tmp_path)
    assert (past.lost, past.open, past.invalid) == ([], [], {})
    again = resumed(tmp_path, run, lambda: person.map(["a", "b"]), replay=True)
    assert (again.result, again.receipt.reused, again.receipt.calls) == (run.result, 2, 0)
    assert again.receipt.work_tokens == receipt.work_tokens


def folded(run_dir: Path) -> Any:
    return past_of(rows_of(run_dir))


def rows_of(run_dir: Path) -> list[Any]:
    journal = Opened(next(run_dir.glob("*.db")), read_only=True)
    journal.close()
    return journal.rows


def test_a_budget_stops_before_it_is_asked_again(tmp_path: Path) -> None:
    engine = Scripted(stubborn)
    run = execute(lambda: count("x"), engine=engine, run_dir=tmp_path, budget=Budget(calls=1))
    assert isinstance(run.error, BudgetExceeded) and len(engine.seen) == 1
    assert run.receipt.asked_again == 0 and "asked again" not in str(run.receipt)
    same = resumed(tmp_path, run, lambda: count("x"), engine=engine)
    assert isinstance(same.error, BudgetExceeded) and len(engine.seen) == 1  # it stays spent
    more = resumed(tmp_path, run, lambda: count("x"), engine=engine, budget=Budget(calls=2))
    assert more.result == 3
    assert len(engine.seen) == 2 and engine.seen[1].again  # it went on where it was
    last = resumed(
        tmp_path,
        run,
        lambda: [count("x"), count("y")],
        budget=Budget(calls=2),
        engine=engine,
        changed=True,
    )
    assert last.status == "stopped" and len(engine.seen) == 2


ANSWERS = st.lists(st.sampled_from(["1", "one", "", "2"]), min_size=1, max_size=6)


@given(
    answers=st.dictionaries(st.sampled_from("abcd"), ANSWERS, min_size=1),
    retries=st.integers(0, 3),
    budget=st.builds(
        Budget,
        calls=st.none() | st.integers(0, 9),
        nlops=st.none() | st.floats(0, 3),
        tokens=st.none() | st.integers(0, 3000),
    ),
    room=st.integers(1, 4),
)
def test_no_call_is_sent_more_often_and_nothing_is_overspent(
    answers: dict[str, list[str]], retries: int, budget: Budget, room: int
) -> None:
    asks = count.using(retries=retries)
    sent: dict[str, list[str]] = {name: [] for name in answers}

    def script(seen: Seen) -> str:
        name = seen.operands["text"]
        texts = answers[name]
        sent[name].append(texts[min(len(sent[name]), len(texts) - 1)])
        return sent[name][-1]

    def program() -> Any:
        values = [asks(name) for name in answers]
        done: dict[str, Any] = {}
        for name, value in zip(answers, values, strict=True):
            try:
                done[name] = int(value)
            except ModelError as error:
                done[name] = type(error).__name__
        return done

    run = execute(program, engine=script, budget=budget, limits=Limits(max_in_flight=room))
    receipt = run.receipt
    assert all(len(texts) <= 1 + retries for texts in sent.values())
    for texts in sent.values():
        assert all(not text.isdigit() for text in texts[:-1])  # a result is final
    attempts = sum(map(len, sent.values()))
    assert receipt.attempts == attempts or run.status == "stopped"  # one may be dropped unsent
    assert budget.calls is None or attempts <= budget.calls
    assert budget.nlops is None or receipt.nlops <= budget.nlops + 1e-9
    taken = receipt.prompt_tokens + receipt.completion_tokens
    assert budget.tokens is None or taken <= budget.tokens
    wasted = sum(1 for texts in sent.values() for text in texts if text == "one")
    assert receipt.wasted_nlops == pytest.approx(wasted / 100)
    if run.status == "done":
        for name, texts in sent.items():
            last = {"one": "Malformed", "": "EmptyReply"}.get(texts[-1], texts[-1])
            assert str(run.result[name]) == last
            assert len(texts) == 1 + retries or texts[-1].isdigit()


# -- kills --------------------------------------------------------------------------------------


@pytest.mark.parametrize("at", [2, 3])
def test_killed_between_it_goes_on_and_all_was_paid(tmp_path: Path, at: int) -> None:
    """The second request is the first that is asked again: it is open at the death, or answered."""
    before, grave = tmp_path / "before", tmp_path / "grave"

    def program() -> Any:
        return [int(count("x")), int(count("y"))]

    doomed = Doomed(stubborn, before, grave, at=at)
    run = execute(program, engine=doomed, run_dir=before)
    engine = Scripted(stubborn)
    with computer(engine, run_dir=grave) as machine:
        last = finish(machine.resume(run.name, program, budget=Budget(nlops=99)))
        spent = state_of(last).ledger.spent
    assert last.result == [3, 3]
    names = [(seen.operands["text"], bool(seen.again)) for seen in engine.seen]
    assert names == ([("x", True)] if at == 2 else []) + [("y", False), ("y", True)]
    # x twice, y twice, and once what was open at the death: it could take all its 32 tokens
    assert spent.calls == 5
    assert spent.nlops == pytest.approx(0.04 + 0.32)
    assert folded(grave).invalid == {}


class Dying(Scripted):
    """A server that is gone after some answers."""

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        if len(self.seen) >= 1:
            raise ServerFault("gone")
        return await super().send(request, on_text)


def test_a_failure_of_the_host_between_keeps_what_was_paid(tmp_path: Path) -> None:
    limits = Limits(attempts=1)
    run = execute(lambda: count("x"), engine=Dying(stubborn), run_dir=tmp_path, limits=limits)
    assert isinstance(run.error, ServerFault)
    for _ in range(2):  # of the next life nothing is lost either
        engine = Scripted(stubborn)
        with computer(engine, run_dir=tmp_path) as machine:
            last = finish(machine.resume(run.name, lambda: count("x"), budget=Budget(calls=9)))
            assert state_of(last).ledger.spent.calls == 3  # no result, no answer, the last
        assert last.result == 3
        assert [bool(seen.again) for seen in engine.seen] in ([True], [])


def test_a_cancelled_one_was_paid_for(tmp_path: Path) -> None:
    def script(seen: Seen) -> Any:
        slow = seen.again or "Repeat" in seen.instruction
        return Say(stubborn(seen), seconds=(9.0 if seen.again else 2.0) if slow else 1.0)

    def program() -> Any:
        return first(count("x"), echo("y")).value, echo("z")

    run = execute(program, engine=script, run_dir=tmp_path)
    assert run.result == ("y", "z") and run.receipt.asked_again == 1
    past = folded(tmp_path)
    assert [amount.calls for amount in past.lost] == [1, 1]  # asked again, and still under way
    assert sorted(amount.nlops for amount in past.lost) == pytest.approx([0.01, 0.32])


@pytest.mark.parametrize("convention", [FIRST, SECOND])
def test_a_failure_of_an_older_journal_stays_one(
    tmp_path: Path, convention: Convention, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before there were retries the first invalid reply was final."""

    def program() -> Any:
        failed = count("x")
        try:
            return int(failed)
        except Malformed as error:
            return str(error), echo("instead")

    monkeypatch.setattr("nlpu.runtime.scheduler.outcomes.complaint", lambda *_: None)
    run = execute(program, engine="three", run_dir=tmp_path, convention=convention)
    monkeypatch.undo()
    assert run.result[0] == "the reply 'three' is not a whole number"

    def older(rows: Any) -> None:
        for row in rows:
            if row[0] == "run" and convention is FIRST:
                row[2].pop("convention")

    (path,) = tmp_path.glob("*.db")
    forge(path, older)
    engine = Scripted("never")
    for replay in (False, True):
        assert resumed(tmp_path, run, program, engine=engine, replay=replay).result == run.result
    assert engine.seen == []


def test_a_run_of_the_first_convention_goes_on_with_asking_again(tmp_path: Path) -> None:
    def program() -> Any:
        return [int(count("x")), int(count("y"))]

    run = execute(
        program, engine=stubborn, run_dir=tmp_path, convention=FIRST, budget=Budget(calls=3)
    )
    engine = Scripted(stubborn)
    assert resumed(tmp_path, run, program, engine=engine, budget=Budget(calls=9)).result == [3, 3]
    (seen,) = engine.seen
    assert seen.operands == {"text": "y"} and "valid answer: it is not a whole" in seen.again


def test_conventions_without_these_words_are_read() -> None:
    said = json.loads(written(SECOND))
    assert not {"again", "answered", "silent"} & set(said)  # they are as by default
    assert read(json.dumps(said)) is SECOND
    assert read("") is FIRST and FIRST.again


@pytest.mark.parametrize("place", range(1, 9))
def test_an_odd_row_is_named(tmp_path: Path, place: int) -> None:
    execute(lambda: count("x"), engine=stubborn, run_dir=tmp_path)
    (path,) = tmp_path.glob("*.db")
    assert [row[0] for row in rows_of(tmp_path)].count("again") == 1

    def change(rows: Any) -> None:
        (row,) = (row for row in rows if row[0] == "again")
        row[place] = {"a": None}

    forge(path, change)
    journal = Opened(path, read_only=True)
    journal.close()
    with pytest.raises(JournalDamaged, match=r"\(.again.\) is none that a run writes"):
        past_in(log_of(journal, 1))


# -- plans ---------------------------------------------------------------------------------------

PLAN = """
op count(text: str) -> int retries=2: "How many are there?"
param %1 text: str
%2 = count %1
return %2
"""


def test_a_plan_says_how_often_and_is_counted_with_it() -> None:
    engine = Scripted(["three", "two", "1"])
    assert execute(program_of(PLAN, bounds=Bounds(calls=3)), "x", engine=engine).result == 1
    with pytest.raises(BadProgram, match="it may make 3 calls; at most 2 are allowed"):
        raise execute(program_of(PLAN, bounds=Bounds(calls=2)), "x").error or AssertionError
    assert "retries=2" in write(read_plan(PLAN))
    with pytest.raises(BadProgram, match="retries"):
        program_of(PLAN.replace("=2", "=-1"))
