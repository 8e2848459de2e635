"""Servers that speak OpenAI's protocol, and vLLM's extensions of it."""
