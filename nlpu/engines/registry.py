"""The engines by name: which one a name, a model or a URL stands for.

To add one, write the four methods of ``wire.Engine``, and name it in ``named_engine`` and in
``runtime.settings.ENGINES``.
"""

from __future__ import annotations

import os

from nlpu.errors import Usage
from nlpu.wire import Engine


def named_engine(name: str, model: str | None = None, api_key: str | None = None) -> Engine:
    """The engine of a name: "local", "transformers", "scripted" or a server's URL. Raises Usage.

    Imports are inside: each engine has libraries of its own, and a command that needs none of them
    must not pay for them. URLs divided by commas are servers of one model.
    """
    is_path = model is not None and os.path.exists(os.path.expanduser(model))
    is_folder = is_path and os.path.isdir(os.path.expanduser(str(model)))
    if name == "local" and model is not None and "/" in model and not is_path:
        from nlpu.engines.hub_engine import HubEngine

        return HubEngine(model)
    if name == "local" and not is_folder:
        from nlpu.engines.embedded.engine import EmbeddedEngine

        return EmbeddedEngine(model)
    if name in ("local", "transformers"):
        if model is None:
            raise Usage("the transformers engine needs --model: a model folder or a hub name")
        from nlpu.engines.transformers_folder import TransformersEngine

        return TransformersEngine(model)
    if name == "scripted":
        if model is not None:
            raise Usage(f"the scripted engine has no model {model!r}; leave --model out")
        from nlpu.testing.scripted import Scripted

        return Scripted()
    if name.startswith(("http://", "https://")):
        from nlpu.engines.http.engine import HttpEngine
        from nlpu.engines.http.probe import base_url
        from nlpu.engines.replicas import Replicas

        urls = [url.strip() for url in name.split(",")]
        if not all(url.startswith(("http://", "https://")) for url in urls):
            # An engine of this process would answer in the place of servers that are away.
            raise Usage("of URLs divided by commas each is a server's: http://HOST:PORT,http://...")
        if len({str(base_url(url)) for url in urls}) < len(urls):
            raise Usage(
                "a server is named twice, and would be sent twice as much at once as it says that "
                "it takes: name each once"
            )
        engines = [HttpEngine(url, model=model, api_key=api_key) for url in urls]
        return Replicas(engines) if "," in name else engines[0]
    raise Usage(
        f"unknown engine {name!r}; use local, transformers, scripted, or a server's URL such as "
        "http://..."
    )


def engine_of(given: str | Engine | list[str], model: str | None, api_key: str | None) -> Engine:
    """The engine that was given, by name, or by URLs of servers of one model. Raises Usage."""
    if isinstance(given, list):
        if not given or not all(isinstance(url, str) and url[:4] == "http" for url in given):
            raise Usage(
                f"Computer: a processor is an engine, or servers of one model: a list of URLs, not "
                f"{given!r:.80}"
            )
        return named_engine(",".join(given), model, api_key)
    return named_engine(given, model, api_key) if isinstance(given, str) else given
