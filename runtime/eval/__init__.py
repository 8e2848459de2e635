"""Evaluations as runs: cases asked and scored, and answers that earlier ones were given."""
