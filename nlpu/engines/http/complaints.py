"""What a server complains about: told in words, by codes that are each server's own.

Theory of operation
-------------------
Statuses are too few: 429 is a full lane, an empty account or a request that will never fit; 400 is
a wrong key, a policy, or a parameter. Each function here looks for the words of one kind, as the
servers of the rows in ``tests/dialects`` write them.

Rules
1. Only what is named counts; words that two kinds share are left to the status.
2. What a server repeats of the request is not its complaint.
3. Nothing here does I/O.
"""

from __future__ import annotations

import json
import re
from typing import Any, Literal

from nlpu.engines.http.body import encodable, parsed

_MOST = 4000  # characters that are looked at
DEAD = re.compile(r"EngineDeadError|EngineCore encountered an issue|engine (?:core )?(?:is )?dead")
TOO_LONG = re.compile(
    r"maximum context length|context_length_exceeded|maximum model length|max_model_len"
    r"|context (?:size|window|length)|too many tokens|prompt is too long|prompt too long"
    r"|input token count.{0,40}exceeds|maximum prompt length|input is too long"
    r"|range of input length|exceeded model token limit|exceeds? max(?:imum)? length"
    r"|max_new_tokens` must be|string_above_max_length"
    r"|exceeds? (?:the (?:available|maximum) )?context|session_len\b|input length limit"
    r"|must have (?:less|fewer) than \d+ tokens",
    re.IGNORECASE,
)
EXCEEDS = re.compile(
    r"exceeds? the (?:available |maximum )?context|context (?:size|window|length) (?:has been )?"
    r"exceeded|prompt is too long|input is too long",
    re.IGNORECASE,
)
NEVER_FITS = re.compile(r"request (?:is )?too large|input or output tokens must be reduced", re.I)
GRAMMAR = re.compile(
    r"schema|grammar|regex|structured|guided|response_format|choice|pattern", re.IGNORECASE
)
NO_MODEL = re.compile(  # for 404, which is said of paths, too
    r"(?:model|deployment).{0,200}(?:does not exist|not found|not exist|unknown)"
    r"|no endpoints found|DeploymentNotFound|model_not_available|\"message\": \"model: ",
    re.IGNORECASE | re.DOTALL,
)
BAD_MODEL = re.compile(
    r"model_not_found|not a valid model|invalid model|no models? loaded", re.IGNORECASE
)
KEY = re.compile(
    r"api[ _-]?key (?:is )?(?:not valid|invalid|missing|required)|invalid[ _-]api[ _-]key"
    r"|incorrect api key|API_KEY_INVALID|missing api[ _-]key|no api key|authentication_error"
    r"|access token (?:is )?(?:invalid|expired)|login fail",
    re.IGNORECASE,
)
NOT_VALID = re.compile(r"json_validate_failed|failed to generate json", re.IGNORECASE)
_POLICY = re.compile(
    r"content[_ ]filter|content management policy|content_policy|ResponsibleAIPolicyViolation"
    r"|moderation_blocked|requires moderation|input was flagged|data_inspection_failed"
    r"|prompt was (?:blocked|filtered|flagged)|usage policies|PROHIBITED_CONTENT"
    r"|inappropriate content|Content Exists Risk|usage guidelines|blocked by (?:\w+ )?guardrail"
    r"|new_sensitive",
    re.IGNORECASE,
)
_SPENT = re.compile(
    r"insufficient[_ ]quota|exceeded_current_quota|insufficient[_ ](?:account[_ ])?(?:balance|"
    r"credits?|funds)|credit balance is too low|billing_(?:hard_limit|not_active)|out of credits"
    r"|more credits|payment[_ ]required|arrear|spending limit|quota_exceeded_error"
    r"|usage_limit_reached|budget_exceeded|budget has been exceeded"
    r"|欠费|余额不足",  # in arrears, balance too small: some servers say it in Chinese alone
    re.IGNORECASE,
)
_BILLING = re.compile(r"check your plan and billing|exceeded your (?:current|monthly) quota", re.I)
_BUSY = re.compile(r"rate limit|too many requests|(?:qps|request) (?:request )?limit", re.I)
_PERIOD = re.compile(  # which no patience outlasts
    r"(?:per|/) ?-?(?:day|month)\b|daily (?:request |token )?limit", re.IGNORECASE
)
_SPAN = re.compile(
    r"([0-9]+(?:\.[0-9]+)?) ?(?:(ms|milliseconds?)|(s|secs?|seconds?)|(m|mins?|minutes?)"
    r"|(h|hrs?|hours?))(?![a-z])",
    re.IGNORECASE,
)
_AGAIN = re.compile(rf"(?:retry|try again|wait)\D{{0,30}}?((?:{_SPAN.pattern} ?)+)", re.I)
_SECONDS = (0.001, 1.0, 60.0, 3600.0)  # of the units of a span, in their order
Lesson = Literal[
    "max_tokens", "temperature", "top_p", "stream_options", "response_format", "system"
]
_NAMED: tuple[Lesson, ...] = ("temperature", "top_p", "stream_options")
_UNWANTED = re.compile(
    r"unsupported|not support|does not support|only the default|extra (?:inputs|fields)"
    r"|unrecognized|unknown (?:name|field|parameter|argument)|not permitted|not allowed"
    r"|deprecated|cannot both|unexpected (?:keyword|field)",
    re.IGNORECASE,
)
_OUT_OF_RANGE = re.compile(r"between|range|less than|greater than|at (?:most|least)|<=|>=", re.I)
_NO_SYSTEM = re.compile(  # many templates have no such turn
    r"(?:system|developer) (?:role|message|prompt|instruction)s? (?:is |are )?not"
    r" (?:supported|enabled|allowed)|not support (?:a |the )?['\"]?system"
    r"|only user(?:,| and) assistant roles|roles must alternate user/assistant",
    re.IGNORECASE,
)
_NO_FORMAT = re.compile(
    r"response_format(?:\.type)?\W{0,3}(?: ?type| ?value)?(?: \S+){0,4}? (?:is )?(?:now )?"
    r"(?:unavailable|not supported|unsupported|not available)"
    r"|(?:not|n't) support\w* (?:\S+ ){0,3}?\W?(?:response[ _]format|structured[ _]outputs?"
    r"|json[_ ]schema)|(?:unknown|unsupported)[^.]{0,20}response_format"
    r"|response_format\W.{0,40}extra inputs",
    re.IGNORECASE | re.DOTALL,
)


def words_of(body: bytes) -> str:
    """What a server says, codes and all, as one text; without the request it repeats (rule 2)."""
    try:
        value = parsed(body)
    except ValueError:
        return body[:_MOST].decode("utf-8", "replace")
    return encodable(json.dumps(_without_input(value), ensure_ascii=False))[:_MOST]


def _without_input(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: _without_input(v) for k, v in value.items() if k not in ("input", "ctx", "url")}
    return [_without_input(item) for item in value] if isinstance(value, list) else value


def likely_status(said: str) -> int:
    """The status that others say these words under, for a complaint that has none; else 500."""
    if _SPENT.search(said) or _BILLING.search(said):
        return 402
    if KEY.search(said):
        return 401
    if _POLICY.search(said) or TOO_LONG.search(said):
        return 400
    return 429 if _BUSY.search(said) else 500


def of_policy(status: int, said: str) -> bool:
    """Whether a policy refuses the prompt; servers say so under 400, 403 and 422."""
    return status in {200, 400, 403, 422} and _POLICY.search(said) is not None


def of_quota(status: int, said: str, comes_back: bool) -> bool:
    """Whether the account may spend no more; ``comes_back``: the server says when it may again."""
    if status == 402 or _SPENT.search(said):
        return status < 500 or status == 503
    if status == 429 and not comes_back and _PERIOD.search(said):
        return True
    return status in {400, 403, 429} and not comes_back and _BILLING.search(said) is not None


def again_in(said: str) -> float | None:
    """Seconds after which a server wants to be asked again, from its words."""
    found = _AGAIN.search(said)
    if found is None:
        return None
    spans = (
        float(number) * scale
        for number, *units in _SPAN.findall(found[1])
        for unit, scale in zip(units, _SECONDS, strict=True)
        if unit
    )
    return min(sum(spans), 1e6)


def lesson_of(status: int, said: str) -> Lesson | None:
    """What a server does not take, if its complaint names something we can do without.

    That is a parameter, or the system's turn.
    """
    if status in {400, 422, 500} and _NO_SYSTEM.search(said):
        return "system"
    if status not in {400, 422}:
        return None
    unwanted = _UNWANTED.search(said) is not None
    if "max_tokens" in said and "max_completion_tokens" in said:
        return "max_tokens" if unwanted or "instead" in said else None
    named = [name for name in _NAMED if re.search(rf"\b{name}\b", said)]
    if named and unwanted and not _OUT_OF_RANGE.search(said):
        return "top_p" if "both" in said and "top_p" in named else named[0]
    return "response_format" if _NO_FORMAT.search(said) else None
