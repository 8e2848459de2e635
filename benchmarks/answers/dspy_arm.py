"""The DSPy arms of ``benchmarks.answers``: its process, a server of the same model for it.

Theory of operation
-------------------
DSPy speaks to servers, so the embedded model's file is loaded once more, with the same settings,
behind llama.cpp's own chat route on a loopback port with a key of its own. DSPy runs in the peers'
environment (``peers.running``) as one process that answers orders line by line; it and the server
begin with the first order.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
from collections.abc import Sequence
from typing import Any

from benchmarks.answers.arms import shows_examples
from benchmarks.answers.data import Family, examples
from benchmarks.answers.words import DSPY
from benchmarks.peers.running import HERE, OFFLINE, peers_python
from nlpu import Case, MissingPart, ServerFault
from nlpu.engines.embedded.process import Process
from nlpu.engines.models import fetch_model

WINDOW, AT_ONCE = 4096, 8


class DspyPeer:
    """``dspy.Predict`` on a model. ``close`` it."""

    def __init__(self, model: str) -> None:
        """Find DSPy. Raises MissingPart."""
        self._model, self._python = model, peers_python()
        self._process: subprocess.Popen[str] | None = None
        self._server: Process | None = None
        self._key = secrets.token_hex(32)

    def ask(self, arm: str, family: Family, cases: Sequence[Case]) -> dict[str, Any]:
        """Ask some cases; tells answers, and the tokens of all. Raises ServerFault, MissingPart."""
        process = self._begun()
        assert process.stdin is not None and process.stdout is not None
        assert self._server is not None
        order = {"url": self._server.address, "key": self._key}
        process.stdin.write(json.dumps({**order, **order_of(arm, family, cases)}) + "\n")
        process.stdin.flush()
        line = process.stdout.readline()
        if not line:
            raise ServerFault("DSPy's process ended; its message is above")
        told: dict[str, Any] = json.loads(line)
        return told

    def _begun(self) -> subprocess.Popen[str]:
        if self._process is None:
            file = fetch_model(self._model)
            if not file.is_gguf:
                raise MissingPart(f"DSPy is measured on GGUF files, which {file.name} is not")
            order = {"path": str(file.path), "window": WINDOW, "slots": AT_ONCE, "key": self._key}
            self._server = Process({**order, "threads": os.cpu_count() or 1})
            self._process = subprocess.Popen(
                [self._python, str(HERE / "answers_peer.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, **OFFLINE},
            )
        return self._process

    def close(self) -> None:
        """End the process and unload the model. Idempotent."""
        if self._process is not None:
            assert self._process.stdin is not None
            self._process.stdin.close()
            self._process.wait(30)
        if self._server is not None:
            self._server.close()
        self._process = self._server = None


def order_of(arm: str, family: Family, cases: Sequence[Case]) -> dict[str, Any]:
    """What DSPy's process is told: a signature, and items with their demos."""
    words = DSPY[family.op]
    return {
        "instructions": words.instructions,
        "inputs": list(words.inputs),
        "output": words.output,
        "kind": words.kind,
        "items": [
            {
                "inputs": _inputs(words.inputs, case),
                "choices": list(case.choices or words.choices),
                "demos": [
                    {**_inputs(words.inputs, shown), words.output: said}
                    for shown, said in examples(family, case.choices)
                ]
                if shows_examples(arm)
                else [],
            }
            for case in cases
        ],
    }


def _inputs(names: Sequence[str], case: Case) -> dict[str, Any]:
    return {name: case.operands[name] for name in names}
