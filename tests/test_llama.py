"""llama.cpp as an object: what its listener raises."""

from __future__ import annotations

from typing import Any

import pytest

from nlpu.engines.embedded.llama import Llama
from nlpu.errors import MissingPart, ServerFault
from nlpu.models import installed_model

pytestmark = pytest.mark.local
try:
    MODEL = installed_model(None).path
except MissingPart as missing:
    pytest.skip(str(missing), allow_module_level=True)


def test_what_a_listener_raises_is_no_cancellation() -> None:
    llama, heard = Llama(MODEL, window=128, slots=1), []

    def stumble(event: dict[str, Any]) -> bool:
        return bool(event["nothing of this name"])

    def hear(event: dict[str, Any]) -> bool:
        heard.append(event)
        return False

    body = {"prompt": [100, 101, 102], "max_tokens": 2, "stream": True}
    with pytest.raises(ServerFault, match="nothing of this name") as caught:
        llama.generate(body, stumble)
    assert isinstance(caught.value.__cause__, KeyError)
    llama.generate(body, hear)
    assert heard
    llama.close()
