"""One grammar for every engine: choices, refusals, and what both engines make of the text."""

from __future__ import annotations

import pytest

from nlpu.errors import ConstraintRejected
from nlpu.grammar import grammar_of
from nlpu.wire import Constraint


def test_a_choice_is_its_literals() -> None:
    grammar = grammar_of(Constraint("choice", '["yes","no \\"é\\\\"]'))
    assert grammar == 'root ::= "yes" | "no \\"é\\\\"\n'


@pytest.mark.parametrize("spec", ["[]", '[""]', '"yes"', "[1]", "yes", '["\\u0000"]', '["\\ud800"]'])
def test_what_is_no_choice_is_refused(spec: str) -> None:
    with pytest.raises(ConstraintRejected):
        grammar_of(Constraint("choice", spec))
