"""What only some servers take is sent where one says that it takes it, and to no other."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
from http_kit import TURNS, ask, opened, run, tokenizer
from pydantic import BaseModel, Field

from benchmarks import servers
from benchmarks.fake_vllm.faults import script
from benchmarks.fake_vllm.server import FaultServer
from nlpu import Computer, lift, op
from nlpu import errors as e
from nlpu.engines.http.decode import read_replies
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.http.hints import context, schedules_programs
from nlpu.engines.http.offers import FIELDS, REPETITION, ended_early, offered
from nlpu.engines.origin import Origin, trace_of
from nlpu.label import UNTRUSTED, USER, Label
from nlpu.prompt.ids import Piece, Prompt
from nlpu.types.result import result_type
from nlpu.wire import Constraint, Reply

__all__ = ["tokenizer"]  # a fixture
LONG = "The mill stands by the river. " * 40
TRACE = "0123456789abcdef" * 2
VLLM = Dialect("here", "m", 100, vllm=True, tokens=True, seed=False, priority=False)


class Tool(BaseModel):
    """A tool."""

    name: str
    use: str


class Priced(BaseModel):
    """A tool with its price."""

    name: str
    pence: int


def origin(label: Label = USER, position: str = "main/3/1", depends: int = 7) -> Any:
    return lambda: Origin(TRACE, position, label, depends)


@pytest.mark.parametrize("vllm", [True, False])
def test_nothing_is_sent_that_a_server_does_not_name(vllm: bool) -> None:
    async def go() -> None:
        async with FaultServer(vllm=vllm, offers=frozenset() if vllm else FIELDS) as server:
            async with opened(server, traces=False) as engine:
                await engine.send(ask(max_tokens=600, origin=origin()))
            (seen,) = server.seen
            assert not FIELDS & set(seen.body) and "vllm_xargs" not in seen.body
            assert seen.trace == ""

    run(go())


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b"<html>", b"{}", b'{"components":{"schemas":[]}}']
    + [
        json.dumps({"components": {"schemas": {"CompletionRequest": {"properties": odd}}}}).encode()
        for odd in (None, 7, [[]], "cache_salt", {"salt": {}})
    ],
)
def test_a_description_of_another_shape_names_nothing(body: bytes) -> None:
    async def ask_it(*_: Any) -> tuple[int, bytes, Any]:
        return 200, body, {}

    assert asyncio.run(offered(ask_it, True)) == frozenset()
    assert asyncio.run(schedules_programs(ask_it)) is False


# -- answers without an end ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("result", "may"),
    [
        (str, True),
        (list[str], True),
        (Tool, True),
        (list[Tool], True),
        (int, False),
        (float, False),
        (bool, False),
        (list[int], False),
        (list[Literal["red", "blue"]], False),
        (dict[str, float], False),
        (Priced, False),
        (list[Annotated[str, Field(pattern="[0-9]+")]], False),
    ],
    ids=str,
)
def test_texts_and_lists_of_them_may_be_ended_and_numerals_never(result: Any, may: bool) -> None:
    constraint = result_type(result).constraint
    assert ended_early(600, constraint) is may
    assert not ended_early(100, constraint)


def test_a_runaway_is_ended_and_says_why() -> None:
    async def go() -> None:
        async with FaultServer(offers=FIELDS, plan=script(["repeat", "repeat"])) as server:
            async with opened(server) as engine:
                whole = await engine.send(ask(max_tokens=600))
                pieces: list[str] = []
                streamed = await engine.send(ask(max_tokens=600), pieces.append)
            assert whole == streamed and "".join(pieces) == whole.text
            assert (whole.finish, whole.usage.completion_tokens) == ("repetition", 128)
            assert server.seen[0].body["repetition_detection"] == REPETITION

    run(go())


def in_server(test: Callable[[str, FaultServer], None], **options: Any) -> None:
    """Carry out a test of a whole computer on a fault server."""

    async def go() -> None:
        async with FaultServer(**options) as server:
            await asyncio.to_thread(test, server.url, server)

    run(go())


def test_a_runaway_is_truncated_and_not_asked_again() -> None:
    tell = op("Tell it.", max_tokens=600)
    names = op("Name them.", list[str], max_tokens=600)

    def test(url: str, server: FaultServer) -> None:
        with Computer(HttpEngine(url)) as computer:
            for asked in (tell, names):
                error = computer.run(lambda asked=asked: asked("The mill.").value).error
                assert isinstance(error, e.Truncated)
                assert "only repeated itself" in str(error) and "repetition_penalty" in str(error)
        assert len(server.seen) == 2

    in_server(test, offers=FIELDS, plan=script(["repeat", "repeat"]))


def test_an_ops_own_detection_is_left_as_it_is() -> None:
    own = {"repetition_detection": {"min_pattern_size": 1, "max_pattern_size": 2, "min_count": 3}}

    async def go() -> None:
        async with FaultServer(offers=FIELDS) as server, opened(server) as engine:
            await engine.send(ask(max_tokens=600, extra=own))
            assert server.seen[0].body["repetition_detection"] == own["repetition_detection"]

    run(go())


# -- several draws ---------------------------------------------------------------------------------


def test_draws_that_come_with_their_tokens_have_what_each_of_them_took() -> None:
    texts = [("red", 2), ("a long word for few tokens", 3), ("x", 9)]
    choices = [
        {"index": n, "text": text, "finish_reason": "stop", "token_ids": [5] * size}
        for n, (text, size) in enumerate(texts)
    ]
    usage = {"prompt_tokens": 10, "completion_tokens": 14}
    for more, took in (({}, [2, 3, 9]), ({"token_ids": None}, None)):
        given = [{**choice, **more} for choice in choices]
        body = json.dumps({"choices": given, "usage": usage}).encode()
        replies = read_replies(VLLM, ask((1, 2)), body)
        counts = [r.usage.completion_tokens for r in replies if isinstance(r, Reply)]
        assert sum(counts) == 14
        assert took is None or counts == took


def test_draws_ask_for_their_tokens_where_these_are_not_too_many(tokenizer: str) -> None:
    async def go() -> None:
        options: dict[str, Any] = {"offers": FIELDS, "tokenizer": tokenizer, "window": 1 << 21}
        async with FaultServer(**options) as server, opened(server) as engine:
            for size in (40, 300_000):
                draws = [ask((1,) * size, id=f"{n}", temperature=0.9) for n in range(4)]
                await asyncio.gather(*map(engine.send, draws))
                engine._dialect = replace(engine._dialect or VLLM, untaken=frozenset())
            asked = [seen.body for seen in server.seen if seen.body.get("n") == 4]
            assert [body.get("return_token_ids") for body in asked] == [True, None]

    run(go())


# -- who may share a cache -------------------------------------------------------------------------


def test_labels_share_a_cache_with_their_like_alone() -> None:
    readers = Label(USER.integrity, frozenset({"ann"}))

    async def go() -> None:
        salts = []
        async with FaultServer(offers=FIELDS) as server:
            for secret in ("s" * 90, "t"):
                async with opened(server, cache_salt=secret) as engine:
                    for label in (USER, UNTRUSTED, readers, USER):
                        await engine.send(ask(origin=origin(label)))
                    await engine.send(ask())  # of nobody
            salts = [seen.body["cache_salt"] for seen in server.seen]
        assert salts[0] == salts[3] and salts[1] == salts[4]
        assert len(set(salts)) == 6
        assert not any("s" * 20 in salt or len(salt) > 128 for salt in salts)

    run(go())


def test_a_cache_that_cannot_be_parted_is_refused_when_it_is_opened() -> None:
    async def go() -> None:
        async with FaultServer() as server:
            with pytest.raises(e.Usage, match="does not say that it takes a cache_salt"):
                async with opened(server, cache_salt="secret"):
                    raise AssertionError

    run(go())


# -- traces ----------------------------------------------------------------------------------------


def test_a_request_has_the_ids_that_its_run_is_told_of_with(tmp_path: Path) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra otel is not installed")
    from nlpu.runtime.terminal.show.archive import records
    from nlpu.runtime.terminal.show.telemetry import spans_of

    tell = op("Tell it.")

    def test(url: str, server: FaultServer) -> None:
        with Computer(HttpEngine(url, traces=True), run_dir=tmp_path) as computer:
            for name in ("The mill.", "The river."):
                assert computer.run(lambda name=name: [tell(name), tell(name + "!")]).error is None
        sent = {seen.trace for seen in server.seen}
        found = set[str]()
        for record in records(tmp_path):
            *calls, run_span = spans_of(record)
            assert run_span.parent is None
            for span in calls:
                assert span.parent is not None
                assert span.parent.span_id == run_span.context.span_id
                ids = span.context
                found.add(f"00-{ids.trace_id:032x}-{ids.span_id:016x}-01")
        assert len(sent) == 4 and sent == found

    in_server(test)


def test_traces_are_named_where_the_environment_names_a_collector(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318")

    async def go() -> None:
        async with FaultServer() as server:
            for traces in (None, False):
                async with opened(server, traces=traces) as engine:
                    await engine.send(ask(origin=origin()))
            first, second = (seen.trace for seen in server.seen)
            assert first.startswith(f"00-{TRACE}-") and second == ""

    run(go())


def test_runs_have_traces_of_their_own() -> None:
    header = {"started_s": 1.5, "own": "mark"}
    others = [({**header, "started_s": 2.5}, 1), ({**header, "own": "his"}, 1), (header, 2)]
    runs = [SimpleNamespace(header=one, number=number) for one, number in [(header, 1), *others]]
    assert len(set(map(trace_of, runs))) == 4
    assert trace_of(SimpleNamespace(header=dict(header), number=1)) == trace_of(runs[0])


# -- waiting apart from running --------------------------------------------------------------------


def test_what_a_request_waited_is_told_and_kept(tmp_path: Path) -> None:
    tell = op("Tell it.")

    def test(url: str, server: FaultServer) -> None:
        with Computer(HttpEngine(url), run_dir=tmp_path) as computer:
            done = computer.run(lambda: [tell("a"), tell("b")])
            assert done.receipt.waited_ms == 500
            again = computer.resume(done.name, lambda: [tell("a"), tell("b")]).wait()
        assert again.receipt.reused == 2

    in_server(test, waited_ms=250.4)


@pytest.mark.parametrize("odd", ["1", -3.0, float("inf"), [], True, 2.0**60])
def test_a_waiting_that_cannot_be_is_none(odd: Any) -> None:
    choice = {"index": 0, "text": "red", "finish_reason": "stop"}
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    body = {"choices": [choice], "usage": usage, "metrics": {"queue_time_ms": odd}}
    (reply,) = read_replies(VLLM, ask((1, 2)), json.dumps(body).encode())
    assert isinstance(reply, Reply) and reply.usage.waited_ms in (0, 1)


# -- a router of programs --------------------------------------------------------------------------


DOCUMENT = Piece(tuple(range(200)))
OURS = Piece((1, 2, 3))


def test_a_router_of_programs_is_told_of_the_program() -> None:
    long, short = Prompt((OURS, DOCUMENT, OURS)), Prompt((Piece(tuple(range(300))), OURS, OURS))
    told = json.loads(context(ask(long, origin=origin())))
    assert told["program_id"].startswith(f"{TRACE}:main/3:")
    assert told["parent_program_id"] == f"{TRACE}:main" == told["root_program_id"]
    assert told["blocks_parent"] is True and told["priority"] == 7
    assert told["expected_output_length"] == 64
    top = json.loads(context(ask(long, origin=origin(position="main/3"))))
    assert not {"parent_program_id", "blocks_parent"} & set(top)  # one needs the other
    for other in (ask(short, origin=origin()), ask(long), ask(TURNS, origin=origin())):
        assert context(other) == ""


@lift
def longer(story: str, more: str) -> str:
    """A transcript that grows at its end."""
    return f"{story}\n{more}"


def test_turns_and_questions_on_one_document_are_one_program() -> None:
    go_on, answer = op("Go on."), op("Answer.", operands=2)

    def turns() -> Any:
        story = LONG
        for _ in range(3):
            story = longer(story, go_on(story))
        return story

    def questions() -> Any:
        texts = [LONG, LONG.replace("mill", "barn")]
        return [answer(f"What is number {n}?", text) for text in texts for n in range(3)]

    def test(url: str, server: FaultServer) -> None:
        with Computer(HttpEngine(url)) as computer:
            assert computer.processors["main"].capabilities.token_prompts
            for program, programs in ((turns, 1), (questions, 2)):
                before = len(server.seen)
                assert computer.run(program).error is None
                told = [s.body["vllm_xargs"]["agentic_context"] for s in server.seen[before:]]
                assert len({json.loads(each)["program_id"] for each in told}) == programs

    with servers.tokenizer() as (directory, _):
        in_server(test, programs=True, tokenizer=directory, window=1 << 16)


def test_equal_draws_are_told_alike() -> None:
    """So that they remain one request where a server takes several."""
    long = Prompt((OURS, DOCUMENT, OURS))
    draws = [ask(long, id=f"r{n}", origin=origin(position=f"main/{n}")) for n in range(3)]
    assert len({context(each) for each in draws}) == 1


def test_fields_that_need_a_flag_of_the_server_say_so() -> None:
    async def go() -> None:
        async with FaultServer() as server, opened(server) as engine:
            with pytest.raises(e.RequestRefused, match="--reasoning-parser"):
                await engine.send(ask(extra={"thinking_token_budget": 64}))

    run(go())


def test_a_constraint_that_is_no_json_is_left_to_the_grammar() -> None:
    assert not ended_early(600, Constraint("json", "{"))
