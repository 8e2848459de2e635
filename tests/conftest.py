"""Fixtures for all tests. The vLLM server is here so that one serves the whole session."""

from tests.vllm_fixture import vllm_server

__all__ = ["vllm_server"]
