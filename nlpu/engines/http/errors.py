"""Names what went wrong with an HTTP model server: one pure function for each kind of evidence.

Theory of operation
-------------------
A served model fails in three ways: the transport breaks (an exception of aiohttp), the server says
no (a status and a body), or it says yes and the body is no answer. Each becomes one error of
``nlpu.errors``, so that the scheduler need not know HTTP.

    from_exception   transport      -> Unreachable, ConnectionLost, TimedOut, NotAModelServer
    from_status      status + body  -> by a ``Complaint``: words first, then the status
    from_error       an ``error`` object under status 200, whole or in a stream -> as its own code

Rules
1. What the server says about itself beats its status: a dead engine is ``EngineDied`` under any.
2. A message names the server by scheme, host, port and path. Never by user, password or query.
3. A message quotes at most 300 characters of the server, none of what refuses a key, and no key.
4. Only what may go better on the same request is transient; a ``RequestRefused`` may not.
   An empty account (``OutOfQuota``) and a policy (``Declined``) are final under any status.
5. Nothing here does I/O.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import aiohttp

from nlpu.engines.http import complaints
from nlpu.engines.http.body import parsed
from nlpu.engines.http.idle import Idle
from nlpu.errors import (
    ConnectionLost,
    ConstraintRejected,
    Declined,
    DoesNotFit,
    EngineDied,
    HostError,
    Malformed,
    NlpuError,
    NotAModelServer,
    OutOfQuota,
    Overloaded,
    RequestRefused,
    ServerFault,
    TimedOut,
    Unauthorized,
    UnknownProcessor,
    Unreachable,
)
from nlpu.printing import safe
from nlpu.wire import Request

QUOTE = 300

_NAMES = {  # of errors under status 200, which have no status of their own
    "insufficient_quota": 429,
    "content_filter": 400,
    "content_policy": 400,
    "rate_limit": 429,
    "overload": 529,
    "unavailable": 503,
    "invalid_request": 400,
    "authentication": 401,
    "permission": 403,
    "not_found": 404,
}

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
    if isinstance(error, Idle):
        return TimedOut(
            f"{where} has sent nothing of an answer for {error.seconds:g} s, only what keeps a"
            " connection open. Look at the server's log and load, or give it longer (idle_s)."
        )
    if isinstance(error, TimeoutError):
        return TimedOut(f"{where} did not answer in time. Look at the server's log and load.")
    return ConnectionLost(
        f"The connection to {where} broke before the whole answer had come"
        f" ({type(error).__name__}). If it happens again, look at the server's log."
    )


def cause_of(fault: HostError, error: BaseException) -> BaseException | None:
    """What to chain to a fault: the error it was made of, where that says more."""
    says_all = isinstance(fault, Unreachable | TimedOut) and fault.transient
    return None if says_all else error


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
    if status < 500 and status not in {401, 403, 413, 429} and is_html(body):
        return not_a_server(where, f"a web page ({status})")
    wait_s = retry_after_of(headers)
    said = Complaint(where, status, quote(body, secret), complaints.words_of(body), wait_s)
    return said.error(request, window)


def _unauthorized(where: str, status: int, said: str, words: str) -> Unauthorized:
    """Blame the key where the server does; a 403 may be about the model, or the country."""
    if status != 403 or not words.strip() or complaints.KEY.search(words):
        return Unauthorized(f"{where} refuses the API key ({status}). Give the right key.")
    return Unauthorized(f"{where} does not allow this ({status}): {said} Ask its owner.")


def from_error(
    where: str, error: Any, request: Request | None, window: int, secret: str | None
) -> NlpuError:
    """The typed error for an ``error`` object that came under status 200."""
    body = json.dumps({"error": error}).encode()
    words = complaints.words_of(body)
    status = _status_of(error) or complaints.likely_status(words)
    return Complaint(where, status, quote(body, secret), words, None).error(request, window)


def _status_of(error: Any) -> int:
    """The status that an error names, as a number or by its kind; 0 where it names none."""
    if not isinstance(error, dict):
        return 0
    named = [str(error.get(name, "")).lower() for name in ("code", "status", "type")]
    for name in named:
        if len(name) == 3 and name.isascii() and name.isdecimal() and 400 <= int(name) < 600:
            return int(name)
    known = (status for kind, status in _NAMES.items() if any(kind in name for name in named))
    return next(known, 0)


@dataclass(frozen=True, slots=True)
class Complaint:
    """What a server says no with. ``said`` may be shown, ``words`` is looked through."""

    where: str
    status: int
    said: str
    words: str
    wait_s: float | None

    def error(self, request: Request | None, window: int) -> NlpuError:
        """The typed error: what the server says of itself, of the account, then by the status."""
        where, status, said, words = self.where, self.status, self.said, self.words
        if complaints.DEAD.search(words):
            return EngineDied(f"The engine behind {where} is dead: {said} Restart the server.")
        wait_s = complaints.again_in(words) if self.wait_s is None else self.wait_s
        if complaints.of_policy(status, words):
            return Declined(f"A policy of {where} refuses this prompt: {said} Change the text.")
        if status == 400 and complaints.NOT_VALID.search(words):
            return Malformed(f"The model behind {where} wrote no valid JSON: {said}")
        if complaints.of_quota(status, words, wait_s is not None):
            return OutOfQuota(
                f"The account at {where} may spend no more ({status}): {said} Its owner has to pay"
                " or wait; the server is not at fault."
            )
        if status in {401, 403} or (status == 400 and complaints.KEY.search(words)):
            return _unauthorized(where, status, self.said, words)
        if status in {429, 498, 503, 529}:
            return self._no_room(request, window, wait_s)
        return self._by_status(request, window)

    def _no_room(self, request: Request | None, window: int, wait_s: float | None) -> NlpuError:
        if self.status == 429 and complaints.NEVER_FITS.search(self.words):
            return _too_long(self.where, self.said, request, window)
        return Overloaded(
            f"{self.where} is overloaded ({self.status}): {self.said} Send less at once, or wait"
            f"{f' for {wait_s:g} s' if wait_s else ''}.",
            retry_after_s=wait_s,
        )

    def _by_status(self, request: Request | None, window: int) -> NlpuError:
        where, status, said = self.where, self.status, self.said
        if status == 501:
            return RequestRefused(f"{where} cannot do this ({status}): {said}")
        if status >= 500 and complaints.EXCEEDS.search(self.words):
            return _too_long(where, said, request, window)
        if status >= 500 or status in {408, 409, 425}:
            return ServerFault(f"{where} failed ({status}): {said} Look at the server's log.")
        return self._by_words(request, window)

    def _by_words(self, request: Request | None, window: int) -> NlpuError:
        """What a 4xx complains about; servers tell it only in words."""
        where, status, said, words = self.where, self.status, self.said, self.words
        lost = status in {404, 405}
        if complaints.BAD_MODEL.search(words) or (lost and complaints.NO_MODEL.search(words)):
            return UnknownProcessor(f"{where} does not serve this model: {said}")
        if lost:
            return not_a_server(where, f"{status} to a completion request")
        if status == 413 and not complaints.TOO_LONG.search(words):
            return DoesNotFit(
                f"The request is larger than {where}, or a proxy before it, takes (413): {said}"
                " Split the text, or raise that limit."
            )
        if complaints.TOO_LONG.search(words):
            return _too_long(where, said, request, window)
        if request is not None and request.constraint and complaints.GRAMMAR.search(words):
            kind = request.constraint.kind
            return ConstraintRejected(
                f"{where} cannot decode under this {kind} constraint: {said}"
                " Simplify the result type."
            )
        return RequestRefused(f"{where} refuses the request ({status}): {said}")


def _too_long(where: str, said: str, request: Request | None, window: int) -> DoesNotFit:
    needed = 0
    if request is not None and request.prompt and isinstance(request.prompt[0], int):
        needed = len(request.prompt) + request.sampling.max_tokens
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
    if is_packed(body):
        fault = ServerFault(
            f"{where}, or a proxy before it, compressed its answer, which it was asked not to do."
            " Switch that off there."
        )
        fault.transient = False
        return fault
    return ServerFault(
        f"{where} answered with something that is not a completion: {quote(body, secret)}"
        " Look at the server's log."
    )


def endless(where: str, most: int) -> HostError:
    """A body beyond its cap."""
    fault = ServerFault(
        f"{where} sent more than {most >> 20} MB for one answer; the rest was not read."
        " Look at what serves there."
    )
    fault.transient = False
    fault.generated = most // 4  # an answer's usual bytes a token
    return fault


# -- small parts -----------------------------------------------------------------------------


def is_html(body: bytes) -> bool:
    return body[:200].lstrip()[:1] == b"<"


def is_packed(body: bytes) -> bool:
    """Whether it is compressed: by gzip, by zstandard, or by deflate."""
    return body.startswith((b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"x\x01", b"x\x9c", b"x\xda"))


def quote(body: bytes, secret: str | None = None) -> str:
    """What the server said, short, on one line, without our key."""
    text = _complaint(body)
    if secret:
        text = text.replace(secret, "***")
    text = safe(" ".join(text.split()))
    text = text if len(text) <= QUOTE else text[: QUOTE - 1] + "…"
    return text if text.endswith((".", "!", "?", "…")) else text + "."


def _complaint(body: bytes) -> str:
    if is_html(body):
        return "a web page"
    try:
        value: Any = parsed(body)
    except ValueError:
        return body[: 4 * QUOTE].decode("utf-8", "replace") or "nothing"
    if isinstance(value, list) and value:  # as Google lists its errors
        value = value[0]
    for name in ("error", "detail", "message"):
        if isinstance(value, dict) and value.get(name):
            value = value[name]
    if not isinstance(value, dict):
        return value if isinstance(value, str) else json.dumps(value)
    return json.dumps(value)


def retry_after_of(headers: Mapping[str, str]) -> float | None:
    """Seconds to wait, as the headers have it; None where they have nothing readable."""
    milliseconds = _number(headers.get("Retry-After-Ms") or headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    return retry_after(headers.get("Retry-After") or headers.get("retry-after"))


def retry_after(value: str | None) -> float | None:
    """Seconds to wait, from either form that HTTP allows; None if absent or unreadable."""
    if not value or (seconds := _number(value)) is not None:
        return seconds if value else None
    try:
        when = parsedate_to_datetime(value)
        when = when if when.tzinfo else when.replace(tzinfo=UTC)
        return max(0.0, (when - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError, LookupError, OverflowError):
        return None


def _number(value: str | None) -> float | None:
    try:
        number = float(value or "")
    except ValueError:
        return None
    return max(0.0, number) if number < 1e9 else None  # nor for a NaN
