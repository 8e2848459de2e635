"""Why an answer ended, in the words of all servers.

Rules
1. A word that is not known, or a number, is a fault of the server, and a final one: it would say it
   again. Only an answer that nothing can follow, JSON that was asked for and is closed, is whole.
2. An answer without a word is whole if it came as one, or with the end of its stream.
3. An answer that its server ended because it repeats itself is not whole.
4. A stream that names two ends has the one that is no mere stop.
5. What the model or a policy of its server declines is declined, whatever text came before it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any

from nlpu.errors import ServerFault
from nlpu.wire import Finish

_STOP = re.compile(
    "stop|eos|eos_token|eos_found|eot|stop_sequence|stop_token|stop_str(?:ing)?|end|end_turn"
    "|end_of_turn|end_of_text|e(?:nd|os)_id|stop_words?|stopped|completed?"
    "|finish|finished|done"
)
_LENGTH = re.compile(
    "length|max_(?:output_|new_)?tokens|max_length|model_length|token_limit"
    "|(?:model_)?context_window_exceeded|context_length(?:_exceeded)?|incomplete"
)
_REPETITION = "repetition"  # vLLM's word, where it was asked to look
_POLICY = re.compile(
    "content_filter|content_filtered|function_call_filter|(?:image_)?safety|recitation|prohibited_content|blocklist|spii|sensitive"
    "|guardrail_intervened|guardrails|moderation|error_toxic"
)
_TOOL = re.compile("tool_calls?|tool_use|function_call")
_BROKEN = re.compile(
    "error|abort|aborted|cancell?ed|network_error|insufficient_system_resource|timeout|other"
    "|load|unload|unknown|unspecified|pause_turn"
)
_BORDER = re.compile(r"[- ]|(?<=[a-z])(?=[A-Z])")


def _word(finish: Any) -> str:
    """A finish as all servers could write it: maxTokens, max-tokens, FINISH_REASON_MAX_TOKENS."""
    return _plain(finish) if isinstance(finish, str) else ""


@lru_cache(64)  # servers say the same few
def _plain(finish: str) -> str:
    plain = _BORDER.sub("_", finish).lower()
    return plain.removeprefix("finish_reason_").partition(":")[0]  # content_filter: SPII


def later(before: Any, now: Any) -> Any:
    """The word that counts of two in one stream: that it has stopped says less than why."""
    if before and _STOP.fullmatch(_word(now)):
        word = _word(before)
        known = _LENGTH.fullmatch(word) or _POLICY.fullmatch(word)
        return before if known or word in (_REPETITION, "refusal") else now
    return now or before


def declined(finish: Any, refusal: Any, text: str, called: bool) -> str:
    """One sentence that says who declined to answer, and how; "" where there is an answer.

    called: a tool was; some servers say so by no word of their own.
    """
    word = _word(finish)
    if isinstance(refusal, str) and refusal.strip():
        return f"the model declined to answer: {_short(refusal)}"
    if word == "refusal":
        return f"the model declined to answer{': ' + _short(text) if text.strip() else ''}"
    if _POLICY.fullmatch(word):
        return f"a policy of the model's server withheld the answer (finish: {word})"
    called = called and (not word or _STOP.fullmatch(word) is not None)
    if (called or _TOOL.fullmatch(word)) and not text.strip():
        return f"the model called a tool that it was not given instead of answering ({word})"
    return ""


def finish_of(
    where: str, finish: Any, text: str, at_limit: bool, closed: Callable[[], bool]
) -> Finish:
    """The finish of an answer; ``closed``: whether nothing can follow it, which takes a look.

    Raises ServerFault for none.
    """
    if finish in (None, "") and text.strip():
        return "length" if at_limit else "stop"
    word = _word(finish)
    if _STOP.fullmatch(word) or (_TOOL.fullmatch(word) and text.strip()):
        return "stop"
    if _LENGTH.fullmatch(word):
        return "length"
    if word == _REPETITION:
        return "repetition"
    if finish in (None, "") or _BROKEN.fullmatch(word):
        raise ServerFault(f"{where} broke the generation off (finish: {finish}). Try again.")
    if closed():
        return "stop"
    fault = ServerFault(
        f"{where} ended its answer for a reason that is not known (finish: {str(finish)[:80]})."
        " Look at the server's documentation."
    )
    fault.transient = False
    raise fault


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 300 else line[:299] + "…"
