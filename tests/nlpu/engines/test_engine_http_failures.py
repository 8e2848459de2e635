"""The HTTP engine's failures: every one has its type, when it is opened and when it is asked."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from http_kit import IDS, ask, opened, opening, run, tokenizer

from benchmarks.fake_vllm.faults import FAULTS, script
from benchmarks.fake_vllm.server import FaultServer
from nlpu import errors as e
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.http.probe import base_url, read_card
from nlpu.wire import Constraint

__all__ = ["tokenizer"]  # a fixture


# -- failures --------------------------------------------------------------------------------

TRANSIENT = [
    ("429:7", e.Overloaded, "overloaded"),
    ("503:2", e.Overloaded, "overloaded"),
    ("500", e.ServerFault, "failed .500."),
    ("reset", e.ConnectionLost, "broke before"),
    ("restart", e.ConnectionLost, "broke before"),
    ("refused", e.ConnectionLost, "broke before"),
    ("cut", e.ConnectionLost, "broke before"),
    ("error_chunk", e.ServerFault, "Internal server error"),
    ("broken_json", e.ServerFault, "not a completion"),
    ("engine_dead", e.EngineDied, "Restart the server"),
]
FINAL = [
    ("401", e.Unauthorized, "refuses the API key"),
    ("400", e.RequestRefused, "refuses the request"),
    ("html", e.NotAModelServer, "web page"),
    ("too_long", e.DoesNotFit, "maximum context length"),
]


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(("kind", "error", "words"), TRANSIENT + FINAL, ids=str)
def test_every_fault_has_its_error(
    kind: str, error: type[e.NlpuError], words: str, streaming: bool, tokenizer: str
) -> None:
    async def test() -> None:
        plan = script([kind])
        async with (
            FaultServer(plan=plan, tokenizer=tokenizer, api_key="sk-x") as server,
            opened(server, api_key="sk-x") as engine,
        ):
            with pytest.raises(error, match=words) as caught:
                await engine.send(ask(IDS), (lambda _: None) if streaming else None)
            check_fault(kind, caught.value)
            assert "sk-x" not in str(caught.value)
            assert len(server.seen) == 1

    run(test())


def check_fault(kind: str, error: e.NlpuError) -> None:
    if isinstance(error, e.HostError):
        assert error.transient == (kind in {name for name, *_ in TRANSIENT})
        assert error.lost == isinstance(error, e.ConnectionLost | e.EngineDied)
    if isinstance(error, e.Overloaded):
        assert error.retry_after_s == float(kind.split(":")[1])
    if isinstance(error, e.DoesNotFit):
        assert (error.needed, error.available) == (len(IDS) + 64, 4096)


def test_faults_are_all_tried_here() -> None:
    tried = {name.split(":")[0] for name, *_ in TRANSIENT + FINAL}
    elsewhere = {"no_answer", "slow", "cut_politely", "empty", "null", "length", "repeat", "schema"}
    assert tried | elsewhere == set(FAULTS)


def test_a_stream_that_ends_politely_too_early_is_lost() -> None:
    async def test() -> None:
        async with FaultServer(plan=script(["cut_politely"])) as server, opened(server) as engine:
            got: list[str] = []
            with pytest.raises(e.ConnectionLost, match="ended before"):
                await engine.send(ask(), got.append)
            assert got

    run(test())


def test_odd_answers() -> None:
    async def test() -> None:
        plan = script(["null", "empty", "length", "repeat", "slow:0.01"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            with pytest.raises(e.ServerFault, match="without text"):
                await engine.send(ask())
            empty = await engine.send(ask())
            assert (empty.text, empty.finish) == ("", "stop")
            assert (await engine.send(ask())).finish == "length"
            endless = await engine.send(ask(max_tokens=50))
            assert endless.text == " again" * 50
            assert (endless.finish, endless.usage.completion_tokens) == ("length", 50)
            assert (await engine.send(ask())).finish == "stop"

    run(test())


def test_a_rejected_schema_is_a_constraint_only_if_there_was_one() -> None:
    async def test() -> None:
        plan = script(["schema", "schema"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            with pytest.raises(e.ConstraintRejected, match="not supported by xgrammar"):
                await engine.send(ask(constraint=Constraint("json", "{}")))
            with pytest.raises(e.RequestRefused):
                await engine.send(ask())
            with pytest.raises(e.ConstraintRejected, match="no JSON"):
                await engine.send(ask(constraint=Constraint("json", '{}},"max_tokens":9')))
            with pytest.raises(e.ConstraintRejected, match="grammar"):
                await engine.send(ask(constraint=Constraint("regex", "(a")))

    run(test())


def test_what_does_not_fit_is_refused_here_or_there(tokenizer: str) -> None:
    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer, window=50) as server, opened(server) as engine:
            with pytest.raises(e.DoesNotFit) as caught:
                await engine.send(ask(IDS, max_tokens=11))
            assert (caught.value.needed, caught.value.available) == (51, 50)
            assert not server.seen
            await engine.send(ask(IDS, max_tokens=10))
        async with FaultServer(window=100) as server, opened(server) as engine:
            with pytest.raises(e.DoesNotFit) as caught:
                await engine.send(ask(max_tokens=200))
            assert caught.value.available == 100

    run(test())


def test_the_server_dies_and_comes_back_on_the_same_port() -> None:
    async def test() -> None:
        async with FaultServer(plan=script(["no_answer"])) as server, opened(server) as engine:
            hanging = asyncio.create_task(engine.send(ask()))
            await server.until(lambda s: s.in_flight == 1)
            await server.kill()
            with pytest.raises(e.ConnectionLost):
                await hanging
            with pytest.raises(e.Unreachable, match="Nothing accepts connections"):
                await engine.send(ask())
            await server.listen()
            assert (await engine.send(ask())).text

    run(test())


def test_a_dead_engine_is_dead_until_restarted_though_healthy() -> None:
    async def test() -> None:
        plan = script(["engine_dead"])
        async with FaultServer(plan=plan) as server, opened(server) as engine:
            for _ in range(3):
                with pytest.raises(e.EngineDied):
                    await engine.send(ask())
            async with aiohttp.request("GET", server.url + "/health") as health:
                assert health.status == 200
            await server.kill()
            await server.listen()
            with contextlib.suppress(e.ConnectionLost):  # a kept-alive connection of before
                await engine.send(ask())
            assert (await engine.send(ask())).text

    run(test())


# -- opening ---------------------------------------------------------------------------------


def test_opening_what_is_not_there() -> None:
    async def test() -> None:
        async with FaultServer(models=("one", "two"), api_key="sk-right") as server:
            with pytest.raises(e.Unauthorized, match="refuses the API key"):
                await opening(server.url, api_key="sk-wrong")
            with pytest.raises(e.UnknownProcessor, match="several models: one, two"):
                await opening(server.url, api_key="sk-right")
            with pytest.raises(e.UnknownProcessor, match=r"'three'\. It serves: one, two"):
                await opening(server.url, model="three", api_key="sk-right")
            await opening(server.url, model="two", api_key="sk-right")
            with pytest.raises(e.MissingPart, match=r"no tokenizer\.json"):
                await opening(server.url, model="one", api_key="sk-right", tokenizer="/nowhere")
            server.html = True
            with pytest.raises(e.NotAModelServer, match="web page"):
                await opening(server.url)
            gone = server.url
        with pytest.raises(e.Unreachable, match="Start the server"):
            await opening(gone)
        with pytest.raises(e.Unreachable, match="Check the host name"):
            await opening("http://no-such-host.invalid:1")

    run(test())


def test_a_server_that_quotes_our_key_when_asked_what_it_is_does_not_show_it() -> None:
    async def ask(*_: Any) -> tuple[int, bytes, Any]:
        return 500, b'{"error":"upstream refuses Authorization: Bearer sk-123"}', {}

    with pytest.raises(e.ServerFault, match=r"Bearer \*\*\*") as caught:
        asyncio.run(read_card("here", None, None, ask, "sk-123"))
    assert "sk-123" not in str(caught.value)


def test_another_tokenizer_is_refused(tokenizer: str, tmp_path: Path) -> None:
    from tokenizers import Tokenizer, models

    other = tmp_path / "other"
    other.mkdir()
    Tokenizer(models.WordLevel({"[UNK]": 5}, unk_token="[UNK]")).save(str(other / "tokenizer.json"))

    async def test() -> None:
        async with FaultServer(tokenizer=tokenizer) as server:
            with pytest.raises(e.UnknownProcessor, match="is not the one"):
                await opening(server.url, tokenizer=str(other))

    run(test())


def test_something_that_does_not_speak_http() -> None:
    async def test() -> None:
        async def greet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mail.example ESMTP\r\n")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(greet, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(e.NotAModelServer, match="does not speak HTTP"):
            await opening(f"127.0.0.1:{port}")
        server.close()

    run(test())


NO_HOSTS = ["http://h..x", f"http://{'h' * 64}.x"]  # which no name server could be asked for


@pytest.mark.parametrize(
    "url", ["", "ftp://x", "http://", "http://u:secret@h:1", "http://h/?k=1", *NO_HOSTS]
)
def test_urls_that_are_refused(url: str) -> None:
    with pytest.raises(e.Usage) as caught:
        HttpEngine(url)
    assert "secret" not in str(caught.value)


def test_urls_as_people_write_them() -> None:
    for url in ("http://h:1", "http://h:1/", "h:1/v1", "http://h:1/v1/"):
        assert str(base_url(url)) == "http://h:1/"
    for url in ("http://h.:1/", "http://a_b:1/", "http://[::1]:1/", "http://é.x:1/"):
        assert base_url(url).port == 1
    assert str(base_url("https://h/openai/v1") / "v1/models") == "https://h/openai/v1/models"
