"""``nlpu serve``: vLLM with the right flags, or several and a router, until Ctrl-C."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from nlpu.errors import Interrupted
from nlpu.runtime.settings import KEY_VARIABLE, api_key
from nlpu.runtime.terminal.options import Json
from nlpu.runtime.terminal.output import say, write_result

if TYPE_CHECKING:
    from nlpu.engines.vllm.serving import Server


def serve(
    model: Annotated[
        str, typer.Argument(metavar="MODEL", help="A directory, or a name that vLLM knows.")
    ],
    flags: Annotated[
        list[str] | None, typer.Argument(metavar="[-- any vLLM flag]", help="Passed to vLLM.")
    ] = None,
    port: Annotated[int, typer.Option("--port", help="0 is any free one.")] = 8000,
    key: Annotated[
        str | None,
        typer.Option("--api-key", help=f"Default: ${KEY_VARIABLE}, else a new one is made."),
    ] = None,
    python: Annotated[
        str | None, typer.Option("--python", help="The Python that has vLLM. ($NLPU_VLLM_PYTHON)")
    ] = None,
    replicas: Annotated[
        int, typer.Option("--replicas", min=1, metavar="N", help="So many, behind a vllm-router.")
    ] = 1,
    as_json: Json = False,
) -> int:
    """Start vLLM on this machine, wait until it answers, and take it down at Ctrl-C."""
    from nlpu.engines.vllm.replicated import ReplicatedServer
    from nlpu.engines.vllm.server import VllmServer
    from nlpu.engines.vllm.serving import run_server

    ready: list[Server] = []

    def on_ready(server: Server) -> None:
        ready.append(server)
        _announce(server, key or api_key(), as_json)

    options: dict[str, Any] = {"port": port, "api_key": key or api_key(), "python": python}
    source, options["flags"] = _source(model), flags or ()
    server: Server = (
        VllmServer(source, **options)
        if replicas == 1
        else ReplicatedServer(source, replicas, **options)
    )
    say("starting vLLM; a large model takes minutes ...")
    run_server(server, on_ready)
    if not ready:
        raise Interrupted("interrupted before vLLM was ready")
    return 0


def _source(model: str) -> str:
    """The converted folder of a model that is known by a short name, else the model as it is."""
    from nlpu.engines.models.known import known_model
    from nlpu.engines.vllm.conversion import converted

    return str(converted(model)) if known_model(model) else model


def _announce(server: Server, known_key: str | None, as_json: bool) -> None:
    """Say where it is and how to use it; a key is shown only if it was made up just now."""
    write_result(as_json, {"url": server.url, "model": server.model}, f"{server.url}\n")
    if server.api_key != known_key:
        say(f"export {KEY_VARIABLE}={server.api_key}")
    say(f'ready: nlpu run ask "What is a loom?" --engine {server.url}   (Ctrl-C ends the server)')
