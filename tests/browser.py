"""Chromium without a window, driven by its DevTools protocol: for tests of pages that we write."""

from __future__ import annotations

import asyncio
import base64
import re
import shutil
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

CHROMIUM = shutil.which("chromium")
_FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--remote-debugging-port=0",
    "--window-size=1440,1100",
)
_PATIENCE_S = 60.0


class Browser:
    """One page. ``told``: what it wrote to its console, and errors; ``asked``: what it loads."""

    def __init__(self, profile: Path) -> None:
        self.profile = profile
        self.told: list[str] = []
        self.asked: list[str] = []
        self._answers: dict[int, asyncio.Future[Any]] = {}
        self._sent = 0
        self._loaded = asyncio.Event()

    async def __aenter__(self) -> Self:
        assert CHROMIUM is not None
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM,
            *_FLAGS,
            f"--user-data-dir={self.profile}",
            "about:blank",
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        self._session = aiohttp.ClientSession()
        url = await asyncio.wait_for(self._listening(), _PATIENCE_S)
        host = url.split("/")[2]
        async with self._session.get(f"http://{host}/json/list") as reply:
            pages = await reply.json()
        page = next(page for page in pages if page["type"] == "page")
        self._socket = await self._session.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=0)
        self._reading = asyncio.create_task(self._read())
        for domain in ("Runtime", "Log", "Page", "Network"):
            await self.send(f"{domain}.enable")
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._socket.close()
        await self._reading
        await self._session.close()
        self._process.terminate()
        await self._process.wait()

    async def _listening(self) -> str:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            found = re.search(rb"listening on (ws://\S+)", line)
            if found:
                return found[1].decode()
        raise AssertionError("chromium ended before it listened")

    async def _read(self) -> None:
        async for message in self._socket:
            told = message.json()
            if "id" in told:
                self._answers.pop(told["id"]).set_result(told)
            elif told["method"] in ("Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
                self.told.append(str(told["params"]))
            elif told["method"] == "Log.entryAdded":
                self.told.append(told["params"]["entry"]["text"])
            elif told["method"] == "Page.loadEventFired":
                self._loaded.set()
            elif told["method"] == "Network.requestWillBeSent":
                self.asked.append(told["params"]["request"]["url"])

    async def send(self, method: str, **params: Any) -> Any:
        """One command of the protocol."""
        self._sent += 1
        answer = self._answers[self._sent] = asyncio.get_running_loop().create_future()
        await self._socket.send_json({"id": self._sent, "method": method, "params": params})
        told = await asyncio.wait_for(answer, _PATIENCE_S)
        assert "result" in told, told
        return told["result"]

    async def run(self, script: str) -> Any:
        """What a script in the page gives."""
        told = await self.send(
            "Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in told, told
        return told["result"].get("value")

    async def open(self, url: str) -> None:
        """Open a page, and return when it is loaded and its script has run."""
        self._loaded.clear()
        await self.send("Page.navigate", url=url)
        await asyncio.wait_for(self._loaded.wait(), _PATIENCE_S)

    async def click(self, name: str, x: float, y: float) -> None:
        """Click into an element, so far from its corner."""
        where = f"document.getElementById('{name}').getBoundingClientRect().toJSON()"
        corner = await self.run(where)
        place = {"x": corner["x"] + x, "y": corner["y"] + y, "button": "left", "clickCount": 1}
        for kind in ("mousePressed", "mouseReleased"):
            await self.send("Input.dispatchMouseEvent", type=kind, **place)

    async def picture(self, scheme: str = "light", whole: bool = False) -> bytes:
        """A screenshot (PNG) in a light or dark scheme, of the window or of the whole page."""
        wish = {"name": "prefers-color-scheme", "value": scheme}
        await self.send("Emulation.setEmulatedMedia", features=[wish])
        await self.run(_DRAWN)
        told = await self.send("Page.captureScreenshot", captureBeyondViewport=whole)
        return base64.b64decode(told["data"])


_DRAWN = "new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))"
