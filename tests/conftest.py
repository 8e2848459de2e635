"""Fixtures for all tests. The vLLM server is here so that one serves the whole session."""

from hypothesis import settings

from tests.vllm_fixture import vllm_server

__all__ = ["vllm_server"]

settings.register_profile("untimed", deadline=None)  # no test has a time limit but a hang's
settings.load_profile("untimed")
