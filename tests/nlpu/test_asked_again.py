"""A typed reply that is no result is asked for again, with what was wrong, in turns of the chat.

What is sent, and when it is sent at all; ``test_asked_again_paid`` has what it costs,
``test_asked_again_lives`` what a kill leaves of it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import pytest
from asked_again_kit import ANN, BEN, Person, person, stubborn
from fault_kit import Servers, prompt_text, servers, tokenizer
from hypothesis import given
from hypothesis import strategies as st
from kit import count, echo, execute, yes
from pydantic import BaseModel, Field, field_validator

from benchmarks.fake_vllm.faults import Seen as SeenByServer
from nlpu import Limits, nlop
from nlpu.engines.http.engine import HttpEngine
from nlpu.errors import (
    Declined,
    DoesNotFit,
    EmptyReply,
    Malformed,
    ModelError,
    NlpuError,
    ServerFault,
    Truncated,
)
from nlpu.ops.op import Op
from nlpu.prompt.codec import Codec
from nlpu.prompt.complaint import Invalid, complaint
from nlpu.prompt.convention import SECOND
from nlpu.prompt.decode import decode
from nlpu.prompt.frames import frame_from_template
from nlpu.prompt.markers import MARK
from nlpu.prompt.messages import messages_of
from nlpu.runtime import Computer, Run
from nlpu.testing.scripted import Scripted
from nlpu.tokens import CharTokenizer
from nlpu.wire import Reply, Request, Usage

__all__ = ["servers", "tokenizer"]  # fixtures
TOO_YOUNG = "age: Input should be greater than or equal to 18"


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
