"""A hub's model, run by what runs its kind: llama.cpp a GGUF file, transformers a folder.

Rules
1. Which kind it is, is known before anything is downloaded: from this machine, or from the hub's
   list of files. What could not be run is refused then, not after gigabytes.
2. Nothing is asked or loaded before ``capabilities`` or ``send``.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec

from nlpu.engines.embedded.engine import EmbeddedEngine
from nlpu.engines.models import is_folder
from nlpu.engines.threads import Threads
from nlpu.engines.transformers_folder import NEEDS, TransformersEngine
from nlpu.errors import Cancelled, MissingPart, Usage
from nlpu.extras import adding
from nlpu.wire import Capabilities, Engine, Reply, Request


class HubEngine:
    """An engine for a name on the hub, of either kind."""

    def __init__(self, model: str) -> None:
        self._model, self._threads = model, Threads()
        self._engine: Engine | None = None
        self._closed = False

    def __repr__(self) -> str:
        return f"HubEngine({self._model})" if self._engine is None else repr(self._engine)

    async def capabilities(self) -> Capabilities:
        """Find out its kind, download the model, load it, and say what it can do."""
        return await (await self._found()).capabilities()

    async def send(self, request: Request, on_text: Callable[[str], None] | None = None) -> Reply:
        """Generate one reply, as the engine of its kind does."""
        return await (await self._found()).send(request, on_text)

    def cancel(self, request_id: str) -> None:
        """Stop a request; its ``send`` raises Cancelled."""
        if self._engine is not None:
            self._engine.cancel(request_id)

    async def close(self) -> None:
        """Cancel what runs or waits, and unload the model."""
        self._closed = True
        if self._engine is not None:
            await self._engine.close()

    async def _found(self) -> Engine:
        if self._engine is None:
            folder = await self._threads.run(lambda: check_kind("local", self._model))
            if self._closed:
                raise Cancelled(f"the engine of {self._model} was closed")
            kind = TransformersEngine if folder else EmbeddedEngine
            self._engine = self._engine or kind(self._model)  # two may have asked at once
        return self._engine


def check_kind(engine: str, model: str) -> bool:
    """Say whether a model is a folder. Raises Usage, MissingPart where the engine cannot run it."""
    folder = is_folder(model)
    lacking = [name for name in NEEDS if find_spec(name) is None]
    if folder and lacking:
        raise MissingPart(
            f"{model} is a folder of safetensors, which needs {lacking[0]}: "
            f"{adding('transformers')}; or name a GGUF of it, or serve it with vLLM: nlpu serve"
        )
    if engine == "transformers" and not folder:
        raise Usage(
            f"{model} is GGUF, which transformers does not run: leave out --engine, or make a "
            f"folder of it: python -m nlpu.engines.vllm.conversion {model}"
        )
    return folder
