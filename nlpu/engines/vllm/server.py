"""Runs vLLM for a model, waits until it really generates, and takes it down with itself.

Theory of operation
-------------------
``command`` says how vLLM is started, ``port`` whose a port is. ``VllmServer`` starts it
under a keeper (``keeper``), polls it with a real one-token completion until one is answered,
and shows the end of its log when that does not happen. ``serving`` is the same for a terminal.

Rules
1. Ready means: it generated a token. ``/health`` is not asked; it is healthy before and after.
   Nobody is asked before a process of ours listens on the port: another server that took it in
   between is not believed and does not get our key.
2. However the owner ends, kill -9 included, the server ends. The owner holds one end of a pipe
   and the keeper the other; only the server's own process group is ever signalled.
3. The server's output goes to a file of its own, which is kept if the start failed (and by a
   kill -9 of the owner, which has no time to remove it).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import secrets
import signal
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import aiohttp

from nlpu.checks import DEADLINE, check
from nlpu.engines.http.body import MOST_ERROR, read_most
from nlpu.engines.http.engine import HttpEngine
from nlpu.engines.vllm.command import (
    bears_seeds,
    check_model,
    command,
    environment,
    flag,
    model_name,
    survey,
)
from nlpu.engines.vllm.port import claim, listens, port_of
from nlpu.errors import HostError, TimedOut

READY_S = 600.0
LOG_LINES = 40
_KEEPER = Path(__file__).with_name("keeper.py")
_POLL_S = 0.25
_STOP_S = 30.0
_POINTER = "root cause"  # what vLLM's last error says of another one, above it
_ERROR = re.compile(r"\b\w*(?:Error|Exception)\b: ")


class VllmServer:
    """``async with VllmServer(model) as server: server.url, server.api_key, server.engine()``.

    model:   a directory or a name that vLLM knows.
    port:    0 is any free one.
    api_key: made up if None.
    flags:   any of vLLM's, such as --tensor-parallel-size 2; they win over ours.
    python:  the Python that has vLLM; else $NLPU_VLLM_PYTHON, else this one.
    ready_s: how long it may take until the first token.
    """

    what = "vLLM"  # in messages

    def __init__(
        self,
        model: str,
        *,
        port: int = 0,
        api_key: str | None = None,
        flags: Sequence[str] = (),
        python: str | None = None,
        ready_s: float = READY_S,
    ) -> None:
        check("VllmServer", {"ready_s": ready_s}, {"ready_s": DEADLINE})
        self.api_key = flag(flags, "--api-key") or api_key or secrets.token_hex(24)
        self.model = flag(flags, "--served-model-name") or model_name(model)
        self.flags = tuple(flags)
        self.port = port_of(flag(flags, "--port") or port)
        self.seed = False
        self.priority = flag(flags, "--scheduling-policy") in {None, "priority"}
        self.traces = flag(flags, "--otlp-traces-endpoint") is not None or None
        self.log = Path()
        self._source, self._python, self._ready_s = model, python, ready_s
        self._keeper: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def engine(self, max_in_flight: int | None = None) -> HttpEngine:
        """An engine for this server, knowing what only its starter knows."""
        slots = max_in_flight or int(flag(self.flags, "--max-num-seqs") or 0) or None
        return HttpEngine(
            self.url,
            self.model,
            self.api_key,
            slots,
            seed=self.seed,
            priority=self.priority,
            traces=self.traces,
        )

    async def __aenter__(self) -> VllmServer:
        try:
            await self._start()
            await self._until_ready()
        except BaseException:
            await self.stop(keep_log=True)
            raise
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    async def _start(self) -> None:
        check_model(self._source)
        self.port = claim(self.port)
        found = await asyncio.to_thread(survey, self._python)
        self.seed = bears_seeds(found, self._source, self.flags)
        line = command(found, self._source, self.port, self.flags)
        await self._keep(line, environment(found, self.api_key))

    async def _keep(self, line: Sequence[str], env: Mapping[str, str]) -> None:
        """Start a process under the keeper, its output in a file."""
        handle, name = tempfile.mkstemp(prefix="nlpu-vllm-", suffix=".log")
        self.log = Path(name)
        keeper = [sys.executable, "-I", "-S", str(_KEEPER), *line]
        try:
            self._keeper = await asyncio.create_subprocess_exec(
                *keeper,
                stdin=asyncio.subprocess.PIPE,
                stdout=handle,
                stderr=handle,
                env=env,
                start_new_session=True,
            )
        finally:
            os.close(handle)

    async def _until_ready(self) -> None:
        """Until it has generated a token."""
        timeout = aiohttp.ClientTimeout(total=self._ready_s)
        try:
            async with (
                asyncio.timeout(self._ready_s),
                aiohttp.ClientSession(timeout=timeout) as session,
            ):
                while not (self._listens() and await self._generates(session)):
                    if self.ended:
                        raise HostError(f"{self.what} ended before it was ready.\n{self.why()}")
                    await asyncio.sleep(_POLL_S)
        except TimeoutError:
            said = f"{self.what} was not ready within {self._ready_s:g} s.\n{self.tail()}"
            raise TimedOut(said) from None

    def _listens(self) -> bool:
        """Whether it, and no other server, is what answers on the port."""
        keeper = self._keeper
        return keeper is not None and not self.ended and listens(keeper.pid, self.port)

    async def _generates(self, session: aiohttp.ClientSession) -> bool:
        ask: dict[str, Any] = {"model": self.model, "prompt": "1", "max_tokens": 1}
        headers = {"Authorization": f"Bearer {self.api_key}"}
        url = f"{self.url}/v1/completions"
        try:
            async with session.post(url, json=ask, headers=headers) as answer:
                status, body = answer.status, await read_most(answer.content, MOST_ERROR)
        except (aiohttp.ClientError, ConnectionError):
            return False
        if 400 <= status < 500:
            said = body[:300].decode(errors="replace")
            raise HostError(
                f"{self.what} is up but generates nothing ({status}): {said}\n{self.tail()}"
            )
        return status == 200  # a router says 503 until it has looked at its servers

    @property
    def ended(self) -> bool:
        return self._keeper is None or self._keeper.returncode is not None

    async def wait(self) -> None:
        """Until the server ends by itself."""
        if self._keeper is not None:
            await self._keeper.wait()

    def tail(self) -> str:
        """The end of the server's log, without the key."""
        try:
            lines = self.log.read_text("utf-8", errors="replace").splitlines()[-LOG_LINES:]
        except OSError:
            return ""
        text = "\n".join(lines).replace(self.api_key, "***")
        return f"The end of its log ({self.log}):\n{text}"

    def why(self) -> str:
        """The end of the log and, last, where a person looks first, its cause and what to do."""
        tail = self.tail()
        cause = cause_in(tail.partition(":\n")[2])
        return (
            f"{tail}\nThe likely cause: {cause}\n"
            "Correct the model's name or directory, or the flags behind -- (see docs/gpu.md)."
        )

    async def stop(self, keep_log: bool = False) -> None:
        """Take it down and wait until it is gone. Idempotent."""
        keeper, self._keeper = self._keeper, None
        if keeper is not None and keeper.stdin is not None:
            keeper.stdin.close()  # the sign to the keeper
            try:
                await asyncio.wait_for(keeper.wait(), _STOP_S)
            except TimeoutError:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(keeper.pid, signal.SIGKILL)
                await keeper.wait()
        if not keep_log and self.log != Path():
            self.log.unlink(missing_ok=True)


def cause_in(log: str) -> str:
    """What a log says best of why its process ended: its last error, else its last line."""
    lines = [line for line in log.splitlines() if line.strip() and "[keeper]" not in line]
    errors = [n for n, line in enumerate(lines) if _ERROR.search(line) and _POINTER not in line]
    if not errors:
        return lines[-1].strip() if lines else "it said nothing"
    at = errors[-1]
    more = [line for line in lines[at + 1 : at + 2] if line[0] == " "]  # pydantic says it there
    return " ".join(line.strip() for line in (lines[at], *more))
