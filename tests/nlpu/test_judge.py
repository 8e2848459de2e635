"""Judgements: a bool with its probability, from every dialect, through journal and replay."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from http_kit import opened
from hypothesis import given
from hypothesis import strategies as st
from kit import Doomed, computer, echo, execute, finish, resumed
from pydantic_core import to_json
from test_thinking import processor as thinker
from test_thinking import thinks

from benchmarks.fake_vllm.server import FaultServer
from nlpu import Judgement, nlop, op
from nlpu.engines.first_token import beginnings, chosen, likeliest, probabilities, shares
from nlpu.engines.http.decode import read_reply
from nlpu.engines.http.encode import Dialect
from nlpu.errors import ConstraintRejected, Malformed, ServerFault
from nlpu.isa import judge
from nlpu.judgement import weighed
from nlpu.runtime.journal.edits import Edits
from nlpu.runtime.observe.forecast import forecast
from nlpu.runtime.observe.samples import Experience
from nlpu.testing.scripted import Say, Scripted, Seen
from nlpu.wire import Capabilities, Message, Request
from tests.nlpu.engines.test_engine_contract import _tiny_tokenizer
from tests.runtime.observe.test_forecast import KNOWN, experience_of

CHOICES = ("yes", "no")


def likely(seen: Seen) -> Say:
    """Yes to texts that say so, and an odd number that no float is equal to."""
    share = 0.73129999999 if "so" in seen.operands["text"] else 1 / 7
    return Say("yes" if share > 0.5 else "no", probabilities=(share, 1 - share))


def two() -> Any:
    return judge("Is it?", "It is so."), judge("Is it?", "Hardly.")


def test_a_judgement_is_its_answer_and_the_probability_of_yes() -> None:
    def program() -> Any:
        sure, unsure = two()
        return ["yes" if sure else "no", "yes" if unsure else "no", sure, unsure]

    assert execute(program, engine=likely).result == [
        "yes",
        "no",
        Judgement(answer=True, probability=0.7313),
        Judgement(answer=False, probability=0.1429),
    ]


@pytest.mark.parametrize(("temperature", "answer"), [(0.0, True), (1.0, False)])
def test_the_likelier_one_is_the_answer_unless_it_was_drawn(
    temperature: float, answer: bool
) -> None:
    said = Say("no", probabilities=(0.6, 0.4))
    run = execute(lambda: judge.using(temperature=temperature)("Is it?", "So."), engine=said)
    assert run.result == Judgement(answer=answer, probability=0.6)


def test_other_ops_read_it_as_json() -> None:
    @nlop
    def explain(judgement: Judgement) -> str:
        """Explain."""

    engine = Scripted(lambda seen: likely(seen) if "text" in seen.operands else "So.")
    assert execute(lambda: explain(judge("Is it?", "It is so.")), engine=engine).result == "So."
    assert engine.seen[-1].operands == {"judgement": '{"answer":true,"probability":0.7313}'}


# -- what the choices' first tokens say ---------------------------------------------------------


@pytest.mark.parametrize(
    ("first", "expected"),
    [
        ([("yes", 0.6), ("no", 0.2)], (0.75, 0.25)),
        ([("y", 0.1), ("ye", 0.1), ("yes", 0.1), ("n", 0.1)], (0.75, 0.25)),
        ([(" yes", 0.5), ("Yes", 0.4), ("", 0.3), ("yesterday", 0.2)], (1.0, 0.0)),
        ([("Yes", 0.6), ("NO", 0.2), ("yes", 0.0), (" No", 0.2)], (0.6, 0.4)),  # nothing held it
        ([("maybe", 1.0)], ()),
        ([], ()),
    ],
)
def test_a_choice_has_the_share_of_the_tokens_that_begin_it(first: Any, expected: Any) -> None:
    assert probabilities(CHOICES, first) == pytest.approx(expected)


@given(st.lists(st.tuples(st.sampled_from(["y", "yes", "n", "no", "x"]), st.floats(0, 1))))
def test_shares_sum_to_one_if_there_are_any(first: list[tuple[str, float]]) -> None:
    found = probabilities(CHOICES, first)
    assert not found or sum(found) == pytest.approx(1)


def test_a_choice_begins_with_the_tokens_of_its_spellings() -> None:
    whole = {"yes": 1, "Yes": 2, " yes": 3, "no": 4, "NO": 5}
    cut = lambda text: [whole[text]] if text in whole else [9, 9]  # noqa: E731
    assert beginnings(CHOICES, cut) == ((1, 2, 3), (4, 5))
    assert beginnings(CHOICES, lambda text: [ord(c) for c in text]) == (
        (ord("Y"), ord("y")),
        (ord("N"), ord("n")),
    )  # the blank begins both
    assert beginnings(("tea", "team"), lambda text: [ord(c) for c in text]) == ()


@given(st.dictionaries(st.integers(0, 9), st.floats(0, 0.1)), st.integers(1, 8))
def test_shares_are_of_the_tokens_that_begin_a_choice(likely: dict[int, float], cut: int) -> None:
    begun = (tuple(range(cut)), tuple(range(cut, 9)))
    found, mass = shares(begun, likely)
    assert mass == pytest.approx(sum(share for one, share in likely.items() if one < 9))
    assert not found or sum(found) == pytest.approx(1)
    assert bool(found) == (mass > 0)


def test_a_token_begins_one_choice() -> None:
    assert [chosen(CHOICES, ((1, 2), (3,)), token) for token in (1, 2, 3)] == ["yes", "yes", "no"]
    with pytest.raises(ValueError, match="is not in list"):
        chosen(CHOICES, ((1, 2), (3,)), 4)
    assert likeliest(CHOICES, (0.5, 0.5)) == "yes" and likeliest(CHOICES, (0.4, 0.6)) == "no"


# -- mass -----------------------------------------------------------------------------------------


def test_a_judgement_tells_the_mass_of_its_choices_where_it_is_known() -> None:
    said = Say("yes", probabilities=(0.9, 0.1), mass=0.98765432)
    known = execute(lambda: judge("Is it?", "So."), engine=said).result
    assert known == Judgement(answer=True, probability=0.9, mass=0.9877)
    assert to_json(known) == b'{"answer":true,"probability":0.9,"mass":0.9877}'
    assert weighed(known, (0.9, 0.1), True, 1.0000001).mass == 1.0


@given(st.booleans(), st.floats(0, 1), st.none() | st.floats(0, 1))
def test_without_a_mass_it_reads_and_is_written_as_before(
    answer: bool, probability: float, mass: float | None
) -> None:
    """What journals hold of former versions: a mass that is not known is not in the text."""
    made = Judgement(answer=answer, probability=probability, mass=mass)
    text = judge.result.render(made)
    assert judge.result.parse(text) == made and ("mass" in text) == (mass is not None)
    old = to_json({"answer": answer, "probability": probability}).decode()
    assert judge.result.render(judge.result.parse(old)) == old
    assert judge.result.parse(old) == Judgement(answer=answer, probability=probability)
    assert ("mass" in repr(made)) == (mass is not None)


def test_ops_of_former_versions_are_the_same_ops() -> None:
    assert judge.digest.hex() == "9d1d97115ca23703e4774a682ed3faa1"
    assert op("x", list[Judgement]).digest.hex() == "b1ab0d6d3130b77d8e00fcae069bbc3b"


# -- journal --------------------------------------------------------------------------------------


def test_it_survives_resume_and_replay_to_the_byte(tmp_path: Path) -> None:
    def program() -> Any:
        return [sure := judge("Is it?", "It is so."), echo("x") if sure else "", *two()]

    def script(seen: Seen) -> Say:
        return likely(seen) if "question" in seen.operands else Say("x")

    here, grave = tmp_path / "run", tmp_path / "grave"
    run = execute(program, engine=Doomed(script, here, grave, at=2), run_dir=here)
    living, silent = Scripted(script), Scripted("never asked")
    for place, engine, replay in ((grave, living, False), (here, silent, True)):
        again = resumed(place, run, program, engine=engine, replay=replay)
        assert to_json(again.result) == to_json(run.result)
    assert b'"probability":0.7313' in to_json(run.result)
    assert len(living.seen) == 2 and not silent.seen  # of three calls; an equal one is shared


def test_a_person_may_say_yes_in_its_place(tmp_path: Path) -> None:
    run = execute(two, engine=likely, run_dir=tmp_path)
    with computer(Scripted("never asked"), run_dir=tmp_path) as machine:
        edited = finish(machine.rerun(run.name, two, edits=Edits({"main/1": "yes"})))
        assert edited.result[1] == Judgement(answer=True, probability=1.0)


def test_dry_runs_know_it(tmp_path: Path) -> None:
    known = replace(KNOWN, probabilities=True)
    execute(two, engine=likely, run_dir=tmp_path)
    for experience, unknown in ((Experience(), 1), (experience_of(tmp_path), 0)):
        made = forecast(two, (), {}, known=known, experience=experience)
        assert (made.calls.expected, len(made.unknown_ops)) == (2, unknown)


# -- engines -----------------------------------------------------------------------------------


class Blunt(Scripted):
    """An engine that cannot tell."""

    async def capabilities(self) -> Capabilities:
        return replace(await super().capabilities(), probabilities=False)


def test_an_engine_that_cannot_tell_is_not_asked() -> None:
    engine = Blunt()
    run = execute(two, engine=engine)
    assert isinstance(run.error.__cause__ or run.error, ConstraintRejected)
    assert "judge: main does not tell probabilities" in str(run.error.__cause__ or run.error)
    assert engine.seen == []


def test_what_is_neither_yes_nor_no_is_malformed() -> None:
    run = execute(lambda: judge("Is it?", "Perhaps."), engine="perhaps")
    assert isinstance(run.error, Malformed)


def test_a_thinking_models_thoughts_are_not_weighed() -> None:
    engine = Scripted(lambda seen: Say("Hm.") if thinks(seen) else likely(seen))
    model = thinker(engine)
    request = Request(
        "1",
        model.prompt(judge, ["Is it?", "It is so."]),
        judge.sampling,
        judge.result.constraint,
        probabilities=True,
    )
    reply = asyncio.run(model.attempt(request))
    assert reply.probabilities == pytest.approx((0.7313, 0.2687)) and reply.thinking == "Hm."
    assert [seen.request.probabilities for seen in engine.seen] == [False, True]


ASKED = Request(
    "1", (Message("user", "Is it?"),), judge.sampling, judge.result.constraint, probabilities=True
)


@pytest.mark.parametrize("streams", [False, True])
def test_over_chat_as_over_completions(streams: bool) -> None:
    async def test() -> None:
        async with FaultServer() as server, opened(server) as engine:
            reply = await engine.send(ASKED, (lambda piece: None) if streams else None)
            assert sum(reply.probabilities) == pytest.approx(1)
            assert max(reply.probabilities) == reply.probabilities[CHOICES.index(reply.text)]
            body = server.seen[0].body
            assert (body["logprobs"], body["top_logprobs"]) == (True, 20)

    asyncio.run(test())


@pytest.mark.parametrize("chat", [False, True])
def test_vllm_is_asked_for_the_tokens_that_begin_the_choices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, chat: bool
) -> None:
    """By its own account of how it cuts them, where no tokenizer is at hand; once for all."""
    directory = _tiny_tokenizer(tmp_path)
    if chat:
        monkeypatch.setattr("nlpu.engines.http.probe.Path.is_file", lambda _: False)

    async def test() -> None:
        async with FaultServer(tokenizer=directory) as server, opened(server) as engine:
            prompt = ASKED.prompt if chat else (1, 2, 3)
            asked = [ASKED._replace(id=str(n), prompt=prompt) for n in range(3)]
            asked.append(ASKED.using(temperature=2.0)._replace(id="drawn", prompt=prompt))
            said: list[str] = []
            replies = await asyncio.gather(*(engine.send(one, said.append) for one in asked))
            assert said == [reply.text for reply in replies]
            assert len(server.seen) == len(asked)
            assert len({(*each.probabilities, each.mass) for each in replies}) == 1
            assert replies[0].mass is not None and 0.5 <= replies[0].mass < 1
            body, ids = server.seen[0].body, [ord(c) for c in "YyNn"]
            assert body["logprob_token_ids"] == body["allowed_token_ids"] == ids
            assert body["max_tokens"] == 1 and "structured_outputs" not in body

    asyncio.run(test())


@pytest.mark.parametrize(
    "told",
    [
        None,
        {},
        [],
        {"top_logprobs": []},
        {"top_logprobs": [None]},
        {"top_logprobs": [{}]},
        {"top_logprobs": [{"maybe": -1.0}]},
        {"top_logprobs": [{"yes": "often"}]},
        {"top_logprobs": [{"yes": 1e9}]},
        {"top_logprobs": [{"yes": float("nan"), "no": -1.0}]},
    ],
)
def test_a_server_that_does_not_tell_is_at_fault(told: Any) -> None:
    dialect = Dialect("there", "m", 4096, True, True, False, False)
    usage = {"prompt_tokens": 1, "completion_tokens": 1}
    choice = {"text": "yes", "finish_reason": "stop", "logprobs": told}
    answer = json.dumps({"choices": [choice], "usage": usage}).encode()
    with pytest.raises(ServerFault, match="did not tell how likely") as raised:
        read_reply(dialect, ASKED, answer)
    assert not raised.value.transient and raised.value.generated == 1
    knowing = replace(dialect, begun={judge.result.constraint.spec: ((1,), (2,))})
    with pytest.raises(ServerFault, match="did not tell how likely"):
        read_reply(knowing, ASKED, answer)


def test_a_server_that_is_not_vllm_is_not_asked() -> None:
    async def test() -> None:
        async with FaultServer(vllm=False) as server, opened(server) as engine:
            assert not (await engine.capabilities()).probabilities

    asyncio.run(test())
