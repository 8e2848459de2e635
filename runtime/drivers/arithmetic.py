"""A calculator: arithmetic written as text, worked out exactly as far as that goes.

Theory of operation
-------------------
Python's parser reads the expression, and what it gives is walked here: a node is a number, one of
the operators and functions below, or an error. Numbers are decimals of 34 digits, so 0.1 + 0.2 is
0.3, and no number gets longer than that, whatever power somebody writes.

Rules
1. Nothing is evaluated by Python, and no name means anything but the functions in the table.
2. Work and result are bounded by the length of the expression.
"""

from __future__ import annotations

import ast
import decimal
import operator
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

from nlpu.errors import BadOperand
from nlpu.runtime.drivers.driver import driver

_MOST_CHARACTERS = 500
_CONTEXT = decimal.Context(prec=34, Emax=999, Emin=-999)
_PLAIN_DIGITS = 40  # longer numbers are written with an exponent


def _quotient(a: Decimal, b: Decimal) -> Decimal:
    if not b:  # 0 / 0 would be another mistake
        raise decimal.DivisionByZero
    return a / b


def _rest(a: Decimal, b: Decimal) -> Decimal:
    """Of a division that rounds down, as Python's does."""
    if not b:
        raise decimal.DivisionByZero
    rest = a % b
    return rest + b if rest and (rest < 0) != (b < 0) else rest


def _power(a: Decimal, b: Decimal) -> Decimal:
    if not a and b < 0:  # a decimal's would be infinite
        raise decimal.DivisionByZero
    return a**b


_OPERATORS: Mapping[type, Callable[..., Decimal]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: _quotient,
    ast.FloorDiv: lambda a, b: (a - _rest(a, b)) / b,
    ast.Mod: _rest,
    ast.Pow: _power,
    ast.UAdd: operator.pos,
    ast.USub: operator.neg,
}
_FUNCTIONS: Mapping[str, Callable[..., Decimal]] = {
    "abs": abs,
    "max": max,
    "min": min,
    "round": lambda a, digits=Decimal(0): a.quantize(Decimal(1).scaleb(-digits), "ROUND_HALF_UP"),
    "sqrt": Decimal.sqrt,
}


@driver(effect="pure")
def calculate(expression: str) -> str:
    """Work out arithmetic: + - * / // % ** and parentheses, abs, max, min, round, sqrt."""
    if len(expression) > _MOST_CHARACTERS:
        raise BadOperand(f"an expression has at most {_MOST_CHARACTERS} characters")
    source = expression.strip().replace("^", "**")  # Python's own ^ binds weaker than +
    try:
        with decimal.localcontext(_CONTEXT):
            found = +_worked_out(ast.parse(source, mode="eval").body, source)
    except decimal.DivisionByZero:
        raise BadOperand(f"{expression!r} divides by zero") from None
    except decimal.Overflow:
        raise BadOperand(f"{expression!r} is too large") from None
    except (SyntaxError, ValueError, TypeError, ArithmeticError, RecursionError, MemoryError):
        raise BadOperand(f"{expression!r} is not arithmetic that can be worked out") from None
    return _written(found)


def _worked_out(node: Any, source: str) -> Decimal:
    match node:
        case ast.Constant():  # what was written, not the float that Python makes of it
            return Decimal((ast.get_source_segment(source, node) or "").replace("_", ""))
        case ast.BinOp(left, op, right) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_worked_out(left, source), _worked_out(right, source))
        case ast.UnaryOp(op, operand) if type(op) in _OPERATORS:
            return _OPERATORS[type(op)](_worked_out(operand, source))
        case ast.Call(ast.Name(name), arguments, []) if name in _FUNCTIONS:
            return _FUNCTIONS[name](*(_worked_out(each, source) for each in arguments))
    raise ValueError(f"{type(node).__name__} is not arithmetic")


def _written(number: Decimal) -> str:
    if not number:
        return "0"
    if abs(number.adjusted()) > _PLAIN_DIGITS:
        return str(number.normalize(_CONTEXT))
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
