"""Regular expressions as grammars: the same language that Python and pydantic read."""

from __future__ import annotations

import re
from random import Random

import pytest
from grammar_kit import accepts, regex, walk
from hypothesis import given
from hypothesis import strategies as st

from nlpu.engines.grammar import grammar_of
from nlpu.engines.grammar.gbnf import MOST
from nlpu.errors import ConstraintRejected

WHOLE = [
    r"-?(0|[1-9][0-9]{0,8})(\.[0-9]{1,6})?",
    r"\d{3}-\d{4}",
    r"\w+@\w+\.(com|org)",
    r"\S+\s\S+",
    r"\D\W",
    r"[a-f]{2,3}|[x\-z]?",
    r"[^a-c\d]+",
    r"[]a]b[^]a]",
    r"[a\]\\^-]*",
    r"[\w.-]+[^\W_]",
    r"(?:ab|c)*?d{2,}?e{0}",
    r"(?P<year>\d\d)(?P<rest>x|)",
    r"^\Aabc\Z$",
    r"^a|b$|^c$",
    r"(^a|b)c",
    r"a(b|c$)",
    r"(a*)*b",
    r"((a?b?)+c?){2,3}",
    r"(|a)(|b){2}",
    r"()*a",
    r"a||b",
    r"",
    r"\x41é\u00e9\U0001F600\n\t\r\f\v",
    r"[\x00-\x1fé0-9a-f\x7f-\xff]{1,3}",
    r"a{,2}b{1,}c{2}",
    r"{a}{b,c}{",
    r"x{1",
    r"\"\\\/\.\*\-\ \{",
    r".+",
    r"]}",
]
ALPHABET = 'abcdeé01 -_."\\/\n\t\x1f\x7f]^xyz@A{},😀'
TEXTS = st.text(ALPHABET, max_size=8)


def changed(text: str, draw: st.DataObject) -> str:
    """The text with one character more, less or other."""
    at = draw.draw(st.integers(0, len(text)))
    new = draw.draw(st.text(ALPHABET, max_size=1))
    return text[:at] + new + text[at + draw.draw(st.integers(0, 1)) :]


@given(st.data(), st.sampled_from(WHOLE))
def test_the_language_is_that_of_a_whole_match(data: st.DataObject, expression: str) -> None:
    read = re.compile(expression.replace(r"\Z$", r"\Z"), re.ASCII)
    matching = st.from_regex(read, fullmatch=True)  # short ones: Python's re backtracks for years
    text = data.draw(matching.filter(lambda text: "\0" not in text and len(text) < 16))
    assert accepts(regex(expression), text)
    for other in (changed(text, data), data.draw(TEXTS)):
        assert accepts(regex(expression), other) == bool(read.fullmatch(other)), other


@pytest.mark.parametrize("expression", WHOLE)
def test_what_is_generated_matches(expression: str) -> None:
    for seed in range(20):
        text = walk(regex(expression), Random(seed))
        assert text is None or re.fullmatch(expression, text, re.ASCII), text


ATOMS = st.sampled_from(
    [*"abé.", r"\d", r"\w", r"\s", r"\W", "[ab]", "[^a]", r"[^\d\W]", r"\"", r"\\", "[-a]"]
)


def larger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    signs = st.sampled_from(["*", "+", "?", "{0,2}", "{2}", "{1,}", "*?", "{0}"])
    return st.one_of(
        st.lists(inner, max_size=3).map("".join),
        st.lists(inner, min_size=2, max_size=3).map(lambda found: f"({'|'.join(found)})"),
        st.builds("(?:{}){}".format, inner, signs),
    )


@given(st.recursive(ATOMS, larger, max_leaves=8), st.text('abé1 "\\-', max_size=6))
def test_any_expression_means_what_python_means(expression: str, text: str) -> None:
    matches = re.fullmatch(expression, text, re.ASCII)
    assert accepts(regex(expression), text) == bool(matches), grammar_of(regex(expression))


UNREAD = {
    r"a(?=b)": "'(?='",
    r"a(?!b)": "'(?!'",
    r"(?<=a)b": "'(?<'",
    r"(?<!a)b": "'(?<'",
    r"(?i)a": "'(?i'",
    r"(?P=name)": "'(?P'",
    r"(?P>name)": "'(?P'",
    r"(a)\1": r"\1",
    r"\bword\b": r"\b",
    r"\Ba": r"\B",
    r"\p{L}": r"\p",
    r"\07": r"\0",
    r"\<a\>": r"\<",
    r"a^b": "an anchor in its middle",
    r"(a$)b": "an anchor in its middle",
    r"(a|b$)*": "an anchor in its middle",
    r"^*a": "a repeated anchor",
    r"[[a]]": "a class inside a class",
    r"[[:alpha:]]": "a class inside a class",
    r"[a&&b]": "a class inside a class",
    r"[b-a]": "a range without order",
    r"[\d-z]": "a range without order",
    r"[^\x00-\U0010FFFF]": "a class without members",
    r"[a": "a sudden end",
    r"(a": "a group without its end",
    r"a)": "an unmatched ')'",
    r"a**": "a repeated repetition",
    r"a{2}{3}": "a repeated repetition",
    r"*a": "nothing to repeat",
    r"a|+b": "nothing to repeat",
    r"a{3,2}": "a repetition that is empty",
    rf"a{{{MOST + 1}}}": f"above {MOST}",
    r"a{99999999999999999999}": f"above {MOST}",
    r"\x4": "a sudden end",
    r"\u00_1": r"an unfinished \u",
    r"\ud83d": "the code d83d, of no character",
    r"\UFFFFFFFF": "the code ffffffff",
    "a\\": "a sudden end",
}


@pytest.mark.parametrize("expression", UNREAD)
def test_what_is_not_read_is_named(expression: str) -> None:
    with pytest.raises(ConstraintRejected) as raised:
        grammar_of(regex(expression))
    assert UNREAD[expression] in str(raised.value)
    assert "write it another way" in str(raised.value)


ONES = {"a": "a", "(?:bc)": "bc", "[a-c]": "c", "(?:a|bc)": "bc", "(?:a?b?)": "b"}


@pytest.mark.parametrize("atom", ONES)
@pytest.mark.parametrize("low", [0, 1, 50, 101, 120])
@pytest.mark.parametrize("more", [0, 1, 49, 50, 51, 100, None])
def test_many_times_are_exact(atom: str, low: int, more: int | None) -> None:
    high = None if more is None else low + more
    counted = regex(f"{atom}{{{low},{'' if high is None else high}}}")
    least = 0 if atom == "(?:a?b?)" else low
    for count in {0, 1, 49, 50, 99, 100, 101, low - 1, low, low + 1, 300, (high or 0) + 1} - {-1}:
        fits = least <= count and (high is None or count <= high)
        assert accepts(counted, ONES[atom] * count) == fits, count


def test_no_model_writes_a_nul() -> None:
    assert not accepts(regex("a[^b]"), "a\0")
    with pytest.raises(ConstraintRejected, match="no model"):
        grammar_of(regex(r"\x00"))
