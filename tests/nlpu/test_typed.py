"""The program that the type checker sees also runs."""

from __future__ import annotations

from kit import execute
from typed_program import program

from nlpu.testing.scripted import Scripted


def test_the_typed_program_runs() -> None:
    script = {"Summarise": "short", "mood": "glad", "long": "no"}
    assert execute(program, "It rained. " * 60, engine=Scripted(script)).result == "short"
