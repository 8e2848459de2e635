"""The connection to an MCP server: one task of a loop of its own, and calls from any thread.

Theory of operation
-------------------
A session of the SDK is opened, used and closed in one task (its cancel scopes want that), which
lives on a loop and thread of its own: neither a computer's loop, its clock nor its end can tear
it. A call comes from a driver's thread and waits for whatever is first: the reply, the end of the
connection, its deadline.

    closed     a call: connect, compare with the manifest       open
    open       the connection ends, for whatever reason         closed; calls under way fail
    open       ``with`` ends                                    the child has ended when it returns

Rules
1. Nothing is started before the first call needs it.
2. What has died is started, and compared, anew for the next call; so is a server that let a call
   pass its deadline, once no other call is under way.
3. A server can ask nothing of us: the SDK refuses sampling, questions and roots.
4. A server's own words in an error are quoted and short.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, wait
from contextlib import AbstractContextManager, ExitStack, suppress
from importlib.util import find_spec
from ipaddress import ip_address
from os.path import isfile
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pydantic import ValidationError

from nlpu.checks import NAMES, TABLE, Fit, check, maybe
from nlpu.errors import DriverFailed, MissingPart, NlpuError, Usage, described
from nlpu.extras import adding
from nlpu.runtime.drivers import mcp_manifest
from nlpu.runtime.drivers.driver import fencing_token, idempotency_key
from nlpu.runtime.drivers.mcp_manifest import Definition, Manifest
from nlpu.runtime.drivers.mcp_words import SHOWN, UNREADABLE, Words, breach

if TYPE_CHECKING:
    from anyio.from_thread import BlockingPortal
    from mcp import Client
    from mcp_types import CallToolResult

_END_S = 3.0  # for a connection to end
_CLOSED = -32000  # the SDK's code of a connection that ended
_REFUSED = -32600  # and of a session that its server has forgotten
_UNKNOWN = "whether it did what it was asked to is not known"
_KEY, _FENCE = "nlpu/idempotencyKey", "nlpu/fencingToken"  # in a request's _meta
_MOST_PAGES = 100  # of a list of tools


_WHERE: Fit = (lambda where: isinstance(where, str) or NAMES[0](where), "a command, or a URL")


class Line:
    """The connection to a server; see the table above. Used from any thread."""

    def __init__(
        self,
        where: Sequence[str] | str,
        env: Mapping[str, str] | None,
        most_bytes: int,
        manifest: Manifest | None,
    ) -> None:
        check("an MCP server", {"where": where, "env": env}, {"where": _WHERE, "env": maybe(TABLE)})
        self._where = _loopback(where) if isinstance(where, str) else tuple(where)
        if not self._where:
            raise Usage("an MCP server is a command with its arguments, and this one is empty")
        self._env, self._most_bytes, self._manifest = env or {}, most_bytes, manifest
        self._lock = threading.Lock()
        self._open = False
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None
        self._client = Future[Any]()
        self._life: Future[None] | None = None  # of the connection
        self._under_way: set[Future[Any]] = set()
        self._words = Words()
        self._stuck: Future[None] | None = None  # a connection that let a call pass its deadline
        self._leave: Callable[[], None] = _nothing  # asks the connection to end
        self.tools: dict[str, Definition] = {}

    def __repr__(self) -> str:
        return f"{self._name}, {'open' if self._open else 'closed'}"

    @property
    def _name(self) -> str:
        """Name the server, without what may hold a key: a query, arguments but its program."""
        if isinstance(self._where, str):
            return self._where.partition("?")[0]
        return " ".join([self._where[0], *list(filter(isfile, self._where[1:]))[:1]])

    def __enter__(self) -> Line:
        self._open = True
        return self

    def __exit__(self, *_: object) -> None:
        """End the connection and its thread; a server that takes its time is cut off."""
        with self._lock:
            self._open = False
            portal, life, self._portal = self._portal, self._life, None
        if portal is not None and life is not None and not life.done():
            portal.call(self._leave)
            wait([life], _END_S)
            life.cancel()
        self._stack.close()

    # -- on the caller's thread -----------------------------------------------------------------

    def ask(self, tool: str, arguments: dict[str, Any], deadline_s: float) -> CallToolResult:
        """Call a tool. Raises DriverFailed."""
        client, portal, life = self.connected(deadline_s)
        meta = {_KEY: idempotency_key(), _FENCE: fencing_token()}
        asked = portal.start_task_soon(_asked, client, tool, arguments, meta)
        self._under_way.add(asked)
        wait([asked, life], deadline_s, FIRST_COMPLETED)
        self._under_way.discard(asked)
        late = f"the server gave no answer within {deadline_s:g} s{self._words}"
        why = self._why(life) if life.done() else late
        if asked.cancel():
            self._stuck = life
        if self._stuck is life and not self._under_way:
            life.cancel()  # rule 2
        if asked.cancelled():
            raise DriverFailed(f"{why}; {_UNKNOWN}")
        error = asked.exception()
        if error is None:
            result: CallToolResult = asked.result()
            return result
        code = getattr(error, "code", None)
        if code == _CLOSED and wait([life], _END_S).done:  # it is about to say why
            raise DriverFailed(f"{self._why(life)}; {_UNKNOWN}") from error
        if code == _REFUSED:
            life.cancel()
        if isinstance(error, ValidationError):
            raise DriverFailed(f"{self._breach(error)}; {_UNKNOWN}") from error
        if str(error).startswith(UNREADABLE):
            told = f"the server {self._name} broke the protocol: {error}; {_UNKNOWN}"
            raise DriverFailed(told) from error
        raise DriverFailed(f"the server did not do it: {str(error)[:SHOWN]!r}") from error

    def connected(self, deadline_s: float) -> tuple[Client, BlockingPortal, Future[None]]:
        """The connection, made if there is none. Raises DriverFailed, MissingPart."""
        with self._lock:
            if not self._open:
                raise DriverFailed("the MCP server is not open: call its tools within its `with`")
            portal = self._portal = self._portal or self._stack.enter_context(_thread())
            if self._life is None or self._life.done():
                self._client, self._words = Future(), Words()
                self._life = portal.start_task_soon(self._live, self._client)
            client, life = self._client, self._life
        wait([client, life], deadline_s, FIRST_COMPLETED)
        if not client.done():
            slow = f"the server {self._name} was not ready within {deadline_s:g} s{self._words}"
            why = self._why(life) if life.done() else slow
            life.cancel()
            raise DriverFailed(why)
        return client.result(), portal, life

    def _breach(self, error: ValidationError) -> str:
        return f"the server {self._name} broke the protocol: {breach(error)}"

    def _why(self, life: Future[None]) -> str:
        """Why a connection that has ended did."""
        error = None if life.cancelled() else life.exception()
        leaves = [error]
        while any(isinstance(each, BaseExceptionGroup) for each in leaves):
            leaves = [e for each in leaves for e in getattr(each, "exceptions", (each,))]
        ours = [each for each in leaves if isinstance(each, NlpuError)]
        if ours:
            return str(ours[0])
        if leaves[0] is None:
            return "the server was closed while the call was under way"
        if isinstance(leaves[0], ValidationError):
            return self._breach(leaves[0])
        said = (str(leaves[0]) or described(leaves[0]))[:SHOWN]
        return f"the connection to the server {self._name} broke: {said!r}{self._words}"

    # -- on the connection's thread ---------------------------------------------------------------

    async def _live(self, client: Future[Client]) -> None:
        """The one task that opens the session and closes it."""
        import anyio  # here: of the extra ``mcp``
        from mcp import Client  # here: of the extra ``mcp``, and it takes a second

        from nlpu.runtime.drivers import mcp_child, mcp_repairs, mcp_wire  # they import these too

        leave = anyio.Event()
        self._leave = leave.set
        if isinstance(self._where, str):
            transport = mcp_wire.loopback(self._where, self._most_bytes)
        else:
            transport = mcp_child.child(self._where, self._env, self._most_bytes, self._words)
        async with Client(mcp_repairs.bending(transport), cache=None) as connected:
            self.tools = await _listed(connected)
            if self._manifest is not None:
                mcp_manifest.compare(self._manifest, self.tools)
            client.set_result(connected)
            await leave.wait()


def _nothing() -> None: ...


def _thread() -> AbstractContextManager[BlockingPortal]:
    """A loop on a thread of its own. Raises MissingPart."""
    if find_spec("mcp") is None:
        raise MissingPart(f"MCP servers need the SDK: {adding('mcp')}")
    from anyio.from_thread import start_blocking_portal  # here: of the extra ``mcp``

    log = logging.getLogger("mcp")
    if not log.handlers:  # else its tracebacks go to the terminal
        log.addHandler(logging.NullHandler())
    return start_blocking_portal(name="mcp")


async def _listed(client: Client) -> dict[str, Definition]:
    tools: dict[str, list[Definition]] = {}
    cursor = None
    for _ in range(_MOST_PAGES):
        page = await client.list_tools(cursor=cursor)
        for each in page.tools:
            made = Definition(
                description=each.description,
                inputSchema=each.input_schema,
                outputSchema=each.output_schema,
            )
            tools.setdefault(each.name, []).append(made)
        cursor = page.next_cursor
        if not cursor:  # an empty one is none, as some write it
            return {name: mcp_manifest.one_of(found) for name, found in tools.items()}
    raise DriverFailed("the server's list of tools does not end")


async def _asked(
    client: Client, tool: str, arguments: dict[str, Any], meta: dict[str, Any]
) -> CallToolResult:
    """One call, without the session's own look at the result (rule 4)."""
    from mcp_types import CallToolRequest, CallToolRequestParams, CallToolResult  # here: see _live

    said = {"name": tool, "arguments": arguments, "_meta": meta}
    params = CallToolRequestParams.model_validate(said)
    return await client.session.send_request(CallToolRequest(params=params), CallToolResult)


def _loopback(url: str) -> str:
    """The URL, if it is one that may be asked. Raises Usage."""
    with suppress(ValueError):  # of a host that is no address, or a port that is no number
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port or 80
        local = host == "localhost" or ip_address(host).is_loopback
        if local and parts.scheme == "http" and port and "@" not in parts.netloc:
            return url
    raise Usage(f"{url!r}: an MCP server is a command, or http:// on 127.0.0.1, [::1] or localhost")
