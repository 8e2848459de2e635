"""Fifty odd forms of MCP servers, as rows: what each writes, and what becomes of it, at once."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest
from kit import execute

from nlpu.errors import DriverFailed
from nlpu.runtime.drivers import McpServer, pin

pytest.importorskip("mcp")
SERVER = r"""
import json, os, sys
for line in sys.stdin:
    asked = json.loads(line)
    if "id" in asked:
        text = os.environ.get(asked["method"], os.environ["unknown"])
        text = text.replace("@ID", str(asked["id"]))
        sys.stdout.buffer.write(text.rstrip("~").encode("latin-1") + b"\n")
        sys.stdout.flush()
        if text.endswith("~"):
            break
"""
INFO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "odd", "version": "1"},
}
LOOK = {"name": "look", "inputSchema": {"type": "object", "properties": {"what": {}}}}
SEEN = {"content": [{"type": "text", "text": "seen"}]}


def reply(result: Any, **more: Any) -> str:
    return json.dumps({"jsonrpc": "2.0", "id": "@ID", "result": result, **more}).replace(
        '"@ID"', "@ID"
    )


def but(whole: dict[str, Any], **other: Any) -> str:
    """A reply with other fields; without those that are ``...``."""
    return reply({k: v for k, v in {**whole, **other}.items() if v is not ...})


GOOD = {
    "initialize": reply(INFO),
    "tools/list": reply({"tools": [LOOK]}),
    "tools/call": reply(SEEN),
    "unknown": '{"jsonrpc": "2.0", "id": @ID, "error": {"code": -32601, "message": "unknown"}}',
}
LINES = json.dumps(json.loads(reply(SEEN).replace("@ID", "0")), indent=2)
LINES = LINES.replace('"id": 0', '"id": @ID')
START, LIST, CALL = "initialize", "tools/list", "tools/call"
ROWS: list[tuple[str, str, str]] = [
    # a start
    (
        START,
        but(INFO, serverInfo=...),
        r"server\.py broke the protocol: serverInfo is missing; it"
        r' wrote {"protocolVersion": "2025-06-18", "capabilities": {"tools": {}}}$',
    ),
    (START, but(INFO, serverInfo=None), "serverInfo is not of the protocol's form; it wrote null$"),
    (START, but(INFO, serverInfo="odd"), 'serverInfo is not of .* form; it wrote "odd"$'),
    (START, but(INFO, serverInfo={"name": "odd"}), 'serverInfo.version is missing; it wrote {"na'),
    (START, but(INFO, serverInfo={"name": "odd", "version": 1}), "version is not .* wrote 1$"),
    (START, but(INFO, serverInfo={**INFO["serverInfo"], "mood": 1}), "gave seen$"),  # type: ignore[dict-item]
    (START, but(INFO, capabilities=...), "capabilities is missing; it wrote"),
    (START, but(INFO, capabilities=["tools"]), r'capabilities is not .* wrote \["tools"\]$'),
    (START, but(INFO, capabilities={"tools": True}), "capabilities.tools is not .* wrote true$"),
    (START, but(INFO, capabilities={}), "gave seen$"),
    (START, but(INFO, protocolVersion=...), "protocolVersion is missing; it wrote"),
    (START, but(INFO, protocolVersion=2), "protocolVersion is not .* wrote 2$"),
    (START, but(INFO, protocolVersion="1.0"), "Unsupported protocol version .*: 1.0"),
    (START, but(INFO, instructions=5), "instructions is not .* wrote 5$"),
    (START, but(INFO, instructions="\x1b[2J"), "gave seen$"),
    (START, reply({}), "capabilities is missing; it wrote {}$"),
    (START, reply([]), r"its reply cannot be read: result is not .* wrote \[\]"),
    (START, reply(None), "cannot be read: result is not of the protocol's form; it wrote null"),
    (START, "Listening on stdio\n" + GOOD[START], "gave seen$"),
    (START, GOOD["unknown"], "connection to the server .* broke: 'unknown'"),
    # a list of tools
    (LIST, reply({}), "tools is missing; it wrote {}$"),
    (LIST, reply({"tools": {"look": LOOK}}), 'tools is not .* it wrote {"look": {'),
    (LIST, reply({"tools": [LOOK], "nextCursor": 5}), "nextCursor is not .* it wrote 5$"),
    (LIST, reply({"tools": [LOOK], "nextCursor": None}), "gave seen$"),
    (LIST, reply({"tools": [LOOK, 5, None]}), "gave seen$"),
    (LIST, reply({"tools": [{**LOOK, "annotations": 5}, LOOK]}), "gave seen$"),
    # a result
    (CALL, LINES, "gave seen$"),
    (CALL, LINES.replace("\n", "\r\n"), "gave seen$"),
    (CALL, LINES.replace("\n", "\n\n"), "gave seen$"),
    (CALL, "{\n" + LINES, "gave seen$"),
    (CALL, '{"level": "info"}\n{now}\n' + LINES, "gave seen$"),
    (CALL, LINES.replace("seen", "caf\xe9"), "its reply cannot be read: it is not UTF-8"),
    (CALL, LINES.replace('"result"', '"answer"'), "result is missing; it wrote {.*answer.*seen"),
    (CALL, LINES.replace('"2.0"', '"2.0", "method": 5'), "gave seen$"),
    (CALL, LINES.replace("@ID", '"@ID"'), "gave seen$"),
    (CALL, LINES.replace("@ID", "@ID.0"), r"cannot be read: id.int is not .* it wrote \d\.0; whet"),
    (CALL, LINES.replace("@ID", "null"), "cannot be read: id.int is not of .* it wrote null; whet"),
    (CALL, LINES.replace("@ID", "true"), "cannot be read: id.int is not of .* it wrote true; whet"),
    (CALL, LINES.replace('"id": @ID,', ""), "cannot be read: id is missing; it wrote {"),
    (CALL, LINES.replace("@ID", "999") + "~", "output; it wrote '{.*999.*seen"),
    (CALL, LINES.replace('"jsonrpc": "2.0",', ""), "cannot be read: jsonrpc is missing; it wrote"),
    (CALL, GOOD["unknown"].replace("@ID", "null"), "server did not do it: 'unknown'"),
    (CALL, f"[{GOOD[CALL]}]", "gave seen$"),
    (CALL, f"{GOOD[CALL]}\n{GOOD[CALL]}", "gave seen$"),
    (CALL, f"Content-Length: {len(GOOD[CALL])}\r\n\r\n{GOOD[CALL]}", "gave seen$"),
    (
        CALL,
        GOOD[CALL] * 2,
        "cannot be read: it is not JSON: trailing characters .* it wrote {.*seen",
    ),
    (CALL, GOOD[CALL][:-1] + ",}", "cannot be read: it is not JSON: trailing comma at line 1 col"),
    (CALL, GOOD[CALL].replace('"seen"', "9" * 5000), "not JSON: number out of range"),
    (CALL, GOOD[CALL].replace('"seen"', "[" * 2000 + "]" * 2000), "not JSON: recursion limit"),
    (
        CALL,
        GOOD[CALL].replace("seen", "a\\ud800b"),
        r"not JSON: half a character, U\+D800, is in it",
    ),
    (CALL, reply({"content": [], "structuredContent": {"x": float("nan")}}), "what JSON has not"),
    (CALL, LINES[:-1] + "~", "ended, or closed its output; it wrote '{.*seen"),
    (CALL, reply(SEEN, mood=5), "gave seen$"),
    (CALL, reply(SEEN, jsonrpc="1.0"), 'cannot be read: jsonrpc is not .* wrote "1.0"'),
    (CALL, reply("seen"), 'cannot be read: result is not .* it wrote "seen"'),
    (CALL, reply({"content": "seen"}), 'the protocol: content is not .* wrote "seen"; whether'),
    (CALL, reply({"content": [{"type": "text"}]}), "broke the protocol: content.0.* is missing"),
    (CALL, reply({**SEEN, "isError": 5}), "isError is not .* it wrote 5; whether"),
    (CALL, reply({**SEEN, "_meta": 5}), "_meta is not of the protocol's form; it wrote 5; whether"),
]


def became(method: str, text: str, place: Path) -> str:
    """What a call gives, or its error."""
    (place / "server.py").write_text(SERVER)
    command, manifest = [sys.executable, str(place / "server.py")], place / "m.json"
    env = {**GOOD, method: text}
    try:
        pin(command, manifest, env=env)
        manifest.write_text(manifest.read_text().replace('"external"', '"read"'))
        with McpServer(command, manifest, env=env) as server:
            return f"gave {execute(lambda: server['look']('it').value).result}"
    except DriverFailed as error:
        return str(error)


@pytest.mark.parametrize("row", range(len(ROWS)))
def test_what_a_server_writes_is_used_or_shown(row: int, tmp_path: Path) -> None:
    method, text, wanted = ROWS[row]
    told = became(method, text, tmp_path)
    assert re.search(wanted, told) and "pydantic" not in told, told
