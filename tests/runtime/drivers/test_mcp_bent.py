"""MCP servers that keep to the protocol in most of what they send: the rest is set aside."""

from __future__ import annotations

import json
import logging
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
    held = os.environ.get(asked["method"])
    reply = {"jsonrpc": "2.0", "id": asked.get("id"), "result": json.loads(held or "{}")}
    if held is None:
        reply = {**reply, "error": {"code": -32601, "message": "Method not found"}}
        del reply["result"]
    if "id" in asked:
        text = os.environ.get("FIRST", "") + json.dumps(reply) + "\n"
        sys.stdout.buffer.write(text.replace("BYTE", "\xe9").encode(os.environ["CODE"]))
        sys.stdout.flush()
        os.environ["FIRST"] = ""
"""
INFO = {
    "protocolVersion": "2025-06-18",
    "capabilities": {"tools": {}},
    "serverInfo": {"name": "odd", "version": "1"},
}
PLAIN = {"type": "object", "properties": {"what": {"type": "string"}}}
LOOK = {"name": "look", "inputSchema": PLAIN}


def server(
    tmp_path: Path, result: Any, *odd: Any, code: str = "utf-8", first: str = "", more: Any = ()
) -> tuple[McpServer, dict[str, str]]:
    """A server with one sound tool, whose calls give ``result``; and what is set aside of it.

    more: of its list of tools.
    """
    listed = {"tools": [odd[0], LOOK, *odd[1:]] if odd else [LOOK], **dict(more)}
    (tmp_path / "server.py").write_text(SERVER)
    env = {
        "initialize": json.dumps(INFO),
        "tools/list": json.dumps(listed),
        "tools/call": json.dumps(result),
        "CODE": code,
        "FIRST": first,
    }
    command, manifest = [sys.executable, str(tmp_path / "server.py")], tmp_path / "m.json"
    aside = pin(command, manifest, env=env)
    pinned = json.loads(manifest.read_text())
    pinned["look"]["effect"] = "read"
    manifest.write_text(json.dumps(pinned))
    return McpServer(command, manifest, env=env), aside


def looked(made: McpServer) -> str:
    with made:
        return str(execute(lambda: made["look"]("it").value).result)


def said(text: str) -> dict[str, str]:
    return {"type": "text", "text": text}


ODD: dict[str, dict[str, Any]] = {
    "no schema": {},
    "null": {"inputSchema": None},
    "a list": {"inputSchema": []},
    "a truth": {"inputSchema": True},
    "of a text": {"inputSchema": {"type": "string"}},
    "of no type": {"inputSchema": {"anyOf": [PLAIN]}},
    "described by a number": {"inputSchema": PLAIN, "description": 5},
    "an output that is a list": {"inputSchema": PLAIN, "outputSchema": []},
    "half a character": {"inputSchema": PLAIN, "description": "\ud83d"},
}


@pytest.mark.parametrize("name", ODD)
def test_a_tool_of_no_form_is_set_aside_by_name(name: str, tmp_path: Path) -> None:
    made, aside = server(tmp_path, {"content": [said("seen")]}, {"name": name, **ODD[name]})
    assert aside == {name: "its definition is not of the protocol's form"}
    assert looked(made) == "seen"


@pytest.mark.parametrize("times", [2, 3])
def test_so_are_several_tools_of_one_name(times: int, tmp_path: Path) -> None:
    """Which of them a call would reach, only the server knows."""
    twins = [
        {"name": "send", "description": f"no. {n}", "inputSchema": PLAIN} for n in range(times)
    ]
    made, aside = server(tmp_path, {"content": [said("seen")]}, *twins, LOOK)
    assert aside == {"send": "the server lists several tools of this name"}
    assert looked(made) == "seen"  # it is listed twice, too, and is one tool all the same


def test_so_is_one_without_a_name_and_what_is_no_tool(tmp_path: Path) -> None:
    made, aside = server(tmp_path, {"content": [said("seen")]}, {"inputSchema": PLAIN}, "look", 5)
    assert aside.keys() == {""} and looked(made) == "seen"


def test_so_is_one_with_a_byte_of_another_encoding(tmp_path: Path) -> None:
    tool = {"name": "menu", "inputSchema": PLAIN, "description": "of the cafBYTE"}
    made, aside = server(tmp_path, {"content": [said("seen")]}, tool, code="latin-1")
    assert aside.keys() == {"menu"} and looked(made) == "seen"


def test_one_that_changes_to_another_odd_form_is_noticed(tmp_path: Path) -> None:
    server(tmp_path, {"content": []}, {"name": "odd"})
    manifest = (tmp_path / "m.json").read_text()
    made, _ = server(tmp_path, {"content": []}, {"name": "odd", "inputSchema": None})
    (tmp_path / "m.json").write_text(manifest.replace('"external"', '"read"'))
    again = McpServer(
        [sys.executable, str(tmp_path / "server.py")], tmp_path / "m.json", env=made._line._env
    )
    with again, pytest.raises(DriverFailed, match="inputSchema of 'odd' is another"):
        execute(lambda: again["look"]("it").value).result  # noqa: B018


def test_text_beside_a_block_of_an_unknown_kind_is_kept(tmp_path: Path) -> None:
    blocks = [said("before"), {"type": "video", "frames": 9}, said("after")]
    assert looked(server(tmp_path, {"content": blocks})[0]) == (
        "before\n[resource_link: video, unknown:]\nafter"
    )


def test_what_a_tool_gives_as_structure_alone_is_its_result(tmp_path: Path) -> None:
    made, _ = server(tmp_path, {"content": [], "structuredContent": {"sky": "blue"}})
    assert looked(made) == '{"sky": "blue"}'


def test_so_is_structure_without_any_blocks(tmp_path: Path) -> None:
    assert looked(server(tmp_path, {"structuredContent": {"sky": "blue"}})[0]) == '{"sky": "blue"}'


def test_a_tool_that_says_by_structure_why_it_failed_is_quoted(tmp_path: Path) -> None:
    failed = {"content": [], "isError": True, "structuredContent": {"why": "no key"}}
    with pytest.raises(DriverFailed, match="'why': 'no key'"):
        looked(server(tmp_path, failed)[0])


def test_an_empty_cursor_ends_a_list_of_tools(tmp_path: Path) -> None:
    made, _ = server(tmp_path, {"content": [said("seen")]}, more={"nextCursor": ""})
    assert looked(made) == "seen"


def test_odd_news_of_a_server_is_no_traceback(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody asked for words for a log; the SDK would log how it failed to read them."""
    news = {"method": "notifications/message", "params": {"level": "odd", "data": "hello"}}
    first = json.dumps({"jsonrpc": "2.0", **news}) + "\n"
    with caplog.at_level(logging.WARNING):
        assert looked(server(tmp_path, {"content": [said("seen")]}, first=first)[0]) == "seen"
    assert not caplog.records


def test_a_mark_of_byte_order_is_no_noise(tmp_path: Path) -> None:
    assert looked(server(tmp_path, {"content": [said("seen")]}, first="\ufeff")[0]) == "seen"
