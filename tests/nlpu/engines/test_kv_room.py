"""What a vLLM server's page of figures says of its memory, and what a router is told of it."""

from __future__ import annotations

import pytest

from nlpu.engines.vllm.kv_room import BOUND, room_in, scheduling

PAGE = """# TYPE vllm:cache_config_info gauge
vllm:cache_config_info{{block_size="16",engine="0",num_gpu_blocks="{blocks}"}} 1.0
vllm:cache_config_info{{num_gpu_blocks="400",engine="1",block_size="32"}} 1.0
"""


@pytest.mark.parametrize(
    ("page", "tokens"),
    [
        (PAGE.format(blocks=100), 1_600),
        (PAGE.format(blocks=9_999), 12_800),
        (PAGE.format(blocks="None"), None),
        ('vllm:cache_config_info{block_size="16",num_gpu_blocks="None"} 1.0\n', None),
        ('x vllm:cache_config_info{block_size="16",num_gpu_blocks="5"} 1.0\n', None),
        ("", None),
    ],
)
def test_the_smallest_of_its_caches_counts(page: str, tokens: int | None) -> None:
    assert room_in(page.encode()) == tokens


def test_a_router_that_does_not_know_holds_nothing_back() -> None:
    assert scheduling(None) is scheduling(0) is BOUND
    told = scheduling(1_600)
    assert told["token_capacity_per_dp_rank"] == 1_600 and not told["binding_only"]
