"""Corrections: votes, checks, cascades and fallbacks make another op of an op."""
