"""The HTML report in a real browser: drawn, searched, and inert whatever models wrote."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from browser import CHROMIUM, Browser
from recorded_fixture import program, recorded
from terminal_fixture import Terminal, nlpu
from test_report import EVIL, evil

from nlpu.runtime.terminal.show.archive import Record
from nlpu.runtime.terminal.show.edges import shape_of
from nlpu.runtime.terminal.show.report import MOST, report_of
from nlpu.testing.scripted import Say, Scripted, Seen

__all__ = ["nlpu"]  # a fixture
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(CHROMIUM is None, reason="chromium is not here: apt-get install chromium"),
]
TREE = '''
@nlop
def leaf(text: str) -> str:
    """Write a leaf."""


@nlop
def join(left: str, right: str) -> str:
    """Join two."""


def go(leaves: int):
    level = [leaf(f"leaf {i}") for i in range(leaves)]
    while len(level) > 1:
        pairs = [level[i : i + 2] for i in range(0, len(level), 2)]
        level = [join(*pair) if len(pair) == 2 else pair[0] for pair in pairs]
    return level[0]
'''
# How many colours a canvas has, and of what share of its pixels something is drawn.
DRAWN = """(id) => {
  const canvas = document.getElementById(id);
  const pixels = new Uint32Array(canvas.getContext("2d")
    .getImageData(0, 0, canvas.width, canvas.height).data.buffer);
  return [new Set(pixels).size, pixels.filter((pixel) => pixel).length / pixels.length];
}"""
SEARCH = """(text) => {
  const field = document.getElementById("search");
  field.value = text;
  field.dispatchEvent(new Event("input"));
  return document.getElementById("found").textContent;
}"""


def visit(page: str | Path, place: Path, look: Callable[[Browser], Awaitable[None]]) -> Browser:
    """Open a report and look at it; it must load nothing else and say nothing."""
    path = page if isinstance(page, Path) else place / "report.html"
    if isinstance(page, str):
        path.write_text(page)

    async def go() -> Browser:
        async with Browser(place / "profile") as browser:
            await browser.open(path.as_uri())
            await look(browser)
        return browser

    browser = asyncio.run(go())
    assert browser.told == []
    assert browser.asked == [path.as_uri()]
    return browser


def page_of(record: Record) -> str:
    return report_of(record, shape_of(record))


async def text_of(browser: Browser, name: str) -> str:
    text = await browser.run(f"document.getElementById('{name}').textContent")
    assert isinstance(text, str)
    return text


def test_a_report_is_drawn_searched_and_inert(tmp_path: Path) -> None:
    record = recorded(tmp_path, evil)

    async def look(browser: Browser) -> None:
        for name in ("timeline", "graph"):
            colours, share = await browser.run(f"({DRAWN})('{name}')")
            assert colours > 3 and share > 0.01, name
        assert "digest.py:go" in await text_of(browser, "program")
        assert EVIL in await text_of(browser, "detail")
        assert await browser.run("document.scripts.length") == 2
        assert await browser.run(f"({SEARCH})('TIDES 2')") == "1 call"
        detail = await text_of(browser, "detail")
        assert "main/0/2" in detail and "tides 2" in detail
        assert await browser.run("document.querySelector('mark').textContent") == "tides 2"
        assert await browser.run(f"({SEARCH})('alert(1)')") == "6 calls"
        assert await browser.run(f"({SEARCH})('nowhere')") == "0 calls"
        assert "label user" in detail and "Prompt, exactly as sent" in detail
        await browser.click("timeline", 4, 4)
        assert await browser.run("location.hash") == "#main/0/0"
        dark, light = await browser.picture("dark"), await browser.picture("light")
        assert dark != light

    visit(page_of(record), tmp_path, look)


def test_the_prompt_shown_is_the_prompt_sent(tmp_path: Path) -> None:
    engine = Scripted(evil)
    record = recorded(tmp_path, engine)
    sent = ["".join(map(_shown, seen.request.prompt)) for seen in engine.seen]

    async def look(browser: Browser) -> None:
        shown = await browser.run("calls.map(promptOf)")
        assert sorted(shown) == sorted(sent)

    visit(page_of(record), tmp_path, look)


def _shown(token: Any) -> str:
    marks = {0x110000: "<|system|>\n", 0x110001: "\n<|user|>\n", 0x110002: "\n<|answer|>\n"}
    return marks.get(token) or chr(token)


def test_a_run_of_a_command_opens_too(nlpu: Terminal, tmp_path: Path) -> None:
    run: Any = nlpu("run", program(tmp_path), "tides", "--engine", "scripted", "--json").json
    assert nlpu("show", run["run_id"], "--html", "report.html").code == 0

    async def look(browser: Browser) -> None:
        assert run["run_id"] in await text_of(browser, "about")
        at = await browser.run("choose(2), location.hash")
        assert at == "#main/0/2"

    visit(tmp_path / "report.html", tmp_path, look)


LAYOUT = """() => {
  const box = (id) => document.getElementById(id).getBoundingClientRect();
  const calls = document.getElementById("calls").parentElement;
  return {
    search: [box("search").left, box("search").right],
    detail: [box("detail").left, box("detail").right],
    scrolls: calls.scrollHeight > calls.clientHeight, page: document.body.scrollWidth - innerWidth,
    first: calls.querySelectorAll("tr")[1].textContent,
  };
}"""


def uneven(seen: Seen) -> Say:
    """Long readings, one failure, and a text of which some cannot be seen."""
    if "good" in seen.instruction:
        return Say("perhaps", seconds=500.0)
    return Say("pay\u200b \u202eeve\U000e0041 " * 20, seconds=500.0)


def test_a_report_is_aligned_and_read_by_people(tmp_path: Path) -> None:
    record = recorded(tmp_path, uneven, "tides", 40)

    async def look(browser: Browser) -> None:
        for width in (1440, 700):
            await browser.send(
                "Emulation.setDeviceMetricsOverride",
                width=width,
                height=900,
                deviceScaleFactor=1,
                mobile=False,
            )
            seen = await browser.run(f"({LAYOUT})()")
            assert seen["search"] == pytest.approx(seen["detail"], abs=1)
            assert seen["scrolls"] and seen["page"] <= 0
            assert "goodfailed" in seen["first"]
        assert "41 min 40 s" in await text_of(browser, "timeline-about")
        read = await browser.run("[0, 61e3, 45e5].map(duration).concat(counted(12345))")
        assert read == ["0 s", "1 min 1 s", "1 h 15 min", "12,345"]
        assert await browser.run(f"({SEARCH})('pay')") != "0 calls"
        detail = await text_of(browser, "detail")
        assert "pay<U+200B> <U+202E>eve<U+E0041>" in detail
        whole = await browser.run("document.body.textContent.slice(0, 1e5)")
        assert "e+0" not in await text_of(browser, "figures") and "<U+202E>" in whole

    visit(page_of(record), tmp_path, look)


def wordy(seen: Seen) -> str:
    return (" and ".join(seen.operands.values()) + " go on and on" * 12)[:200]


@pytest.mark.parametrize("leaves", [5001, 8000])  # 10,001 and 15,999 calls
def test_large_runs_open_in_seconds(leaves: int, tmp_path: Path) -> None:
    record = recorded(tmp_path, wordy, leaves, body=TREE)
    assert len(record.past.calls) == 2 * leaves - 1

    async def look(browser: Browser) -> None:
        assert int(await browser.run("document.documentElement.dataset.ready")) < 10_000  # ms
        assert "summarised" in await text_of(browser, "graph-about") or 2 * leaves - 1 <= MOST
        for name in ("timeline", "graph"):
            assert (await browser.run(f"({DRAWN})('{name}')"))[0] > 3
        found = await browser.run(f"({SEARCH})('leaf {leaves // 2} go')")
        assert found.endswith(("call", "calls")) and found != "0 calls"

    visit(page_of(record), tmp_path, look)
