"""``benchmarks.vllm_offers``: what each field that vLLM offers is worth, on a real one.

    python -m benchmarks.vllm_offers [--vllm URL] [--answers N] [--length TOKENS] [--json]

    token ids     texts as they were generated against the same texts cut again; and what each of
                  four draws of one request took against what its length says
    draws         eight draws of one long prompt, alone and as one request (``n``)
    repetition    answers to questions of everyday, without an end and with the detection
    salt          one long prompt, again under its label and under another
    waiting       three times as many requests as slots: what of a call's seconds was waiting
    ignore_eos    answers forced to one length by it, and by an expression that has no end

Rules
1. Prompts begin with words of this run, so nobody finds another's in the cache; what is compared
   takes turns.
2. Everything is one request after the other or all at once; the engine is the runtime's own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from statistics import mean, median
from typing import Annotated, Any

import aiohttp
import typer
from tokenizers import Tokenizer

from benchmarks.command import carry_out, printing
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.http.offers import REPETITION
from nlpu.engines.origin import Origin
from nlpu.label import UNTRUSTED, USER, Label
from nlpu.runtime.bench.report import circumstances
from nlpu.runtime.bench.servers import Served, vllm_server
from nlpu.runtime.bench.throughput_profiles import ENDLESS, nonce
from nlpu.sampling import Sampling
from nlpu.wire import Reply, Request

SLOTS = 16
FLAGS = ("--max-model-len", "2048", "--max-num-seqs", str(SLOTS))
TOPICS = (
    "a mill by a river",
    "a letter to a friend",
    "the rules of chess",
    "how bread is baked",
    "a storm at sea",
    "the price of grain",
    "a list of ten tools and what each is for",
    "why leaves fall",
    "a garden in May",
    "the way to the station",
    "three cats and their names",
    "a song about rain",
    "how a lock works",
    "a table of five towns and their rivers",
    "what a judge does",
    "the history of glass",
)


class Client:
    """The runtime's engine, and bare requests beside it for what that does not ask."""

    def __init__(self, served: Served, engine: HttpEngine, tokenizer: Tokenizer, model: str):
        self.engine, self.tokenizer, self.model = engine, tokenizer, model
        self._url, self._key, self._number = served.url, served.api_key, 0
        self.run = nonce()

    def ids(self, text: str) -> tuple[int, ...]:
        """A user's turn that says a text."""
        turn = f"<|im_start|>user\n{self.run} {text}<|im_end|>\n<|im_start|>assistant\n"
        return tuple(self.cut(turn))

    def cut(self, text: str) -> list[int]:
        """A text as the model's tokenizer cuts it."""
        found: list[int] = self.tokenizer.encode(text, add_special_tokens=False).ids
        return found

    async def all(self, prompts: Sequence[Any], **sampling: Any) -> tuple[float, list[Reply]]:
        """Seconds and replies of requests that are sent at once."""
        constraint = sampling.pop("constraint", None)
        start = time.perf_counter()
        asked = [self._request(ids, Sampling(**sampling), constraint) for ids in prompts]
        replies = await asyncio.gather(*map(self.engine.send, asked))
        return time.perf_counter() - start, list(replies)

    def _request(self, ids: Any, sampling: Sampling, constraint: Any) -> Request:
        self._number += 1
        return Request(f"{self.run} {self._number}", ids, sampling, constraint)

    async def labelled(self, ids: Any, label: Label) -> int:
        """Cached tokens of a prompt that is sent under a label."""
        request = self._request(ids, Sampling(1), None)
        reply = await self.engine.send(request._replace(origin=lambda: Origin("0" * 32, "", label)))
        return reply.usage.cached_tokens

    async def raw(self, **body: Any) -> dict[str, Any]:
        """vLLM's own answer to a body."""
        headers = {"Authorization": f"Bearer {self._key}"}
        async with (
            aiohttp.ClientSession(headers=headers) as session,
            session.post(
                f"{self._url}/v1/completions", json={"model": self.model, **body}
            ) as answer,
        ):
            answer.raise_for_status()
            return dict(await answer.json())


def offers(
    vllm: Annotated[str | None, typer.Option(help="A running server.")] = None,
    answers: Annotated[int, typer.Option(min=1, max=len(TOPICS))] = len(TOPICS),
    length: Annotated[int, typer.Option(min=300)] = 600,
) -> dict[str, Any]:
    """Measure what each field that vLLM offers is worth."""
    with vllm_server(vllm, *FLAGS) as served:
        found = asyncio.run(_measured(served, answers, length))
    return {**found, **circumstances(flags=FLAGS if vllm is None else ())}


async def _measured(served: Served, answers: int, length: int) -> dict[str, Any]:
    engine = HttpEngine(served.url, served.model, served.api_key, priority=True, cache_salt=nonce())
    try:
        told = await engine.capabilities()
        assert told.tokenizer is not None, "the model's tokenizer is not at hand"
        tokenizer = Tokenizer.from_file(f"{told.tokenizer}/tokenizer.json")
        client = Client(served, engine, tokenizer, told.model)
        topics = [f"Write about {topic}." for topic in TOPICS[:answers]]
        return {
            "model": told.model,
            "token_ids": await token_ids(client, topics),
            "draws": await draws(client),
            "repetition": await repetition(client, topics, length),
            "salt": await salt(client),
            "waiting": await waiting(client),
            "ignore_eos": await ignore_eos(client),
        }
    finally:
        await engine.close()


async def token_ids(client: Client, topics: list[str]) -> dict[str, Any]:
    """How many more tokens a generated text has when it is cut again."""
    asked: dict[str, Any] = {"max_tokens": 120, "return_token_ids": True, "temperature": 0.8}
    told = await asyncio.gather(
        *(client.raw(prompt=client.ids(topic), n=4, **asked) for topic in topics)
    )
    choices = [choice for answer in told for choice in answer["choices"]]
    own = [len(choice["token_ids"]) for choice in choices]
    again = [len(client.cut(choice["text"])) for choice in choices]
    errors = []
    for answer in told:
        sizes = [len(choice["token_ids"]) for choice in answer["choices"]]
        texts = [len(str(choice["text"])) for choice in answer["choices"]]
        guessed = [sum(sizes) * text / max(1, sum(texts)) for text in texts]
        errors += [abs(a - b) / a for a, b in zip(sizes, guessed, strict=True)]
    return {
        "texts": len(own),
        "more_at_most": max(b - a for a, b in zip(own, again, strict=True)),
        "ratio_mean": round(sum(again) / sum(own), 4),
        "ratio_most": round(max(b / a for a, b in zip(own, again, strict=True)), 4),
        "draw_by_length_off_mean": round(mean(errors), 3),
        "draw_by_length_off_most": round(max(errors), 3),
    }


async def draws(client: Client, count: int = 8, turns: int = 3) -> dict[str, Any]:
    """Seconds of so many draws of one long prompt, in one request and each in its own."""
    together, alone = list[float](), list[float]()
    prompt_tokens = 0
    for turn in range(turns):
        for one in (True, False) if turn % 2 else (False, True):
            story = f"{turn}{one} " + "The heron stood in the reeds and waited. " * 80
            ids = client.ids(story + "Give a title.")
            prompt_tokens = len(ids)
            if one:
                seconds, _ = await client.all([ids] * count, max_tokens=8, temperature=0.9)
                together.append(seconds)
            else:
                request = {"prompt": ids, "max_tokens": 8, "temperature": 0.9}
                start = time.perf_counter()
                await asyncio.gather(*(client.raw(**request) for _ in range(count)))
                alone.append(time.perf_counter() - start)
    return {
        "draws": count,
        "prompt_tokens": prompt_tokens,
        "one_request_s": round(median(together), 3),
        "alone_s": round(median(alone), 3),
        "ratio": round(median(alone) / median(together), 2),
    }


async def repetition(client: Client, topics: list[str], length: int) -> dict[str, Any]:
    """How many answers are ended because they repeat themselves, and what that saves."""
    prompts = [client.ids(topic) for topic in topics]
    found: dict[str, Any] = {"answers": len(prompts), "max_tokens": length}
    off = {"repetition_detection": {"min_pattern_size": 0, "max_pattern_size": 0, "min_count": 0}}
    for name, extra in (("off", off), ("on", {})):
        seconds, replies = await client.all(prompts, max_tokens=length, extra=extra)
        ends = [reply.finish for reply in replies]
        found[name] = {
            "seconds": round(seconds, 1),
            "tokens": sum(reply.usage.completion_tokens for reply in replies),
            "at_limit": ends.count("length"),
            "ended": ends.count("repetition"),
        }
    return found | {"detects": REPETITION}


async def salt(client: Client) -> dict[str, Any]:
    """Cached tokens of a prompt: first, again, and under another label."""
    ids = client.ids("The heron stood in the reeds and waited. " * 80)
    return {
        "prompt_tokens": len(ids),
        "first": await client.labelled(ids, USER),
        "again": await client.labelled(ids, USER),
        "other_label": await client.labelled(ids, UNTRUSTED),
    }


async def waiting(client: Client) -> dict[str, Any]:
    """What part of the seconds of requests was waiting, with three times as many as slots."""
    prompts = [client.ids(f"{n} Say something about rain.") for n in range(3 * SLOTS)]
    forced = {"extra": {"ignore_eos": True}}
    seconds, replies = await client.all(prompts, max_tokens=32, **forced)
    waited = [reply.usage.waited_ms / 1000 for reply in replies]
    return {
        "requests": len(replies),
        "slots": SLOTS,
        "makespan_s": round(seconds, 2),
        "waited_mean_s": round(mean(waited), 2),
        "waited_most_s": round(max(waited), 2),
        "waited_at_all": sum(each > 0.05 for each in waited),
    }


async def ignore_eos(client: Client, turns: int = 3) -> dict[str, Any]:
    """Seconds of answers that are forced to one length in two ways."""
    ways: dict[str, dict[str, Any]] = {
        "ignore_eos": {"extra": {"ignore_eos": True}},
        "expression": {"constraint": ENDLESS},
    }
    found: dict[str, list[float]] = {name: [] for name in ways}
    for turn in range(turns):
        for name in list(ways) if turn % 2 else list(ways)[::-1]:
            prompts = [client.ids(f"{turn}{name}{n} Go on.") for n in range(SLOTS)]
            seconds, replies = await client.all(prompts, max_tokens=64, **ways[name])
            assert all(reply.usage.completion_tokens == 64 for reply in replies)
            found[name].append(seconds)
    least = {f"{name}_s": round(median(each), 2) for name, each in found.items()}
    ratios = [a / b for a, b in zip(found["expression"], found["ignore_eos"], strict=True)]
    return {"answers": SLOTS, "tokens": 64, **least, "ratio": round(median(ratios), 3)}


app = printing(offers)

if __name__ == "__main__":
    carry_out(app)
