"""Tools of MCP servers as drivers, through the official SDK.

    with McpServer(["python", "weather.py"], "weather.json") as weather:
        forecast = weather["forecast"]  # a driver like any other

Theory of operation
-------------------
A server is a command (a child process that speaks over its pipes) or a URL on this machine
(streamable HTTP), and a manifest that pins what its tools are (``mcp_manifest``). ``mcp_line``
keeps the connection, ``mcp_wire`` carries messages; here a tool becomes a driver, and a reply its
result.

Rules
1. What a server says is untrusted, also where it says that all went well, and in errors.
2. An error, a reply of the wrong form, one that does not fit the pinned schema, and one without
   any text is a DriverFailed of that call alone. What stands beside a text and is none (an image,
   a link) is named in a line of its own in its place; a resource's text is text.
3. Of a tool with an output schema the structured content alone is taken, whatever its text says;
   of one without, where there is nothing else.
4. Results are checked on the calling thread: what takes forever does so where nobody waits for it.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.checks import COUNT, DEADLINE, PATH, check
from nlpu.errors import DriverFailed, Usage
from nlpu.printing import one_line
from nlpu.runtime.drivers import mcp_manifest
from nlpu.runtime.drivers.driver import DEADLINE_S, MOST_BYTES, Driver
from nlpu.runtime.drivers.mcp_line import Line
from nlpu.runtime.drivers.mcp_manifest import Definition, Pinned
from nlpu.runtime.drivers.mcp_words import SHOWN
from nlpu.types.result import result_type

if TYPE_CHECKING:
    from mcp_types import CallToolResult


class McpServer:
    """An MCP server whose tools are drivers while the ``with`` lasts. Raises Usage.

    ``drivers`` are its tools by name, ``set_aside`` says of the others why they cannot be used.

    Args:
        where: A command and its arguments, or ``http://127.0.0.1:PORT/PATH``.
        manifest: The JSON file that pins its tools; ``pin`` writes it.
        env: Environment variables for the command, beside PATH, HOME and the like.
        deadline_s: Seconds of one call, and of a start.
        most_bytes: Longest message.
    """

    def __init__(
        self,
        where: Sequence[str] | str,
        manifest: str | PathLike[str],
        *,
        env: Mapping[str, str] | None = None,
        deadline_s: float = DEADLINE_S,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        fits = {"manifest": PATH, "deadline_s": DEADLINE, "most_bytes": COUNT}
        check("McpServer", locals(), fits)
        pinned = mcp_manifest.read(Path(manifest))
        reasons = {name: mcp_manifest.why_set_aside(name, each) for name, each in pinned.items()}
        self.set_aside = {name: why for name, why in reasons.items() if why}
        self._line = Line(where, env, most_bytes, pinned)
        self.drivers = {
            name: _driver(name, each, self._line, deadline_s, most_bytes)
            for name, each in pinned.items()
            if name not in self.set_aside
        }

    def __repr__(self) -> str:
        return one_line(f"McpServer({self._line!r}; tools: {', '.join(self.drivers)})")

    def __getitem__(self, tool: str) -> Driver:
        """The driver of a tool. Raises Usage."""
        if tool in self.drivers:
            return self.drivers[tool]
        if tool in self.set_aside:
            raise Usage(f"the tool {tool!r} cannot be used: {self.set_aside[tool]}")
        known = ", ".join(self.drivers) or "none that can be used"
        raise Usage(f"the server has no tool {tool!r} in its manifest; it has {known}")

    def __enter__(self) -> McpServer:
        self._line.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._line.__exit__()


def pin(
    where: Sequence[str] | str,
    manifest: str | PathLike[str],
    *,
    env: Mapping[str, str] | None = None,
) -> dict[str, str]:
    """Write what a server's tools are now into a manifest, for a person to read and to declare.

    Declarations about tools that did not change stay. Gives the tools that cannot be used, and why.
    Raises Usage, DriverFailed, StorageFailed.
    """
    with Line(where, env, MOST_BYTES, None) as line:
        line.connected(DEADLINE_S)
        mcp_manifest.write(Path(manifest), line.tools)
    return McpServer(where, manifest).set_aside


def _driver(name: str, pinned: Pinned, line: Line, deadline_s: float, most_bytes: int) -> Driver:
    def call(**given: Any) -> str:
        return _text(name, pinned.definition, line.ask(name, given, deadline_s))

    about = f"{pinned.about or 'A tool of an MCP server.'}\n\nPinned as {pinned.digest}."
    return Driver(
        name,
        about,
        call,
        arguments=pinned.arguments(),
        result=result_type(str),
        effect=pinned.effect,
        idempotent=pinned.idempotent,
        deadline_s=deadline_s,
        most_bytes=most_bytes,
    )


def _text(name: str, definition: Definition, result: CallToolResult) -> str:
    """What a tool gave: JSON if it has a schema, else its text. Raises DriverFailed (rule 2)."""
    texts = [text for text in map(_text_of, result.content) if text is not None]
    if result.is_error:
        said = "\n".join(texts) or str(result.structured_content or "")
        raise DriverFailed(f"the tool says that it failed: {said[:SHOWN]!r}")
    if definition.outputSchema is not None:
        _check(definition.outputSchema, result.structured_content)
        return _json(result.structured_content)
    if not result.content and result.structured_content is not None:
        return _json(result.structured_content)
    if result.content and not texts:
        kinds = ", ".join(sorted({block.type for block in result.content}))
        raise DriverFailed(f"{name} gave {kinds}; only text can be used")
    return "\n".join(_text_of(block) or _named(block) for block in result.content)


def _json(content: Any) -> str:
    try:
        return json.dumps(content, ensure_ascii=False, allow_nan=False)
    except ValueError as error:
        raise DriverFailed(f"the result has what JSON has not: {error}") from error


def _text_of(block: Any) -> str | None:
    """The text of a block, or of the resource that it holds."""
    text = getattr(getattr(block, "resource", block), "text", None)
    return text if isinstance(text, str) else None


def _named(block: Any) -> str:
    """A line in the place of what is no text; nothing for an empty text."""
    if _text_of(block) == "":
        return ""
    held = getattr(block, "resource", block)
    about = [getattr(held, name, None) for name in ("name", "uri", "mime_type")]
    return f"[{block.type}: {', '.join(str(each) for each in about if each) or 'no text'}]"


def _check(schema: dict[str, Any], content: Any) -> None:
    from jsonschema.validators import validator_for  # here: of the extra ``mcp``, and slow
    from referencing import Registry

    try:
        kind = validator_for(schema)
        kind.check_schema(schema)
        kind(schema, registry=Registry()).validate(content)  # an empty one: nothing is fetched
    except Exception as error:  # it has several kinds, for schemas that are wrong in themselves too
        what = str(getattr(error, "message", error))[:SHOWN]
        raise DriverFailed(f"the result does not fit the tool's schema: {what!r}") from error
