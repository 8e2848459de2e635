"""Everything that a program needs, in one import: ``from nlpu import nlop, Computer``.

Names are imported when they are first used: ``nlpu --help`` must not wait for a scheduler, nor a
library of ops for a journal.
"""

from typing import TYPE_CHECKING

from nlpu.lazy import door

if TYPE_CHECKING:
    from nlpu.calibration import Calibration
    from nlpu.chat import Chat
    from nlpu.errors import (
        BadOp,
        BadOperand,
        BadProgram,
        BudgetExceeded,
        Cancelled,
        ConnectionLost,
        ConstraintRejected,
        DeadlineExceeded,
        Declined,
        Diverged,
        DoesNotFit,
        DriverFailed,
        EmptyReply,
        EngineDied,
        HostError,
        Interrupted,
        JournalDamaged,
        Malformed,
        MissingPart,
        ModelError,
        NeedsPerson,
        NlpuError,
        NotAModelServer,
        NotInRun,
        OutOfQuota,
        Overloaded,
        ProgramError,
        Quarantined,
        Refused,
        RequestRefused,
        RunBusy,
        ServerFault,
        Stopped,
        StorageFailed,
        TimedOut,
        Truncated,
        Unauthorized,
        UnknownProcessor,
        Unreachable,
        UpstreamFailed,
        Usage,
    )
    from nlpu.eval.calibrate import calibrate
    from nlpu.eval.cases import Case
    from nlpu.eval.variant import variant
    from nlpu.judgement import Judgement
    from nlpu.label import Label
    from nlpu.lifting import gather, lift
    from nlpu.memory.controller import Memory
    from nlpu.memory.store.page import Page
    from nlpu.ops.op import Op, nlop, op
    from nlpu.processor import Limits, Price
    from nlpu.prompt.convention import Convention
    from nlpu.reliability import Reliability
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.drivers.driver import driver
    from nlpu.runtime.drivers.endorse import endorse
    from nlpu.runtime.drivers.mcp import McpServer
    from nlpu.runtime.eval.corrections.cascades import cascade, fallback
    from nlpu.runtime.eval.corrections.correction import Unsure
    from nlpu.runtime.eval.corrections.verifying import verified
    from nlpu.runtime.eval.corrections.voting import ahead_by, majority
    from nlpu.runtime.eval.delegation import delegated
    from nlpu.runtime.eval.planning import reliable
    from nlpu.runtime.eval.tuning import tune
    from nlpu.runtime.executor.builtins import first, now, random
    from nlpu.runtime.executor.clock import FakeClock
    from nlpu.runtime.fleet.driving.fleet import Fleet
    from nlpu.runtime.graph.spawning import spawn
    from nlpu.runtime.handle import Run
    from nlpu.runtime.observe.receipt import Receipt
    from nlpu.runtime.scheduler.budget import Budget
    from nlpu.testing.scripted import Say, Scripted
    from nlpu.text import Chunk, split
    from nlpu.value import Value
    from nlpu.version import __version__

_HOMES = {
    "nlpu.memory.controller": "Memory",
    "nlpu.memory.store.page": "Page",
    "nlpu.calibration": "Calibration",
    "nlpu.eval.calibrate": "calibrate",
    "nlpu.eval.cases": "Case",
    "nlpu.eval.variant": "variant",
    "nlpu.chat": "Chat",
    "nlpu.prompt.convention": "Convention",
    "nlpu.reliability": "Reliability",
    "nlpu.testing.scripted": "Say Scripted",
    "nlpu.errors": (
        "BadOp BadOperand BadProgram BudgetExceeded Cancelled ConnectionLost ConstraintRejected "
        "DeadlineExceeded Declined Diverged DoesNotFit DriverFailed EmptyReply EngineDied "
        "HostError Interrupted JournalDamaged Malformed MissingPart ModelError NeedsPerson "
        "NlpuError NotAModelServer NotInRun OutOfQuota Overloaded ProgramError Quarantined "
        "Refused RequestRefused RunBusy ServerFault Stopped StorageFailed TimedOut Truncated "
        "Unauthorized UnknownProcessor Unreachable UpstreamFailed Usage"
    ),
    "nlpu.judgement": "Judgement",
    "nlpu.label": "Label",
    "nlpu.lifting": "gather lift",
    "nlpu.ops.op": "Op nlop op",
    "nlpu.processor": "Limits Price",
    "nlpu.text": "Chunk split",
    "nlpu.value": "Value",
    "nlpu.version": "__version__",
    "nlpu.runtime.scheduler.budget": "Budget",
    "nlpu.runtime.executor.clock": "FakeClock",
    "nlpu.runtime.computer": "Computer",
    "nlpu.runtime.drivers.driver": "driver",
    "nlpu.runtime.fleet.driving.fleet": "Fleet",
    "nlpu.runtime.drivers.endorse": "endorse",
    "nlpu.runtime.drivers.mcp": "McpServer",
    "nlpu.runtime.eval.corrections.correction": "Unsure",
    "nlpu.runtime.eval.corrections.verifying": "verified",
    "nlpu.runtime.eval.corrections.voting": "ahead_by majority",
    "nlpu.runtime.eval.corrections.cascades": "cascade fallback",
    "nlpu.runtime.eval.delegation": "delegated",
    "nlpu.runtime.eval.planning": "reliable",
    "nlpu.runtime.eval.tuning": "tune",
    "nlpu.runtime.handle": "Run",
    "nlpu.runtime.graph.spawning": "spawn",
    "nlpu.runtime.executor.builtins": "first now random",
    "nlpu.runtime.observe.receipt": "Receipt",
}

__all__ = [
    "BadOp",
    "BadOperand",
    "BadProgram",
    "Budget",
    "BudgetExceeded",
    "Calibration",
    "Cancelled",
    "Case",
    "Chat",
    "Chunk",
    "Computer",
    "ConnectionLost",
    "ConstraintRejected",
    "Convention",
    "DeadlineExceeded",
    "Declined",
    "Diverged",
    "DoesNotFit",
    "DriverFailed",
    "EmptyReply",
    "EngineDied",
    "FakeClock",
    "Fleet",
    "HostError",
    "Interrupted",
    "JournalDamaged",
    "Judgement",
    "Label",
    "Limits",
    "Malformed",
    "McpServer",
    "Memory",
    "MissingPart",
    "ModelError",
    "NeedsPerson",
    "NlpuError",
    "NotAModelServer",
    "NotInRun",
    "Op",
    "OutOfQuota",
    "Overloaded",
    "Page",
    "Price",
    "ProgramError",
    "Quarantined",
    "Receipt",
    "Refused",
    "Reliability",
    "RequestRefused",
    "Run",
    "RunBusy",
    "Say",
    "Scripted",
    "ServerFault",
    "Stopped",
    "StorageFailed",
    "TimedOut",
    "Truncated",
    "Unauthorized",
    "UnknownProcessor",
    "Unreachable",
    "Unsure",
    "UpstreamFailed",
    "Usage",
    "Value",
    "__version__",
    "ahead_by",
    "calibrate",
    "cascade",
    "delegated",
    "driver",
    "endorse",
    "fallback",
    "first",
    "gather",
    "lift",
    "majority",
    "nlop",
    "now",
    "op",
    "random",
    "reliable",
    "spawn",
    "split",
    "tune",
    "variant",
    "verified",
]

__getattr__ = door(
    __name__, {name: home for home, names in _HOMES.items() for name in names.split()}
)
