"""Finds out what an HTTP model server is: its model, window, kind and tokenizer.

Theory of operation
-------------------
``read_card`` asks GET /v1/models, or ``models`` below the path it was given, and GET /version. A
server is vLLM if both fit: a version, and a model card with ``max_model_len``. ``check_tokenizer``
looks for a local tokenizer: the one named by the caller, else the directory in the card's ``root``
field. What cannot be found is a sentence in ``weaker``, never a guess in silence.

Rules
1. Questions only: nothing here generates a token.
2. A tokenizer whose ids differ from the server's is refused if named, passed over if found.
3. No I/O of its own; ``ask`` is the engine's way to the server.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Any

from yarl import URL

from nlpu.engines.http import complaints, errors
from nlpu.engines.http.body import MOST_LIST, encodable, parsed
from nlpu.errors import MissingPart, NotAModelServer, Unauthorized, UnknownProcessor, Usage
from nlpu.printing import some
from nlpu.tokens import tokenizer_in

Ask = Callable[..., Awaitable[tuple[int, bytes, Any]]]
ASSUMED_WINDOW = 8192
PROBE = "Zoë's 12 naïve cats:\n\n\tπ ≈ 3.14159 — «déjà vu» 日本語 <b>!?</b>"
_NO_IDS = "Prompts are chat messages: markers are broken up, and token counts are estimates."
_NO_MARKERS = "Its special tokens are not known: in operands only the usual ones are broken up."


def base_url(url: str) -> URL:
    """The server's root, from what people write: with or without scheme, slash and ``/v1``."""
    try:
        parsed = URL(url if "://" in url else f"http://{url}")
        ok = parsed.scheme in {"http", "https"} and bool((parsed.host or "").encode("idna"))
    except ValueError:
        ok = False
    if not ok:
        raise Usage("The server's URL is not one. Give it like http://127.0.0.1:8000.")
    if parsed.user or parsed.password or parsed.query_string:
        raise Usage("The server's URL holds a user, password or query. Give the key as api_key.")
    path = parsed.path.rstrip("/")
    for end in ("/chat/completions", "/completions", "/v1"):  # of what people copy
        path = path.removesuffix(end)
    return parsed.with_path(path or "/")


def headers(api_key: str | None) -> dict[str, str]:
    """The headers of every request."""
    made = {"Content-Type": "application/json", "Accept-Encoding": "identity"}
    if api_key:
        if not api_key.isascii() or not api_key.isprintable() or " " in api_key:
            raise Unauthorized("The API key has characters no key has. Give it without spaces.")
        made["Authorization"] = f"Bearer {api_key}"
    return made


@dataclass(frozen=True, slots=True)
class ServerCard:
    """What the server says of itself. ``base``: what goes before the paths of its API."""

    model: str
    window: int
    vllm: bool
    root: str | None
    base: str = "v1/"
    tokenizer: str | None = None
    weaker: tuple[str, ...] = ()

    def but(self, *sentences: str) -> ServerCard:
        return replace(self, weaker=self.weaker + sentences)


async def read_card(
    where: str, model: str | None, window: int | None, ask: Ask, secret: str | None = None
) -> ServerCard:
    """Choose the model and tell what serves it. No error quotes the secret."""
    base, entries = await _models(where, ask, secret)
    entry = choose(where, entries, model)
    # vLLM's cards of adapters have no length of their own: their base model's counts.
    length = _size(entry.get("max_model_len")) or _size(entry.get("_base_len"))
    version = await _version(ask) if length else None
    vllm = version is not None and entry.get("owned_by") != "sglang"
    root = entry.get("root")
    known = window or length or _other_window(entry)
    root = root if isinstance(root, str) else None
    card = ServerCard(entry["id"], known or ASSUMED_WINDOW, vllm, root, base)
    if not known:
        card = card.but(f"The server does not tell its window; {ASSUMED_WINDOW} tokens is assumed.")
    return card.but(*(_vllm_weaker(version or "") if vllm else _other_weaker()))


async def _models(where: str, ask: Ask, secret: str | None) -> tuple[str, list[dict[str, Any]]]:
    """(base, entries): the list of models below ``v1/``, or where the given path ends otherwise."""
    try:
        return "v1/", await _listed(where, "v1/models", ask, secret)
    except (NotAModelServer, Unauthorized) as error:
        if URL(where).path in ("", "/"):
            raise
        try:
            return "", await _listed(where, "models", ask, secret)
        except (NotAModelServer, Unauthorized):
            raise error from None


async def _listed(where: str, path: str, ask: Ask, secret: str | None) -> list[dict[str, Any]]:
    status, body, headers = await ask("GET", path)
    if len(body) > MOST_LIST:
        raise errors.not_a_server(where, f"more than {MOST_LIST >> 20} MB to GET /{path}")
    if status in {404, 405, 400, 422} and not complaints.KEY.search(complaints.words_of(body)):
        raise errors.not_a_server(where, f"{status} to GET /{path}")
    if status != 200:
        raise errors.from_status(where, status, headers, body, secret=secret)
    try:
        value = parsed(body)
        if isinstance(value, dict) and value.get("error"):  # whatever its status
            raise errors.from_error(where, value["error"], None, 0, secret)
        listed = value if isinstance(value, list) else value["data"]
        entries = [e for e in listed or () if _name(e.get("id"))]
    except (ValueError, KeyError, TypeError, AttributeError):
        if errors.is_packed(body) or errors.is_html(body):
            raise errors.no_answer(where, body, secret) from None
        raise errors.not_a_server(where, "no list of models") from None
    lengths = {e["id"]: e.get("max_model_len") for e in entries}
    return [{**e, "_base_len": lengths.get(_name(e.get("parent")))} for e in entries]


def _name(value: Any) -> str:
    """The name, if it is one that can be sent."""
    return value if isinstance(value, str) and encodable(value) == value else ""


def _size(value: Any) -> int | None:
    """A number of tokens, if it can be one."""
    digits = isinstance(value, str) and value.isascii() and value.isdecimal() and len(value) < 16
    number = int(value) if digits else value
    return number if type(number) is int and 0 < number < 2**53 else None


def choose(where: str, entries: list[dict[str, Any]], model: str | None) -> dict[str, Any]:
    """The entry of the model asked for, or of the only one."""
    names = sorted({e["id"] for e in entries})
    if not names:
        raise UnknownProcessor(f"{where} serves no model. Load one there.")
    if model is None and len(names) > 1:
        raise UnknownProcessor(f"{where} serves several models: {some(names, 20)}. Name one.")
    if model is None:
        return entries[0]
    for same in (model, f"models/{model}", f"{model}:latest"):  # as Google and Ollama list them
        for entry in entries:
            if entry["id"] == same:
                return entry
    names = list(dict.fromkeys([*get_close_matches(model, names[:2000], cutoff=0.5), *names]))
    raise UnknownProcessor(f"{where} does not serve {model!r}. It serves: {some(names, 20)}.")


async def _version(ask: Ask) -> str | None:
    status, body, _ = await ask("GET", "version")
    if status != 200:
        return None
    try:
        version = parsed(body)["version"]
    except (ValueError, KeyError, TypeError):
        return None
    return version if isinstance(version, str) else None


def _other_window(entry: dict[str, Any]) -> int | None:
    """The window under the names that other servers give it."""
    meta = entry.get("meta")
    places = [entry, meta if isinstance(meta, dict) else {}]
    names = (
        "context_length",
        "max_context_length",
        "loaded_context_length",
        "context_window",
        "n_ctx",
        "n_ctx_train",
    )
    found = (_size(place.get(name)) for name in names for place in places)
    return next(filter(None, found), None)


def _vllm_weaker(version: str) -> tuple[str, ...]:
    number = re.match(r"(\d+)\.(\d+)", version)
    if number and (int(number[1]), int(number[2])) < (0, 11):
        return (f"vLLM {version} is older than 0.11 and may refuse priorities.",)
    return ()


def _other_weaker() -> tuple[str, ...]:
    return (
        "Constraints are asked for by response_format; a server may ignore or refuse it.",
        "What it refuses by name (temperature, top_p) is left out; its own default counts then.",
        "Repetition penalties are not passed on.",
        "Of regular expressions only numbers' are available, asked for as JSON numbers.",
        "Priorities are not passed on, and closing the connection may not stop the generation.",
        "Where the server gives no token counts they are estimates.",
    )


async def check_tokenizer(where: str, card: ServerCard, named: str | None, ask: Ask) -> ServerCard:
    """The card with a tokenizer directory, if there is one that agrees with the server."""
    place = named or card.root
    file = Path(place) / "tokenizer.json" if place else None
    if file is None or not file.is_file():
        if named:
            raise MissingPart(f"There is no tokenizer.json in {named}. Give its directory.")
        return card.but(_NO_IDS, _NO_MARKERS)
    found = replace(card, tokenizer=str(place))
    if not card.vllm:
        return found.but(_NO_IDS)
    theirs = await server_ids(card.model, PROBE, ask)
    if theirs is None:
        return found.but("The tokenizer could not be checked against the server's.")
    local = await asyncio.to_thread(tokenizer_in, file.parent)
    if local.encode(PROBE) == theirs:
        return found
    if named:
        raise UnknownProcessor(
            f"The tokenizer in {named} is not the one {where} uses for its model."
        )
    return card.but(
        "The tokenizer found locally is not the server's and is not used.", _NO_IDS, _NO_MARKERS
    )


async def server_ids(model: str, text: str, ask: Ask) -> list[int] | None:
    """How the server cuts a text; None where it does not say."""
    question = {"model": model, "prompt": text, "add_special_tokens": False}
    status, body, _ = await ask("POST", "tokenize", question)
    if status != 200:
        return None
    try:
        tokens = parsed(body)["tokens"]
    except (ValueError, KeyError, TypeError):
        return None
    whole = isinstance(tokens, list) and all(type(one) is int for one in tokens)
    return tokens if whole else None
