"""Takes in what a server answers to one request: whole, or piece by piece as it comes.

Rules
1. No body is read without a cap (``body``), and each piece says whether it is of the answer
   (``idle``).
2. What ``on_text`` raises is its own, and ends the request.
"""

from __future__ import annotations

from collections.abc import Callable

from nlpu.engines.http import errors
from nlpu.engines.http.body import MOST_REPLY
from nlpu.engines.http.decode import StreamReader, has_no_pieces, read_reply
from nlpu.engines.http.encode import Dialect
from nlpu.engines.http.transport import Answer
from nlpu.wire import Reply, Request


async def received(
    dialect: Dialect, request: Request, answer: Answer, on_text: Callable[[str], None] | None
) -> Reply:
    """The Reply; its text is handed on as it comes, if somebody listens and the server streams."""
    if answer.content_type != "text/event-stream":
        reply, told = read_reply(dialect, request, await whole(dialect, answer)), False
    else:
        shown = None if has_no_pieces(dialect, request) else on_text
        reply, told = await _stream(StreamReader(dialect, request), answer, shown)
    if on_text is not None and not told:
        _tell(on_text, reply.text)
    return reply


async def _stream(
    reader: StreamReader, answer: Answer, on_text: Callable[[str], None] | None
) -> tuple[Reply, bool]:
    """The Reply of server-sent events, and whether anything of it was handed on."""
    told = False
    while data := await answer.piece():
        told |= _tell(on_text, reader.feed(data))
        if not reader.idle:
            answer.heard()
        if reader.done:
            await answer.drain()
            break
    told |= _tell(on_text, reader.end())
    return reader.finish(), told


async def whole(dialect: Dialect, answer: Answer) -> bytes:
    body = await answer.read(MOST_REPLY)
    if len(body) > MOST_REPLY:
        raise errors.endless(dialect.where, MOST_REPLY)
    return body


def _tell(on_text: Callable[[str], None] | None, text: str) -> bool:
    """Hand on a text, if there is any and somebody listens."""
    if text and on_text is not None:
        on_text(text)
        return True
    return False
