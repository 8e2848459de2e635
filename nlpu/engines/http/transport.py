"""POST for one target on kept-alive connections: aiohttp's connector and parser, no session.

Theory of operation
-------------------
aiohttp's connector opens, keeps and counts the connections, and its protocol parses the answer.
Between the two a ``ClientSession`` makes a request object, a task that writes and a response object
for every call: half of what a call costs. Here the head is made once for the target, and a call is
one ``write`` of head and body and one ``read`` of the answer's head.

Rules
1. A connection that did not deliver its whole answer is closed, never reused.
2. What goes wrong is raised as a session would raise it; ``errors`` knows those.
3. No redirect, cookie, proxy or retry; nothing here knows what a body means.
4. An ``Answer`` must be closed; its content can be read whole or in pieces. Who reads it in pieces
   tells which of them were of the answer (``idle``).
"""

from __future__ import annotations

import asyncio
from contextlib import suppress

import aiohttp
from aiohttp.http_exceptions import HttpProcessingError
from multidict import CIMultiDictProxy
from yarl import URL

from nlpu.engines.http.body import MOST_ERROR, read_most
from nlpu.engines.http.idle import IDLE_S, Watch, watched

_END_S = 0.2  # for the end of a connection's answer after the end of its stream


class Answer:
    """A status, headers and a content that may still be on its way."""

    __slots__ = ("_connection", "_watch", "content", "headers", "status")

    def __init__(
        self,
        connection: aiohttp.connector.Connection,
        status: int,
        headers: CIMultiDictProxy[str],
        content: aiohttp.StreamReader,
        watch: Watch,
    ) -> None:
        self._connection, self._watch = connection, watch
        self.status, self.headers, self.content = status, headers, content

    async def read(self, most: int) -> bytes:
        """The whole content, or a beginning of it that is longer than ``most``."""
        if self.content.is_eof():  # it came with its head, as short ones do
            return self.content.read_nowait()
        return await read_most(self, most)

    async def readany(self) -> bytes:
        """The next piece of a content that is read whole: blanks between its parts are nothing."""
        data = await self.piece()
        if not data.isspace():
            self.heard()
        return data

    async def piece(self) -> bytes:
        """The next piece of the content, empty at its end. Raises Idle, aiohttp.ClientError."""
        with self._watch:
            return await self.content.readany()

    async def drain(self) -> None:
        """Read what comes behind the end of a stream, so that its connection can be used again."""
        with suppress(TimeoutError, aiohttp.ClientError):
            async with asyncio.timeout(None if self.content.is_eof() else _END_S):
                await self.read(MOST_ERROR)

    def heard(self) -> None:
        """Note that the last piece was of the answer."""
        self._watch.heard()

    @property
    def content_type(self) -> str:
        """The media type, without its parameters."""
        return self.headers.get("Content-Type", "").partition(";")[0].strip().lower()

    def close(self) -> None:
        """Give the connection back, closed if the answer is not whole. Idempotent."""
        self._connection.release()


class Target:
    """Where bodies are posted to. Made inside the session's loop."""

    def __init__(self, session: aiohttp.ClientSession, url: URL, idle_s: float = IDLE_S) -> None:
        assert session.connector is not None
        self._connector, self._idle_s = session.connector, idle_s
        self._timeout = session.timeout
        # Never sent itself: it tells the connector where to, and has the headers of all.
        self._like = aiohttp.ClientRequest(
            "POST",
            url,
            headers=session.headers,
            skip_auto_headers=session.skip_auto_headers,
            session=session,
        )
        lines = [f"POST {url.raw_path_qs} HTTP/1.1"]
        own = self._like.headers.items()
        lines += [f"{name}: {value}" for name, value in own if name != "Content-Length"]
        self._head = "\r\n".join([*lines, "Content-Length: "]).encode()

    async def post(self, body: bytes, line: bytes = b"") -> Answer:
        """Send one body; gives the answer as soon as its head is there.

        line: one more of the head, with its end.
        """
        try:
            connection = await self._connector.connect(self._like, [], self._timeout)
        except TimeoutError as error:
            raise aiohttp.ConnectionTimeoutError(f"no connection to {self._like.url}") from error
        try:
            return await self._exchange(connection, line, body)
        except HttpProcessingError as error:
            connection.close()
            raise aiohttp.ClientResponseError(
                self._like.request_info, (), status=error.code, message=error.message
            ) from error
        except BaseException:
            connection.close()
            raise

    async def _exchange(
        self, connection: aiohttp.connector.Connection, line: bytes, body: bytes
    ) -> Answer:
        protocol, transport = connection.protocol, connection.transport
        if protocol is None or transport is None or transport.is_closing():
            raise aiohttp.ClientConnectionResetError("closed before it was used")
        watch = watched(transport, self._idle_s)
        protocol.set_response_params(read_until_eof=True, auto_decompress=False)
        transport.write(b"%b%d\r\n%b\r\n%b" % (self._head, len(body), line, body))
        while True:
            with watch:
                head, content = await protocol.read()
            if head.code >= 200 or head.code == 101:  # others announce that more will come
                watch.heard()
                return Answer(connection, head.code, head.headers, content, watch)
