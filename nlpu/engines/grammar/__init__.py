"""One grammar for every engine that constrains: a constraint as text in the GBNF dialect.

    from_schema.py  keywords.py     JSON schemas     gbnf.py       rules, literals, repetition
    from_regex.py   regex_tree.py   expressions      strings.py    the strings of JSON, by length
                    regex_sets.py                    numerals.py   bounded numbers
                                                     sequences.py  items and members

Theory of operation
-------------------
Engines differ in how they read a JSON schema or a regular expression: what one takes, another
ignores or refuses. Here a constraint becomes a context-free grammar first, by our own reading, in
the dialect that llama.cpp and xgrammar have in common; the engines only follow it.

Rules
1. The grammar is never narrower than the type: what a writer of JSON writes for a valid content is
   in it. What it cannot hold cheaply it leaves to validation, and is wider.
2. ``grammar_of`` is pure, and remembers.
3. What is not in our language is ConstraintRejected, in a sentence that names it.
"""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any

from nlpu.engines.grammar.from_regex import regex_grammar
from nlpu.engines.grammar.from_schema import schema_grammar
from nlpu.engines.grammar.gbnf import Rules
from nlpu.errors import ConstraintRejected
from nlpu.wire import Constraint

__all__ = ["grammar_of", "loaded"]


@lru_cache(maxsize=1024)
def grammar_of(constraint: Constraint) -> str:
    """Write the grammar of a constraint. Raises ConstraintRejected."""
    try:
        if constraint.kind == "regex":
            return regex_grammar(constraint.spec)
        content = loaded(constraint)
        return schema_grammar(content) if constraint.kind == "json" else _choice(content)
    except RecursionError as error:
        raise ConstraintRejected(
            f"this {constraint.kind} constraint is nested too deeply; make it flatter"
        ) from error


def loaded(constraint: Constraint) -> Any:
    """Read what a constraint that is JSON says. Raises ConstraintRejected."""
    try:
        return json.loads(constraint.spec)
    except ValueError as error:
        raise ConstraintRejected(
            f"this {constraint.kind} constraint is no JSON ({error}); write it with json.dumps"
        ) from error


def _choice(content: Any) -> str:
    texts = isinstance(content, list) and all(isinstance(one, str) and one for one in content)
    if not content or not texts:
        raise ConstraintRejected("a choice is a JSON array of strings that are not empty")
    rules = Rules()
    return rules.text(rules.choice(content))
