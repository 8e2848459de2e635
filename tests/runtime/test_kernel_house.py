"""The engine room: who may import the kernel, what a port is, and who moves a node on."""

from __future__ import annotations

import inspect
from typing import Protocol

import pytest
from house_kit import MODULES, imports

from nlpu.errors import HostError
from nlpu.runtime import ports
from nlpu.runtime.graph.stage import NEXT, Stage, advance

KERNEL = "nlpu.runtime.kernel"
MOST = 7  # methods of a port


def test_the_kernel_imports_the_mechanisms_and_none_imports_it() -> None:
    importers = {name for name, path in MODULES.items() if KERNEL in imports(path)}
    assert importers == {"nlpu.runtime.loop_thread"}  # which makes it
    used = {name.split(".")[2] for name in imports(MODULES[KERNEL]) if name.count(".") > 2}
    assert {"graph", "scheduler", "executor", "journal", "observe"} <= used


def found_ports() -> list[type]:
    kinds = inspect.getmembers(ports, inspect.isclass)
    return [kind for _, kind in kinds if Protocol in kind.__bases__]


@pytest.mark.parametrize("port", found_ports(), ids=lambda port: port.__name__)
def test_a_port_is_small(port: type) -> None:
    methods = [name for name, item in vars(port).items() if inspect.isfunction(item)]
    asked = [name for name in methods if not name.startswith("_")]
    assert 0 < len(asked) <= MOST


def test_there_are_ports() -> None:
    assert {kind.__name__ for kind in found_ports()} == {
        "CallsPort",
        "GraphPort",
        "OutsidePort",
        "ProgramsPort",
    }


class Staged:
    """What has a stage, alone."""

    issue_position = "main/0"

    def __init__(self, stage: Stage) -> None:
        self.work_stage = stage


@pytest.mark.parametrize("then", Stage)
@pytest.mark.parametrize("now", Stage)
def test_a_stage_becomes_another_by_the_table_alone(now: Stage, then: Stage) -> None:
    node = Staged(now)
    if then in NEXT[now]:
        advance(node, then)
        assert node.work_stage is then
    else:
        with pytest.raises(HostError, match=f"cannot become {then.name}: it is {now.name}"):
            advance(node, then)
        assert node.work_stage is now


def test_what_is_settled_never_changes() -> None:
    assert NEXT[Stage.SETTLED] == frozenset() and set(NEXT) == set(Stage)
