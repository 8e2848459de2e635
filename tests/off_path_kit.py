"""Ways to read a Value, and a program that sends to what it reads in one of them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextvars import Context
from typing import Any

import pytest
from greenlet import greenlet
from kit import PATIENCE_S, echo, execute

from nlpu import Value
from nlpu.label import UNTRUSTED, USER
from nlpu.runtime import Run
from nlpu.runtime.drivers.driver import driver
from nlpu.runtime.drivers.person import ScriptedPerson
from nlpu.value import current

BAD = Value("attacker", UNTRUSTED)
Read = Callable[[], str]
Way = Callable[[Read], str]
SENT: list[str] = []


@driver(effect="external", roles={"body": "content"})
def send(to: str, body: str) -> bool:
    """Send a letter."""
    SENT.append(to)
    return True


def there(make: Callable[[], Value[str]] = lambda: echo(BAD)) -> Value[str]:
    """A Value that is there, and that its scope has not looked at."""
    mail = make()
    while not mail.ready:
        str(echo(f"time passes {current().label}"))
    assert current().label is USER
    return mail


def sent_to_what_was_read(way: Way, look: Callable[[Value[str]], str] = str) -> Run:
    def program() -> Any:
        mail = there()
        return send(way(lambda: look(mail)), "body").value

    return execute(program, person=ScriptedPerson())


def in_a_pool(read: Read) -> str:
    with ThreadPoolExecutor() as pool:
        return pool.submit(read).result(PATIENCE_S)


def caught_on(start: Callable[[Callable[[], None]], threading.Thread], read: Read) -> str:
    """What is read on a thread, or what that raises."""
    found: list[Any] = []

    def body() -> None:
        try:
            found.append(read())
        except BaseException as error:
            found.append(error)

    thread = start(body)
    thread.start()
    thread.join(PATIENCE_S)
    if isinstance(found[0], BaseException):
        raise found[0]
    return str(found[0])


def on_a_thread(read: Read) -> str:
    return caught_on(lambda body: threading.Thread(target=body), read)


def in_a_context(read: Read) -> str:
    return Context().run(read)


def in_a_greenlet(read: Read) -> str:
    return str(greenlet(read).switch())


@pytest.fixture(autouse=True)
def nobody_wrote_to_the_attacker() -> Iterator[None]:
    SENT.clear()
    yield
    assert "attacker" not in SENT
