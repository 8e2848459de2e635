"""Servers' dialects, as recorded: what each says, and what must come of it.

The rows are in ``tests/dialects``, a file for each kind of server.
"""

from __future__ import annotations

from typing import Any

import pytest
from dialect_kit import Recorded, chat, serving
from dialects.clouds import CLOUDS
from dialects.home import HOME
from dialects.more_clouds import MORE_CLOUDS
from dialects.openai import OPENAI
from dialects.proxies import PROXIES
from dialects.rows import NO_TEMPERATURE, USE_OTHER, Row, no
from dialects.wordings import ADAPTERS, ANSWERS

from nlpu import Limits, op
from nlpu import errors as e
from nlpu.runtime import Computer
from nlpu.runtime.handle import Run

LIMITS = Limits(timeout_s=5, patience_s=0.05, attempts=2, backoff_s=0.001)
TABLE = [*OPENAI, *CLOUDS, *HOME, *MORE_CLOUDS, *PROXIES, *ADAPTERS, *ANSWERS]


def ended(url: str, kind: Any, streams: bool) -> tuple[Run, str]:
    with Computer(url, limits=LIMITS) as computer:
        run = computer.start(lambda: op("Ask", out=kind, retries=0)("x"), stream=streams)
        pieces = "".join(run.stream()) if streams else ""
        return run.wait(), pieces


@pytest.mark.parametrize("row", TABLE, ids=[f"{n}-{row.server}" for n, row in enumerate(TABLE)])
def test_what_a_server_says_has_one_meaning(row: Row) -> None:
    with serving(*row.answers) as served:
        run, pieces = ended(served.url, row.kind, row.stream)
    if isinstance(row.out, type) and issubclass(row.out, Exception):
        error = e.root_of(run.error)
        assert type(error) is row.out, repr(error)
        assert row.words in str(error)
        assert "sk-x" not in str(error)
    else:
        assert run.error is None, repr(run.error)
        assert run.result == row.out
        assert not row.stream or pieces == row.out
    assert row.requests in (None, len(served.asked))


def test_the_table_is_wide() -> None:
    assert len({row.server for row in TABLE}) >= 30


def test_what_is_refused_by_name_is_left_out_from_then_on() -> None:
    refusals = (USE_OTHER, NO_TEMPERATURE, chat("Hello."))
    with serving(*refusals) as served, Computer(served.url, limits=LIMITS) as computer:
        asks = op("Ask")
        run = computer.run(lambda: [str(asks("x")), str(asks("y"))])
        assert run.result == ["Hello.", "Hello."]
        assert run.receipt.attempts == 2
    names = [
        set(body) & {"max_tokens", "max_completion_tokens", "temperature"} for body in served.asked
    ]
    full = {"max_tokens", "temperature"}
    assert names == [
        full,
        {"max_completion_tokens", "temperature"},
        *[{"max_completion_tokens"}] * 2,
    ]


NO_SYSTEM = [
    no("System role not supported", 400),
    no("Unsupported value: 'messages[0].role' does not support 'system' with this model.", 400),
    no("Developer instruction is not enabled for models/gemma-3-27b-it", 400),
    no("Conversation roles must alternate user/assistant/user/assistant/...", 500),
    no("Only user and assistant roles are supported!", 400),
]


@pytest.mark.parametrize("refusal", NO_SYSTEM)
def test_where_no_system_may_speak_its_text_is_the_first_user_s(refusal: Recorded) -> None:
    with serving(refusal, chat("Hello.")) as served, Computer(served.url, limits=LIMITS) as made:
        asks = op("Ask", system="Be brief.")
        run = made.run(lambda: [str(asks("x")), str(asks("y"))])
        assert run.result == ["Hello.", "Hello."] and run.receipt.attempts == 2
    first, *others = [body["messages"] for body in served.asked]
    assert [turn["role"] for turn in first] == ["system", "user"] and len(others) == 2
    assert others[0] == [
        {"role": "user", "content": f"{first[0]['content']}\n\n{first[1]['content']}"}
    ]
    assert [turn["role"] for turn in others[1]] == ["user"]


def test_who_refuses_that_too_is_not_asked_again() -> None:
    with serving(NO_SYSTEM[0]) as served:
        run, _ = ended(served.url, str, False)
        assert isinstance(e.root_of(run.error), e.RequestRefused) and len(served.asked) == 2


@pytest.mark.parametrize(
    "path", ["/v1beta/openai", "/api/paas/v4", "/openai/v1", "/inference", "/v1"]
)
@pytest.mark.parametrize("end", ["", "/", "/chat/completions"])
def test_a_path_that_ends_otherwise_than_in_v1(path: str, end: str) -> None:
    with serving(chat("Hello."), path=path) as served:
        given = served.url.removesuffix(path.removesuffix("/v1")) + path
        assert ended(given + end, str, False)[0].result == "Hello."


@pytest.mark.parametrize(
    ("models", "name"),
    [
        ([{"id": "m"}], "m"),
        ({"data": [{"id": "models/gemini-x"}, {"id": "other"}]}, "gemini-x"),
        ({"data": [{"id": "llama:latest"}, {"id": "other"}]}, "llama"),
        ({"data": [{"id": "m", "max_model_len": "4096"}]}, "m"),
        ({"data": [{"id": "m"}, {"id": "m"}]}, None),
        ({"data": [{"id": "m", "context_length": 1e99}]}, "m"),
    ],
)
def test_lists_of_models_as_servers_give_them(models: Any, name: str | None) -> None:
    with serving(chat("Hello."), models=models) as served:
        with Computer(served.url, model=name, limits=LIMITS) as computer:
            assert computer.run(lambda: op("Ask")("x")).result == "Hello."
        assert served.asked[0]["model"].startswith(("m", "models/", "llama"))


def test_of_hundreds_of_models_the_nearest_are_named() -> None:
    many = {"data": [{"id": f"maker-{n}/model-{n}"} for n in range(500)]}
    with serving(chat("Hello."), models=many) as served:
        for model, first in (("maker-333/modl-333", "maker-333/model-333, "), (None, "maker-0/")):
            with pytest.raises(e.UnknownProcessor) as raised:
                Computer(served.url, model=model).start(lambda: op("Ask")("x"))
            said = str(raised.value)
            assert f": {first}" in said and " and 480 more." in said and len(said) < 700


def test_an_error_in_the_place_of_the_list_is_told_as_that() -> None:
    error = {"message": "Incorrect API key provided", "code": 401}
    with (
        serving(chat("Hello."), models={"error": error}) as served,
        pytest.raises(e.Unauthorized, match="refuses the API key"),
    ):
        ended(served.url, str, False)


def test_a_server_without_a_model_says_so() -> None:
    none = {"object": "list", "data": None}
    with (
        serving(chat("Hello."), models=none) as served,
        pytest.raises(e.UnknownProcessor, match="serves no model"),
    ):
        ended(served.url, str, False)
