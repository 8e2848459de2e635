"""Chat frames: what a model's chat template writes around the turns of a chat, as ids.

Theory of operation
-------------------
A ``Frame`` is a chat template taken apart once, with markers in the places of what is said: the
template's own pieces are trusted and may hold special tokens, what goes between them never can.

    [before system between | opening] user (said assistant following user)* after [thinking] answer

Rules
1. A template is rendered in jinja's sandbox, once, when a processor is opened.
2. Pieces are tokenised apart, so turns that two prompts begin with have the same ids in both.
3. A template that cannot write an assistant's turns leaves ``said`` empty and ``turns`` False;
   whoever lays out a prompt then writes them as text.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from nlpu.errors import MissingPart, described
from nlpu.tokens import Tokenizer

_SYSTEM, _USER, _ANSWER, _NEXT = (
    f"NLPU-{name}-5f1dc0" for name in ("SYSTEM", "USER", "ASSISTANT", "NEXT")
)
# The tag that marks what an assistant says, for training; its body is printed as it stands.
_SPOKEN = re.compile(r"(?<=\{%)([-+]?\s*)(end)?generation(?=\s*[-+]?%\})")
_PLAIN = (
    "{% for m in messages %}{% if m.role == 'assistant' %}Answer:\n{% endif %}"
    "{{ m.content }}\n\n{% endfor %}Answer:\n"
)
_Messages = list[dict[str, str]]


@dataclass(frozen=True, slots=True)
class Frame:
    """The constant ids around the turns of a chat (see the module).

    turns: an assistant's turns can be written. thinks: the model thinks before it answers.
    """

    before: tuple[int, ...]
    between: tuple[int, ...]
    after: tuple[int, ...]
    think_open: tuple[int, ...] = ()
    think_close: tuple[int, ...] = ()
    thinks: bool = False
    opening: tuple[int, ...] = ()
    said: tuple[int, ...] = ()
    following: tuple[int, ...] = ()
    turns: bool = True


def frame_from_template(tokenizer: Tokenizer, template: str | None, **names: Any) -> Frame:
    """Take a chat template apart. ``None`` (a base model) gives a plain layout."""
    render = _renderer(template or _PLAIN, names)
    before, between, after = _with_system(render)
    alone = _pieces(render, [("user", _USER)])
    chat = _pieces(render, [("user", _USER), ("assistant", _ANSWER), ("user", _NEXT)])
    thinks = template is not None and "<think>" in template
    opened = after.rstrip().endswith("<think>")

    def ids(text: str) -> tuple[int, ...]:
        return tuple(tokenizer.encode(text, special=True))

    return Frame(
        ids(before),
        ids(between),
        ids(after),
        think_open=ids("<think>\n") if thinks and not opened else (),
        think_close=ids("\n</think>\n\n") if thinks else (),
        thinks=thinks,
        opening=ids(before + between if alone is None else alone[0]),
        said=() if chat is None else ids(chat[1]),
        following=() if chat is None else ids(chat[2]),
        turns=chat is not None,
    )


def _with_system(render: Callable[[_Messages], str]) -> tuple[str, str, str]:
    """The pieces around a system text and a user's turn; without that role both are the user's."""
    why = ""
    forms = (
        [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": _USER}],
        [{"role": "user", "content": f"{_SYSTEM}\n\n{_USER}"}],
    )
    for messages in forms:
        try:
            text = render(messages)
        except Exception as error:  # a template is a program: it may raise anything
            why = described(error)
            continue
        if text.count(_SYSTEM) == 1 and text.count(_USER) == 1:
            before, rest = text.split(_SYSTEM, 1)
            between, after = rest.split(_USER, 1)
            return before, between, after
        why = "it drops or repeats its messages"
    raise MissingPart(f"the model's chat template cannot be used: {why}")


def _pieces(render: Callable[[_Messages], str], turns: list[tuple[str, str]]) -> list[str] | None:
    """The pieces around the turns, or None where the template cannot write them in order."""
    try:
        text = render([{"role": role, "content": marker} for role, marker in turns])
    except Exception:  # a template is a program: it may raise anything
        return None
    pieces = []
    for _, marker in turns:
        if text.count(marker) != 1:
            return None
        piece, text = text.split(marker, 1)
        pieces.append(piece)
    return [*pieces, text]


def _renderer(template: str, names: dict[str, Any]) -> Callable[[_Messages], str]:
    def render(messages: _Messages) -> str:
        text: str = _compiled(template).render(
            messages=messages, add_generation_prompt=True, **names
        )
        return text

    return render


@lru_cache(8)
def _compiled(template: str) -> Any:
    """The template as a program: made once, which takes longer than to render it."""
    # Imported here: rendering a template is the only use of jinja2, and only real models have one.
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    def refuse(message: str) -> None:
        raise TemplateError(message)

    def now(form: str) -> str:  # templates print dates; prompts must be stable
        return "today"

    env = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=["jinja2.ext.loopcontrols"]
    )
    env.globals.update(raise_exception=refuse, strftime_now=now)
    env.filters["tojson"] = lambda item, **_: json.dumps(item, ensure_ascii=False)
    told = _SPOKEN.sub(lambda tag: tag[1] + ("endif" if tag[2] else "if true"), template)
    return env.from_string(told)


def load_frame(directory: Path, tokenizer: Tokenizer) -> Frame:
    """The frame of the model whose files lie in a directory."""
    config_path = directory / "tokenizer_config.json"
    config = json.loads(config_path.read_text("utf-8")) if config_path.is_file() else {}
    template_path = directory / "chat_template.jinja"
    template = (
        template_path.read_text("utf-8") if template_path.is_file() else config.get("chat_template")
    )
    if isinstance(template, list):  # several named templates: the default one
        template = next((t["template"] for t in template if t.get("name") == "default"), None)
    names = {key: _token(config.get(key)) for key in ("bos_token", "eos_token", "pad_token")}
    if template is None and config.get("add_bos_token"):  # what a template would write itself
        template = names["bos_token"] + _PLAIN
    return frame_from_template(tokenizer, template, **names)


def _token(entry: Any) -> str:
    return entry.get("content", "") if isinstance(entry, dict) else (entry or "")
