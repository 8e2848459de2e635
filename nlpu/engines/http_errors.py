"""Names what went wrong with an HTTP model server: one pure function for each kind of evidence.

Theory of operation
-------------------
A served model fails in three ways: the transport breaks (an exception of aiohttp), the server says
no (a status and a body), or it says yes and the body is no answer. Each becomes one error of
``nlpu.errors``, so that the scheduler need not know HTTP.

    from_exception   transport      -> Unreachable, ConnectionLost, TimedOut, NotAModelServer
    from_status      status + body  -> by the table in ``_by_status``
    from_error       an ``error`` object under status 200, whole or in a stream -> as its own code

Rules
1. What the server says about itself beats its status: a dead engine is ``EngineDied`` under any.
2. A message names the server by scheme, host, port and path. Never by user, password or query.
3. A message quotes at most 300 characters of the server, none of a 401 or 403, and no API key.
4. Only what may go better on the same request is transient; a ``RequestRefused`` may not.
5. Nothing here does I/O.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from nlpu.errors import (
    ConnectionLost,
    ConstraintRejected,
    DoesNotFit,
    EngineDied,
    HostError,
    NlpuError,
    NotAModelServer,
    Overloaded,
    RequestRefused,
    ServerFault,
    TimedOut,
    Unauthorized,
    UnknownProcessor,
    Unreachable,
)
from nlpu.wire import Request

QUOTE = 300

_DEAD = re.compile(r"EngineDeadError|EngineCore encountered an issue|engine (?:core )?(?:is )?dead")
_TOO_LONG = re.compile(
    r"maximum context length|context_length_exceeded|maximum model length|max_model_len"
    r"|context (?:size|window|length)|too many tokens|prompt is too long",
    re.IGNORECASE,
)
_GRAMMAR = re.compile(
    r"schema|grammar|regex|structured|guided|response_format|choice|pattern", re.IGNORECASE
)
_NO_MODEL = re.compile(r"model.{0,200}(?:does not exist|not found|not exist|unknown)", re.I | re.S)


# -- the transport ---------------------------------------------------------------------------


def from_exception(where: str, error: BaseException) -> HostError:
    """The typed error for whatever aiohttp or the socket raised."""
    if isinstance(error, aiohttp.ClientConnectorDNSError):
        return Unreachable(f"No address is known for {where}. Check the host name in the URL.")
    if isinstance(error, aiohttp.ClientConnectorCertificateError | aiohttp.ClientSSLError):
        fault = Unreachable(f"No trusted TLS connection to {where}. Check its certificate.")
        fault.transient = False
        return fault
    if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
        why = getattr(error, "strerror", None) or "no answer to connecting"
        return Unreachable(
            f"Nothing accepts connections at {where} ({why}). Start the server, or fix the URL."
        )
    if isinstance(error, aiohttp.ClientResponseError):
        return NotAModelServer(f"{where} does not speak HTTP. Check host and port.")
    if isinstance(error, TimeoutError):
        return TimedOut(f"{where} did not answer in time. Look at the server's log and load.")
    return ConnectionLost(
        f"The connection to {where} broke before the whole answer had come"
        f" ({type(error).__name__}). If it happens again, look at the server's log."
    )


def cut(where: str) -> ConnectionLost:
    """A stream that ended politely, but before its end."""
    return ConnectionLost(
        f"The stream from {where} ended before the answer did. Look at the server's log."
    )


# -- the server says no ----------------------------------------------------------------------


def from_status(
    where: str,
    status: int,
    headers: Mapping[str, str],
    body: bytes,
    *,
    request: Request | None = None,
    window: int = 0,
    secret: str | None = None,
) -> NlpuError:
    """The typed error for an answer that is not 200."""
    if 300 <= status < 400:
        return NotAModelServer(f"{where} redirects elsewhere ({status}). Give the final address.")
    if status < 500 and status not in {401, 403, 429} and is_html(body):
        return not_a_server(where, f"a web page ({status})")
    error = _by_status(where, status, quote(body, secret), request, window)
    if isinstance(error, Overloaded):
        error.retry_after_s = retry_after(headers.get("Retry-After"))
    return error


def from_error(
    where: str, error: Any, request: Request | None, window: int, secret: str | None
) -> NlpuError:
    """The typed error for an ``error`` object that came under status 200."""
    code = error.get("code") if isinstance(error, dict) else None
    status = code if isinstance(code, int) and 400 <= code < 600 else 500
    said = quote(json.dumps({"error": error}).encode(), secret)
    return _by_status(where, status, said, request, window)


def _by_status(
    where: str, status: int, said: str, request: Request | None, window: int
) -> NlpuError:
    if _DEAD.search(said):
        return EngineDied(f"The engine behind {where} is dead: {said} Restart the server.")
    if status in {401, 403}:
        return Unauthorized(f"{where} refuses the API key ({status}). Give the right key.")
    if status in {429, 503}:
        return Overloaded(f"{where} is overloaded ({status}): {said} Send less at once, or wait.")
    if status == 501:
        return RequestRefused(f"{where} cannot do this ({status}): {said}")
    if status >= 500 or status == 408:
        return ServerFault(f"{where} failed ({status}): {said} Look at the server's log.")
    return _by_complaint(where, status, said, request, window)


def _by_complaint(
    where: str, status: int, said: str, request: Request | None, window: int
) -> NlpuError:
    """What a 4xx complains about; servers tell it only in words."""
    if status in {404, 405}:
        if _NO_MODEL.search(said):
            return UnknownProcessor(f"{where} does not serve this model: {said}")
        return not_a_server(where, f"{status} to a completion request")
    if status == 413 or _TOO_LONG.search(said):
        return _too_long(where, said, request, window)
    if request is not None and request.constraint is not None and _GRAMMAR.search(said):
        kind = request.constraint.kind
        return ConstraintRejected(
            f"{where} cannot decode under this {kind} constraint: {said} Simplify the result type."
        )
    return RequestRefused(f"{where} refuses the request ({status}): {said}")


def _too_long(where: str, said: str, request: Request | None, window: int) -> DoesNotFit:
    needed = 0
    if request is not None and request.prompt and isinstance(request.prompt[0], int):
        needed = len(request.prompt) + request.max_tokens
    return DoesNotFit(
        f"The request does not fit the window of {where}: {said} Split the text or ask for less.",
        needed=needed,
        available=window,
    )


# -- yes, but no answer ----------------------------------------------------------------------


def not_a_server(where: str, saw: str) -> NotAModelServer:
    return NotAModelServer(
        f"{where} is not an LLM server: it answered with {saw}. Check host, port and path;"
        " the URL of an OpenAI-compatible server ends in /v1 or in nothing."
    )


def no_answer(where: str, body: bytes, secret: str | None) -> HostError:
    """A 200 whose body is not JSON, or not a completion."""
    if is_html(body):
        return not_a_server(where, "a web page")
    return ServerFault(
        f"{where} answered with something that is not a completion: {quote(body, secret)}"
        " Look at the server's log."
    )


# -- small parts -----------------------------------------------------------------------------


def is_html(body: bytes) -> bool:
    return body[:200].lstrip()[:1] == b"<"


def quote(body: bytes, secret: str | None = None) -> str:
    """What the server said, short, on one line, without our key."""
    text = _complaint(body)
    if secret:
        text = text.replace(secret, "***")
    text = " ".join(text.split())
    text = text if len(text) <= QUOTE else text[: QUOTE - 1] + "…"
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _complaint(body: bytes) -> str:
    if is_html(body):
        return "a web page"
    try:
        value: Any = json.loads(body)
    except ValueError:
        return body[: 4 * QUOTE].decode("utf-8", "replace") or "nothing"
    for name in ("error", "detail", "message"):
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    return json.dumps(value)


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form that HTTP allows; None if absent or unreadable."""
    if not value:
        return None
    try:
        return max(0.0, float(value)) if float(value) < 1e9 else None
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())
