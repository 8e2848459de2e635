"""Who watches a process, and is late: on a busy machine it begins when that has ended."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading

import pytest

from nlpu.runtime.terminal.run import watchdog
from nlpu.runtime.terminal.run.interrupt import Told

TEXTS = {"interrupted": ("pressed\n", "interrupted\n"), "overdue": ("late\n", "")}
BEGINS = b"\xfe" + json.dumps([60.0, TEXTS]).encode() + b"\xff"
PRESSED = bytes([signal.SIGINT])


@pytest.mark.parametrize("is_held", [False, True], ids=["alone", "a child holds the pipe"])
@pytest.mark.parametrize(
    ("came", "told"),
    [
        (BEGINS + PRESSED, ("pressed\n", "interrupted\n")),
        (BEGINS + PRESSED * 2, ("pressed\n", "interrupted\n")),
        (PRESSED, ("", "interrupted\n")),
        (BEGINS, ("", "")),
        (b"", ("", "")),
    ],
)
def test_what_came_before_its_end_is_told(
    came: bytes, told: tuple[str, str], is_held: bool
) -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        pass
    with subprocess.Popen(
        [sys.executable, "-I", "-S", watchdog.__file__, str(ended.pid)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdin is not None and process.stdout is not None and process.stderr
        process.stdin.write(came)
        process.stdin.flush()
        if not is_held:
            process.stdin.close()
        said = process.stdout.read().decode(), process.stderr.read().decode()
    assert (process.returncode, said) == (0, told)


STEPS = """
import ctypes, signal, sys
from nlpu.runtime.terminal.run.interrupt import Told

class Action(ctypes.Structure):
    _fields_ = [
        ("handler", ctypes.c_void_p), ("mask", ctypes.c_ulong * 16), ("flags", ctypes.c_uint)
    ]

RESETS = 0x80000000
libc, found = ctypes.CDLL(None), set()

def stands():
    now = Action()
    assert libc.sigaction(signal.SIGINT, None, ctypes.byref(now)) == 0
    if not now.handler:
        return "default"
    return "once" if now.flags & RESETS else "for good"

def step(frame, event, arg):
    frame.f_trace_opcodes = True
    found.add(stands())
    return step

def look(frame, event, arg):
    ours = frame.f_code.co_filename.endswith(("interrupt.py", "watchdog.py"))
    return step(frame, event, arg) if ours else None

with Told(lambda: found.add(stands())):
    print(stands())
    sys.settrace(look)
    signal.raise_signal(signal.SIGINT)
    sys.settrace(None)
    print(*sorted(found), stands())
"""


def test_while_one_is_heard_no_handler_stands_that_the_kernel_does_not_take_away() -> None:
    """At each step: C code may keep Python from the next one, and the second ends the process."""
    command = [sys.executable, "-c", STEPS]
    ended = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ended.stdout.split() == ["once", "default", "once", "once"]


def test_no_ctrl_c_is_lost_while_one_is_listened_for() -> None:
    heard, was_heard, over = list[int](), threading.Event(), threading.Event()
    main = threading.main_thread().ident or 0

    def press() -> None:
        for _ in range(60):
            was_heard.clear()
            signal.pthread_kill(main, signal.SIGINT)
            if not was_heard.wait(5):
                break
        over.set()

    def hear() -> None:
        heard.append(1)
        was_heard.set()

    presser = threading.Thread(target=press)
    with Told(hear):
        presser.start()
        while not over.is_set():
            with Told(hear):
                pass
    presser.join()
    assert len(heard) == 60
