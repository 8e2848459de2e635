"""A pooler between us and the database, which gives its sessions to whoever has something to do."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from threading import Thread
from typing import Any

import pytest
from database_kit import of, read, store, write

pytest.importorskip("psycopg", reason="needs `pip install -e '.[postgres]'`")
from nlpu.postgres.connection import connect

PATIENCE_S = 60
KEY = b"K\0\0\0\x0c"  # how the message begins that tells a session's process


def passed_on(source: socket.socket, sink: socket.socket, *, renamed: bool = False) -> None:
    """Pass on what comes; ``renamed``: as that of another process, as a pooler does."""
    with suppress(OSError):
        while data := source.recv(1 << 16):
            at = data.find(KEY) + len(KEY) if renamed and KEY in data else None
            sink.sendall(data if at is None else data[:at] + b"\x7f" + data[at + 1 :])
            renamed &= at is None
    with suppress(OSError):
        sink.shutdown(socket.SHUT_WR)


@contextmanager
def between(port: int) -> Iterator[int]:
    """Something that stands before a server; gives its port."""

    def come(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                one = listener.accept()[0]
                other = socket.create_connection(("127.0.0.1", port))
                for args, renamed in (((one, other), False), ((other, one), True)):
                    each = Thread(target=passed_on, args=args, kwargs={"renamed": renamed})
                    each.start()
                    threads.append(each)
                made.extend((one, other))

    made, threads = list[socket.socket](), list[Thread]()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        coming = Thread(target=come, args=(listener,))
        coming.start()
        yield listener.getsockname()[1]
        listener.shutdown(socket.SHUT_RDWR)
        coming.join(PATIENCE_S)
    for thread in threads:
        thread.join(PATIENCE_S)
    for each in made:
        each.close()


def prepared(database: Any) -> int:
    """How many statements are prepared for one that is asked often."""
    with connect(database) as db:
        for _ in range(9):
            db.execute("SELECT 1")
        return len(db.execute("SELECT FROM pg_prepared_statements").fetchall())


def test_through_a_pooler_nothing_is_prepared(postgres: Any) -> None:
    """Under its name another's statement could be carried out, or none is there."""
    database = of(postgres.fresh())
    assert prepared(database) == 1, "it is quicker"
    with between(postgres.port) as port:
        through = of(database.url.replace(f":{postgres.port}/", f":{port}/"))
        assert prepared(through) == 0
        with closing(store(through)) as one:
            for n in range(9):
                write(one, f"{n}").result(PATIENCE_S)
        assert read(through) == [f"{n}" for n in range(9)]
