"""Engines without a model, for tests: scripted answers, faults, texts that obey constraints."""
