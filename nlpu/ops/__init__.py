"""Ops: natural-language instructions as values."""
