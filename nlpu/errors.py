"""One tree of errors, split by who is at fault.

Theory of operation
-------------------
Everything this project raises on purpose is an ``NlpuError``. Its three branches answer the only
question a caller has first: *whose fault is it?*

    ProgramError  the program, its input or its budget   -> change the program, do not retry
    ModelError    the model answered, but not validly    -> another draw or another model may help
    HostError     the machine, the server, the disk      -> repair the host, then resume the run

Rules
1. A message says what was wrong and what to do about it, in that order.
2. Only a ``HostError`` may be *transient*; only the scheduler retries, and only those. (A reply
   that is no result is asked for again with what was wrong: that is another question.)
3. ``UpstreamFailed`` never starts a chain: its ``__cause__`` is the failure it inherited.
4. Nothing here imports anything of the project.
"""

from __future__ import annotations


class NlpuError(Exception):
    """Root of every deliberate error; ``str(error)`` says what was wrong, then what to do."""

    exit_code = 1

    def __repr__(self) -> str:
        text = f"{type(self).__name__}({str(self)!r})"
        return text if len(text) <= 200 else text[:199] + "…"


def described(error: BaseException) -> str:
    """The kind and message of any error, even one whose message cannot be made.

    Of a group, as task groups raise them, the first of those in it, too: it says nothing itself.
    """
    inner = getattr(error, "exceptions", ()) if isinstance(error, BaseExceptionGroup) else ()
    first = f": {described(inner[0])}" if inner else ""
    try:
        return f"{type(error).__name__}: {error}{first}"
    except Exception:  # its own __str__ failed
        return type(error).__name__


def chain_of(error: BaseException) -> str:
    """An error with what caused it, one line."""
    parts: list[str] = []
    seen: BaseException | None = error
    while seen is not None and len(parts) < 8:
        text = str(seen) or type(seen).__name__
        if not any(text in part for part in parts):  # some quote their cause
            parts.append(text)
        seen = root_of(seen.__cause__) if isinstance(seen, NlpuError) else None
    return "; because: ".join(parts)


# -- the program ----------------------------------------------------------------------------


class ProgramError(NlpuError):
    """The program, its operands or its limits are wrong."""


class NotInRun(ProgramError):
    """An op was called, or a Value forced, outside any run."""


class BadOperand(ProgramError):
    """An operand is missing, of the wrong type, or not text that can be encoded."""


class BadOp(ProgramError):
    """An op cannot be defined or used as written."""


class DoesNotFit(ProgramError):
    """A request needs more tokens than the processor's window has.

    Attributes:
        needed: Tokens of the request, where they were counted.
        available: Tokens of the window.
    """

    def __init__(self, message: str, needed: int = 0, available: int = 0) -> None:
        super().__init__(message)
        self.needed = needed
        self.available = available


class ConstraintRejected(ProgramError):
    """The engine cannot decode under this result type."""


class UnknownProcessor(ProgramError):
    """An op or a command names a processor or model that the computer does not have."""


class Diverged(ProgramError):
    """A resumed program issued something else than its journal holds."""


class BadProgram(ProgramError):
    """A program as text cannot be read, or does not check.

    Attributes:
        objections: All that was found.
    """

    def __init__(self, *objections: str) -> None:
        super().__init__("; ".join(objections))
        self.objections = objections


class Usage(ProgramError):
    """A command was given something it cannot use."""

    exit_code = 2


class Stopped(ProgramError):
    """The run stopped before its end and can be resumed."""

    exit_code = 3


class BudgetExceeded(Stopped):
    """No further call fits the budget and nothing is in flight that could free some of it."""


class DeadlineExceeded(Stopped):
    """The run's seconds ran out."""


class NeedsPerson(Stopped):
    """Only a person can say how the run goes on."""

    exit_code = 4


class Interrupted(Stopped):
    """A person stopped the run."""

    exit_code = 130


class Refused(ProgramError):
    """A driver's call breaks a rule of the policy, and no person approved of it.

    Attributes:
        call: The exact call, with what stands against it.
    """

    def __init__(self, message: str, call: object = None) -> None:
        super().__init__(message)
        self.call = call


class Cancelled(ProgramError):
    """The call was stopped because nothing needs it any more."""


class UpstreamFailed(ProgramError):
    """A Value this one depends on failed; ``__cause__`` is that failure.

    Attributes:
        told: Which call it was, and why; the end of the message.
    """

    def __init__(self, message: str, told: str = "") -> None:
        super().__init__(message)
        self.told = told


def root_of(error: BaseException | None) -> BaseException | None:
    """The failure that was inherited; an error that was not inherited is its own root."""
    while isinstance(error, UpstreamFailed) and error.__cause__ not in (None, error):
        error = error.__cause__
    return error


# -- the model ------------------------------------------------------------------------------


class ModelError(NlpuError):
    """The model answered, and the answer is not a valid result."""


class Truncated(ModelError):
    """The model was still writing when it reached its token limit, or only repeated itself."""


class Malformed(ModelError):
    """The reply does not parse as the op's result type."""


class EmptyReply(ModelError):
    """The model returned no text where the op asks for some."""


class Declined(ModelError):
    """The model, or a policy of its server, declined to answer; asked again it would again."""


# -- the host -------------------------------------------------------------------------------


class HostError(NlpuError):
    """The machine, a server or a disk failed.

    Attributes:
        transient: Sending the same request again may succeed.
        lost: The connection ended without an answer, as it does when a server dies.
        free: Nothing was generated for sure; else a budget is charged with what may have been.
        generated: Tokens that had come nevertheless, at least.
        retry_after_s: Seconds the server asked us to wait, if it did.
    """

    transient = lost = free = False
    generated = 0

    def __init__(self, message: str, *, retry_after_s: float | None = None) -> None:
        super().__init__(message)
        self.retry_after_s = retry_after_s


class Unreachable(HostError):
    """Nothing accepts connections at the server's address."""

    transient = free = True


class Overloaded(HostError):
    """The server is up and asks us to come back later (429, 503)."""

    transient = free = True


class ServerFault(HostError):
    """The server answered with an error of its own, or with something that is not an answer."""

    transient = True


class RequestRefused(ServerFault):
    """The server refuses this request as such; the same request would be refused again."""

    transient = False
    free = True


class ConnectionLost(HostError):
    """The connection closed before the whole answer had come."""

    transient = lost = True


class TimedOut(HostError):
    """No answer within the attempt's time limit."""

    transient = True


class EngineDied(HostError):
    """The server says that its engine is dead; it answers, but it cannot generate any more."""

    transient = lost = True


class Quarantined(HostError):
    """The request was in flight at two deaths of its server; it is not sent a third time."""

    free = True


class NotAModelServer(HostError):
    """Something answers at the address, but it is not an LLM server."""

    free = True


class Unauthorized(HostError):
    """The server refuses our key (401, 403)."""

    free = True


class OutOfQuota(HostError):
    """The account behind the key may spend no more (402, insufficient_quota)."""

    free = True


class DriverFailed(HostError):
    """A driver raised, hung, died, or gave what it had not declared."""


class MissingPart(HostError):
    """A package, a model or a file that this feature needs is not installed."""

    free = True


class RunBusy(HostError):
    """Another living process owns the run."""


class JournalDamaged(HostError):
    """The journal fails its checksums; nothing of it was used."""


class StorageFailed(HostError):
    """The run directory cannot be written: full disk, read-only, no permission."""


_SIDES: dict[str, type[NlpuError]] = {
    "host": HostError,
    "model": ModelError,
    "program": ProgramError,
}


def failure_of(fault: str, message: str, side: str) -> NlpuError:
    """Make the error that a failed outcome stands for, of its side (host, model, program) in any
    case: ``fault`` is the name of its class, as a journal holds it."""
    kind, branch = globals().get(fault), _SIDES.get(side, NlpuError)
    return (kind if isinstance(kind, type) and issubclass(kind, branch) else branch)(message)
