"""Everything that a program needs, in one import: ``from nlpu import nlop, Computer``.

The processor is imported at once; what runs programs, when it is first used, so that ``import
nlpu`` stays quick and a library of ops needs no scheduler.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nlpu.calibration import Calibration, calibrate
from nlpu.cases import Case
from nlpu.chat import Chat
from nlpu.convention import Convention
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
from nlpu.judgement import Judgement
from nlpu.label import Label
from nlpu.lazy import door
from nlpu.lifting import gather, lift
from nlpu.op import Op, nlop, op
from nlpu.processor import Limits, Price
from nlpu.text import Chunk, split
from nlpu.value import Value

if TYPE_CHECKING:
    from memory.controller import Memory
    from memory.pages import Page
    from nlpu.engines.scripted import Say, Scripted
    from nlpu.version import __version__
    from runtime.budget import Budget
    from runtime.clock import FakeClock
    from runtime.computer import Computer
    from runtime.drivers.driver import driver
    from runtime.drivers.endorse import endorse
    from runtime.drivers.mcp import McpServer
    from runtime.handle import Run
    from runtime.hosting import spawn
    from runtime.outside import first, now, random
    from runtime.receipt import Receipt

_HOMES = {
    "__version__": "nlpu.version",
    "Budget": "runtime.budget",
    "Computer": "runtime.computer",
    "FakeClock": "runtime.clock",
    "McpServer": "runtime.drivers.mcp",
    "Memory": "memory.controller",
    "Page": "memory.pages",
    "Receipt": "runtime.receipt",
    "Run": "runtime.handle",
    "Say": "nlpu.engines.scripted",
    "Scripted": "nlpu.engines.scripted",
    "driver": "runtime.drivers.driver",
    "endorse": "runtime.drivers.endorse",
    "first": "runtime.outside",
    "now": "runtime.outside",
    "random": "runtime.outside",
    "spawn": "runtime.hosting",
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
    "UpstreamFailed",
    "Usage",
    "Value",
    "__version__",
    "calibrate",
    "driver",
    "endorse",
    "first",
    "gather",
    "lift",
    "nlop",
    "now",
    "op",
    "random",
    "spawn",
    "split",
]

__getattr__ = door(__name__, _HOMES)
