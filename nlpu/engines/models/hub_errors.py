"""What can go wrong with the hub, as errors of ours: whose fault it was, and what to do.

Rules
1. Every error of the library becomes one sentence; none of its own reaches the user.
2. An error that we do not know is the hub's, and is told as the library told it.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from nlpu.engines.models.repo import HubName
from nlpu.engines.models.store import storage_failure
from nlpu.errors import (
    ConnectionLost,
    HostError,
    MissingPart,
    NlpuError,
    Overloaded,
    RequestRefused,
    ServerFault,
    TimedOut,
    Unauthorized,
    Unreachable,
    Usage,
    described,
)

if TYPE_CHECKING:
    from huggingface_hub.errors import HfHubHTTPError

_HUB = "https://huggingface.co"


def endpoint() -> str:
    """Name the hub's address: $HF_ENDPOINT, read now, as the library reads it at import."""
    return (os.environ.get("HF_ENDPOINT") or _HUB).rstrip("/")


def offline(name: HubName) -> MissingPart:
    """Say that the hub was not asked because the user forbade it."""
    return MissingPart(
        f"{name} is not on this machine, and HF_HUB_OFFLINE is set: unset it to download the model"
    )


@contextmanager
def asking(name: HubName, place: Path) -> Iterator[None]:
    """Turn what the library raises into our errors. place: where it stores."""
    try:
        yield
    except NlpuError:  # what was told of the progress may stop it
        raise
    except Exception as error:
        raise _failure(error, name, place) from error


def _failure(error: BaseException, name: HubName, place: Path) -> NlpuError:
    from huggingface_hub import errors

    if isinstance(error, errors.LocalEntryNotFoundError) and error.__cause__:
        return _failure(error.__cause__, name, place)  # it only says that the cache has it neither
    if isinstance(error, errors.OfflineModeIsEnabled):
        return offline(name)
    if isinstance(error, errors.HfHubHTTPError):
        return _refusal(error, name)
    if isinstance(error, errors.HFValidationError):
        return Usage(f"{name.repo!r} is no name of a hub repo: it is written owner/repo")
    if isinstance(error, errors.FileMetadataError | ValueError | TypeError | KeyError):
        return ServerFault(
            f"{endpoint()} did not answer as a hub does ({described(error)}): check HF_ENDPOINT, "
            "and whether a proxy answers in its place"
        )
    if isinstance(error, OSError) and not isinstance(error, ConnectionError | TimeoutError):
        return storage_failure(error, place) if error.errno else _cut(error)
    return _connection(error, name)


def _refusal(error: HfHubHTTPError, name: HubName) -> NlpuError:
    from huggingface_hub import errors

    status = error.response.status_code
    if isinstance(error, errors.GatedRepoError):
        return Unauthorized(
            f"{name.repo} is gated: accept its terms on {endpoint()}/{name.repo} and set HF_TOKEN "
            "to a token of that account"
        )
    if isinstance(error, errors.RepositoryNotFoundError):
        return Usage(
            f"{endpoint()} has no model {name.repo}: check the name, or set HF_TOKEN if it is "
            "private"
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return Usage(f"{name.repo} has no revision {name.revision}: name a branch, tag or commit")
    if status in (401, 403):
        return Unauthorized(f"{endpoint()} refuses the token ({status}): check HF_TOKEN")
    if status == 429:
        return Overloaded(f"{endpoint()} asks us to come back later (429): try again")
    kind: type[HostError] = ServerFault if status >= 500 else RequestRefused
    return kind(f"{endpoint()} failed with status {status} for {name.repo}: try again later")


def _connection(error: BaseException, name: HubName) -> HostError:
    # By name: versions of the library differ in the HTTP client whose errors these are.
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if kinds & {"ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"}:
        return Unreachable(
            f"the hub cannot be reached at {endpoint()} ({error}): check the network, or "
            f"HF_ENDPOINT; or, if {name.repo} is a folder, its path: there is none of that name"
        )
    if kinds & {"TimeoutException", "TimeoutError"}:
        return TimedOut(f"{endpoint()} did not answer in time: try again")
    if kinds & {"TransportError", "ConnectionError"}:
        return _cut(error)
    return ServerFault(f"the download from {endpoint()} failed ({described(error)}): try again")


def _cut(error: BaseException) -> ConnectionLost:
    why = str(error).partition("\n")[0]
    return ConnectionLost(
        f"the download from {endpoint()} was cut ({why}): nothing broken was kept, try again"
    )
