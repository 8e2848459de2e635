"""Sampling: one value from an op to the server's body, the same digest where nothing was set."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import pytest
from fault_kit import Servers, servers
from kit import asked, computer, echo, execute, finish, merge, resumed, shorten, yes

from nlpu import Computer, Judgement, Value, isa, op, spawn
from nlpu.calibration import Calibration
from nlpu.engines.embedded import engine as embedded
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.parameters import COMMON, LLAMA, LLAMA_EXTRA, LLAMA_ORDER, VLLM
from nlpu.errors import BadOp, RequestRefused, Usage
from nlpu.ops.op import Op
from nlpu.prompt.convention import THIRD
from nlpu.runtime import Run
from nlpu.runtime.journal.sqlite import Journal
from nlpu.sampling import DEFAULTS, MACHINES, SEEDS, Sampling
from nlpu.testing.scripted import Scripted
from nlpu.wire import Capabilities

__all__ = ["servers"]  # a fixture

SET: dict[str, Any] = {  # each field, not at its default
    "max_tokens": 9,
    "temperature": 0.7,
    "top_p": 0.5,
    "top_k": 40,
    "min_p": 0.05,
    "frequency_penalty": 0.5,
    "presence_penalty": -0.5,
    "repetition_penalty": 1.1,
    "stop": ("\n\n", "END"),
    "seed": 7,
    "extra": {"typical_p": 0.9},
}
NEW = ("top_k", "min_p", "stop", "seed", "extra")
WARM = {"temperature": 1.0}


# -- what it is --------------------------------------------------------------------------------


def test_digests_are_those_of_before_there_was_sampling() -> None:
    many = echo.using(
        temperature=0.7,
        top_p=0.5,
        repetition_penalty=1.2,
        max_tokens=7,
        at_limit="trim",
        system="x",
        retries=3,
        examples=[("a", "b")],
    )
    ops: dict[str, Op[Any]] = {
        "b26bfa8b1c2a9c422519f8b9d0ce4084": echo.using(temperature=0.7),
        "aadb5f701afb0524bed0d94897fba8e3": echo.using(temperature=1),
        "a406d9ccba9ec57c06b65011c451aa2c": echo.using(temperature=1.0, top_p=0.9),
        "0ce36f24b6ee529f6a48b7e5a789ed11": echo.using(repetition_penalty=1.1),
        "0d7aba30384f313fc6ff9ecc65ea7747": echo.using(max_tokens=9, at_limit="trim"),
        "98032c8680545c99cb4c7c94848c9f67": op("Which?", Literal["left", "right"]),
        "27e19d2cab54804299c0be2471101dae": op("List them.", list[str], temperature=0.5),
        "f99c199b802488357cef80752c7c2f72": isa.judge.using(system="Be brief.", temperature=0.2),
        "1b4bbb23296a42a43632a8605794beda": isa.judge.using(calibration=Calibration(1.0, 2.0)),
        "6fdf8d324095c59dc6e6ff3e54427140": many,
        "ca65fe4b325dba0f5520aa259465690e": isa.summarize,
        "926da7f6802b93758f2f94d681b5959a": isa.extract,
        "c4d30e086187418e6f4a4e38695f708f": isa.revise,
    }
    assert {each.digest.hex(): each for each in ops.values()} == ops
    assert echo.using(**DEFAULTS | {"max_tokens": 256}).digest == echo.digest


def test_keys_of_calls_are_those_of_before(tmp_path: Path) -> None:
    def program() -> Any:
        warm = echo.using(temperature=0.7, top_p=0.9)
        several = warm("c"), warm("c"), warm("c", sample=3)
        once = echo("a"), echo.using(repetition_penalty=1.1)("d"), merge("x", "y")
        return several, once, warm("e", samples=2)

    execute(program, run_dir=tmp_path, convention=THIRD)
    journal = Journal(next(tmp_path.glob("*.db")), read_only=True)
    journal.close()
    assert sorted(row[6] for row in journal.rows if row[0] == "issue") == [
        "1a90100c9df8836e75b97506",
        "3618ad825717b513f6be2508",
        "3df47dc5643ce5458d825ba1",
        "83ed46180e44663e2a594ede",
        "9657ce65b1fb602f0f452cdb",
        "a95654a7f143dbf7536a4a42",
        "e5036ea1ca9bf9b72531fadb",
        "eb5a67f7cbd9cc3f183e5e0a",
    ]
    assert "sampling" not in journal.rows[0][2]["can"]


@pytest.mark.parametrize("name", DEFAULTS)
def test_each_field_is_in_the_digest_and_reaches_the_engine(name: str) -> None:
    engine, other = Scripted("Hello!"), echo.using(**WARM | {name: SET[name]})
    assert other.digest != echo.using(**WARM).digest or name == "temperature"
    assert other == echo.using(**WARM | {name: SET[name]})
    assert hash(other) == hash(echo.using(**WARM | {name: SET[name]}))
    execute(lambda: other("x"), engine=engine)
    got = getattr(engine.seen[0].request.sampling, name)
    assert got == SET[name] if name != "extra" else dict(got) == SET[name]


def test_ops_share_an_answer_only_if_all_their_sampling_is_the_same() -> None:
    engine = Scripted("Hello!")
    two = [echo.using(extra={"a": 1, "b": [2]}), echo.using(extra={"b": [2], "a": 1})]
    assert two[0] == two[1] and two[0].digest == two[1].digest
    others = [echo.using(extra={"a": True, "b": [2]}), echo.using(seed=3), echo.using(seed=4)]
    execute(lambda: [each("x") for each in two + others], engine=engine)
    assert len(engine.seen) == 4


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("top_k", 2**31),
        ("max_tokens", 2**31),
        ("max_tokens", 10**40),
        ("max_tokens", -1),
        ("top_k", -1),
        ("top_k", 1.5),
        ("top_k", True),
        ("min_p", 1.1),
        ("min_p", float("nan")),
        ("frequency_penalty", 3),
        ("presence_penalty", "much"),
        ("stop", ""),
        ("stop", [""]),
        ("stop", 5),
        ("stop", ["a", None]),
        ("stop", "\ud800"),
        ("seed", -1),
        ("seed", SEEDS),
        ("seed", 1.0),
        ("seed", True),
        ("extra", [1]),
        ("extra", {1: 2}),
        ("extra", None),
        ("extra", {"a": object()}),
        ("extra", {"a": float("inf")}),
    ],
)
def test_what_means_nothing_is_refused_where_it_is_given(name: str, wrong: Any) -> None:
    with pytest.raises(BadOp, match=f"^op echo: {name} must be "):
        echo.using(**{name: wrong})
    with pytest.raises(Usage, match=f"^Sampling: {name} must be "):
        Sampling(**{name: wrong})


@pytest.mark.parametrize("name", sorted(DEFAULTS.keys() - MACHINES))
def test_what_is_set_is_not_in_extra_too(name: str) -> None:
    twice = f"{name} is given twice, once in extra: leave one of them out"
    with pytest.raises(BadOp, match=f"^op echo: {twice}"):
        echo.using(**{name: SET[name]}).using(extra={name: 4})
    with pytest.raises(BadOp, match=f"^op echo: {twice}"):
        echo.using(extra={name: 4}).using(**{name: SET[name]})
    with pytest.raises(Usage, match=f"^Sampling: {twice}"):
        Sampling(**{name: SET[name], "extra": {name: 4}})
    other = echo.using(**{name: DEFAULTS[name]}, extra={name: 4})
    assert dict(other.sampling.extra) == {name: 4}


@pytest.mark.parametrize("name", sorted(MACHINES))
def test_extra_holds_nothing_that_the_machine_writes(name: str) -> None:
    with pytest.raises(BadOp, match=f"^op echo: extra cannot hold '{name}': "):
        echo.using(extra={name: 1})


def test_the_tables_of_engines_name_fields_and_samplers_that_there_are() -> None:
    named = {*COMMON, *VLLM, *LLAMA, "max_tokens", "stop", "seed", "extra"}
    assert named == DEFAULTS.keys()
    assert {sampler for _, sampler in LLAMA.values()} | {*LLAMA_EXTRA.values()} == {*LLAMA_ORDER}
    assert not LLAMA_EXTRA.keys() & (MACHINES | DEFAULTS.keys())


# -- where an answer ends ------------------------------------------------------------------------


@pytest.mark.parametrize("out", [bool, int, Literal["a", "b"], list[str], Judgement])
def test_a_typed_answer_has_no_stop(out: Any) -> None:
    with pytest.raises(BadOp, match="only free text can be ended by a stop"):
        op("Which?", out, stop="\n")
    with pytest.raises(BadOp, match="only free text can be ended by a stop"):
        op("Which?", out).using(stop=["a", "b"])


def test_a_stop_is_not_in_the_result_nor_in_what_is_streamed() -> None:
    with computer("One two.\n\nThree END four") as machine:
        tell = shorten.using(stop=["END", "\n\n"])
        run = machine.start(lambda: tell("x"), stream=True)
        assert "".join(run.stream()) == "One two." == finish(run).result


# -- seeds -----------------------------------------------------------------------------------------


def draws() -> Any:
    warm = echo.using(temperature=1.0, seed=7)
    twice = warm("x"), warm("x")
    third, seventh = warm("x", sample=3), warm("x", sample=7)
    nested = spawn(lambda: warm("x"))
    return twice, third, seventh, warm("x", samples=2), nested, echo.using(seed=7)("x")


def seeds_of(engine: Scripted) -> list[int | None]:
    return [seen.request.sampling.seed for seen in engine.seen]


def test_each_draw_has_a_seed_of_its_own_and_the_same_in_every_run() -> None:
    first, again = Scripted("Hello!"), Scripted("Hello!")
    execute(draws, engine=first)
    execute(draws, engine=again)
    assert seeds_of(first)[:4] == [7, 8, 10, 14]
    assert len(set(seeds_of(first))) == len(first.seen) - 1 == 7  # at temperature 0 it is the first
    assert seeds_of(first) == seeds_of(again)
    assert Sampling(seed=SEEDS - 1, temperature=1).drawn(2, "main", 0).seed == 1


def test_a_resumed_run_asks_for_no_draw_again(tmp_path: Path) -> None:
    run = execute(draws, run_dir=tmp_path, engine=Scripted("Hello!"))
    engine = Scripted("Other.")
    assert resumed(tmp_path, run, draws, engine=engine).result == run.result
    assert engine.seen == []


# -- engines that have it, and those that do not ---------------------------------------------------


class Plain(Scripted):
    """An engine of before: it says nothing of sampling."""

    async def capabilities(self) -> Capabilities:
        return Capabilities("plain", 10_000, 9, tokenizer="chars")


@pytest.mark.parametrize("name", [*NEW, "presence_penalty", "frequency_penalty"])
def test_an_engine_that_does_not_take_a_field_says_so_before_anything_is_sent(
    name: str, tmp_path: Path
) -> None:
    engine, other = Plain(), echo.using(**{name: SET[name]})
    run = execute(lambda: other("x"), engine={"plain": engine}, run_dir=tmp_path)
    told = "typical_p" if name == "extra" else name
    start = f"op echo: plain (plain) does not take {told}; leave it out"
    assert isinstance(run.error, BadOp) and str(run.error).startswith(start)
    assert engine.seen == [] and run.receipt.attempts == 0
    assert "does not take" in str(resumed(tmp_path, run, lambda: other("x"), engine=Plain()).error)


def test_a_replay_knows_what_its_engine_did_not_take(tmp_path: Path) -> None:
    from nlpu.runtime.terminal.run.recorded_engine import engines_of

    both = lambda: (echo("x"), echo.using(top_k=3)("x").error)  # noqa: E731
    run = execute(both, engine=Plain("Hello!"), run_dir=tmp_path)
    journal = Journal(next(tmp_path.glob("*.db")), read_only=True)
    journal.close()
    recorded = engines_of(journal.rows[0][2])
    again = resumed(tmp_path, run, both, engine=recorded, replay=True)
    assert str(again.result) == str(run.result) and "does not take top_k" in str(run.result)


def over_http(
    servers: Servers, vllm: bool, program: Any, **engine: Any
) -> tuple[Run, list[dict[str, Any]]]:
    """A run against a server, and the bodies that it got."""
    with servers.serve(vllm=vllm, answer=lambda _: None) as server:
        with Computer(HttpEngine(server.url, **engine)) as machine:
            run = finish(machine.start(program))
        return run, [seen.body for seen in server.seen if "max_tokens" in seen.body]


def test_vllm_gets_each_field_by_its_name(servers: Servers) -> None:
    fields = {name: SET[name] for name in DEFAULTS if name != "stop"}
    run, (body,) = over_http(
        servers, True, lambda: echo.using(**fields, stop="zzz")("x"), seed=True
    )
    assert run.error is None, run.error
    wanted = {**fields, "stop": ["zzz"], **fields["extra"]}
    del wanted["extra"]
    assert {name: body[name] for name in wanted} == wanted
    _, (plain,) = over_http(servers, True, lambda: echo("x"))
    usual = {name: DEFAULTS[name] for name in VLLM}
    assert {name: plain[name] for name in VLLM} == usual and "seed" not in plain
    run, sent = over_http(servers, True, lambda: echo.using(seed=1)("x"))
    assert "does not take seed" in str(run.error) and not sent


def test_another_server_gets_what_is_common_and_what_is_its_own(servers: Servers) -> None:
    fields = {name: SET[name] for name in (*COMMON, "max_tokens", "seed")}
    both = {"top_k": 3, "typical_p": 0.5}
    run, (body,) = over_http(
        servers, False, lambda: echo.using(**fields, stop="zzz", extra=both)("x")
    )
    assert run.error is None, run.error
    wanted = {**fields, "stop": ["zzz"], **both}
    assert {name: body[name] for name in wanted} == wanted
    _, (plain,) = over_http(servers, False, lambda: echo.using(repetition_penalty=1.1)("x"))
    assert plain.keys() == {"model", "messages", "max_tokens", "temperature", "top_p"}
    own = echo.using(extra={"repetition_penalty": 1.5})  # it is only a hint elsewhere
    run, (body,) = over_http(servers, False, lambda: own("x"))
    assert run.error is None and body["repetition_penalty"] == 1.5
    run, sent = over_http(servers, True, lambda: own("x"))
    assert "has repetition_penalty as a setting: give repetition_penalty=" in str(run.error)
    for name in ("top_k", "min_p"):
        other = echo.using(**{name: SET[name]})
        run, sent = over_http(servers, False, lambda asks=other: asks("x"))
        assert f"does not take {name};" in str(run.error) and not sent


def test_what_is_a_setting_there_is_not_given_as_extra(servers: Servers) -> None:
    run, sent = over_http(servers, True, lambda: echo.using(extra={"top_k": 3})("x"))
    assert "has top_k as a setting: give top_k=, not extra" in str(run.error) and not sent


def test_a_judgement_is_drawn_by_the_same_sampling(servers: Servers) -> None:
    wet = op("Is it wet?", Judgement, temperature=1, top_k=3, seed=5, extra={"logit_bias": {}})
    run, (body,) = over_http(servers, True, lambda: wet("rain"), seed=True)
    assert isinstance(run.result, Judgement), run.error
    assert (body["top_k"], body["seed"], body["logit_bias"]) == (3, 5, {})


# -- the embedded model ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def local() -> Any:
    with Computer("local") as machine:
        yield machine


STORY = op("Tell a story about a mill.", max_tokens=16, at_limit="trim", name="story")


def told(machine: Computer, **fields: Any) -> Any:
    run = finish(machine.start(lambda: STORY.using(**fields)("The mill stood by the river.")))
    assert run.error is None, run.error
    return run.result


@pytest.mark.local
@pytest.mark.parametrize(
    "narrow", [{"top_k": 1}, {"min_p": 1.0}, {"extra": {"top_n_sigma": 1e-6}}, {"top_p": 1e-6}]
)
def test_the_narrowest_draw_is_the_likeliest_text(local: Computer, narrow: dict[str, Any]) -> None:
    greedy, warm = told(local), told(local, temperature=3.0, seed=1)
    assert told(local, temperature=3.0, seed=1, **narrow) == greedy != warm


@pytest.mark.local
def test_seeds_repeat_and_samples_differ(local: Computer) -> None:
    def program() -> Value[list[str]]:
        return STORY.using(temperature=1.5, seed=9)("A mill.", samples=3)

    first, again = (finish(local.start(program)).result for _ in range(2))
    assert first == again and len(set(first)) == 3


@pytest.mark.local
def test_the_embedded_answer_ends_before_a_stop(local: Computer) -> None:
    whole = told(local)
    stop = whole.split()[3]
    assert told(local, stop=["never comes", stop]) == whole[: whole.index(stop)].strip()


@pytest.mark.local
def test_the_embedded_engine_says_what_it_does_not_take(local: Computer) -> None:
    able = local.processors["main"].capabilities.sampling
    assert able == embedded._TAKES
    for fields in ({"presence_penalty": 1}, {"extra": {"mirostat": 2}}):
        run = finish(local.start(lambda f=fields: STORY.using(**f)("A mill.")))
        assert isinstance(run.error, BadOp) and run.receipt.attempts == 0
    run = finish(local.start(lambda: STORY.using(extra={"typical_p": "x"})("A mill.")))
    assert isinstance(run.error, RequestRefused) and run.receipt.attempts == 1
    assert "typical_p" in str(run.error)


def test_asked_again_a_reply_has_the_same_sampling() -> None:
    engine = Scripted(["maybe", "yes"])
    execute(lambda: yes.using(temperature=1, seed=4, top_k=9)("x"), engine=engine)
    one, two = (seen.request.sampling for seen in engine.seen)
    assert one == two and (one.seed, one.top_k) == (4, 9) and asked(engine) == ["x", "x"]


def test_what_is_equal_in_python_alone_is_not_sent_as_the_same(servers: Servers) -> None:
    both = [echo.using(extra={"a": 1}), echo.using(extra={"a": True})]
    _, sent = over_http(servers, True, lambda: [each("x") for each in both])
    assert sorted(str(body["a"]) for body in sent) == ["1", "True"]
