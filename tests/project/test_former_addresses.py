"""What scripts imported before modules moved is still there, and is the same object."""

from __future__ import annotations

from importlib import import_module

import pytest

FORMER = {
    "nlpu.engines.scripted.Scripted": "nlpu.testing.Scripted",
    "nlpu.schema.schema_of": "nlpu.types.from_schema.schema_of",
    "nlpu.schema.schema_type": "nlpu.types.from_schema.schema_type",
    "nlpu.types.result_type": "nlpu.types.result.result_type",
    "nlpu.runtime.assembly.carrying.program_of": "nlpu.runtime.plans.execute.program_of",
    "runtime.assembly.carrying.program_of": "nlpu.runtime.plans.execute.program_of",
    "runtime.Computer": "nlpu.Computer",
    "memory.Memory": "nlpu.Memory",
}


def found(address: str) -> object:
    module, _, name = address.rpartition(".")
    return getattr(import_module(module), name)


@pytest.mark.parametrize(("former", "now"), FORMER.items())
def test_a_former_address_leads_to_the_same_object(former: str, now: str) -> None:
    assert found(former) is found(now)
