"""What is installed is what users use: the wheel, made of the sdist, away from the checkout.

Its environment has the wheel, and of the tests' environment only the libraries.
"""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
USERS = '''
from typing import Literal, assert_type

from nlpu import Budget, Computer, Op, Overloaded, Run, Value, nlop
from nlpu.testing import FakeClock, Scripted, mix


@nlop
def mood(text: str) -> Literal["glad", "sad"]:
    """Say how the text sounds."""


def program(text: str) -> str:
    assert_type(mood, Op[Literal["glad", "sad"]])
    assert_type(mood(text), Value[Literal["glad", "sad"]])
    return mood(text).value


model = Scripted("glad", faults=mix({Overloaded: 0.0}))
with Computer(model, clock=FakeClock()) as computer:
    run = computer.run(program, "Hurray!", budget=Budget(calls=1))
    assert_type(run, Run)
    print(run.result, run.receipt.calls)
'''


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of an environment with the wheel alone."""
    place = tmp_path_factory.mktemp("wheel")
    pack = f"from setuptools import build_meta; build_meta.build_sdist({str(place)!r})"
    subprocess.run([sys.executable, "-c", pack], cwd=ROOT, stdout=subprocess.DEVNULL, check=True)
    (source,) = place.glob("nlpu-*.tar.gz")
    build = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", place, source]
    subprocess.run(build, check=True)
    (wheel,) = place.glob("nlpu-*.whl")
    venv.create(place / "env", symlinks=True)
    found = place / "env" / "bin" / "python"
    (site,) = (place / "env" / "lib").glob("python3*/site-packages")
    ran(sys.executable, "-m", "pip", "--python", found, "install", "--no-deps", wheel, cwd=place)
    libraries = Path(pytest.__file__).parents[1]  # its own .pth files are not read
    (site / "libraries.pth").write_text(f"{libraries}\n")
    return found


def ran(*command: str | Path, cwd: Path) -> str:
    """What a command prints, without anything of this checkout on its path."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        command, cwd=cwd, env=kept, capture_output=True, text=True, check=False, timeout=600
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.strip()


def test_a_users_file_is_typed_and_runs_beside_modules_of_our_names(
    python: Path, tmp_path: Path
) -> None:
    (tmp_path / "users.py").write_text(USERS)
    for name in ("memory.py", "programs.py", "runtime/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine = True\n")
    where = ran(python, "-c", "import nlpu; print(nlpu.__file__)", cwd=tmp_path)
    assert Path(where).is_relative_to(python.parents[1])
    assert ran(python, "users.py", cwd=tmp_path) == "glad 1"
    mypy = [sys.executable, "-m", "mypy", "--strict", "--python-executable", python]
    mypy += ["--disable-error-code", "empty-body"]  # an op's body is its docstring
    assert ran(*mypy, "--cache-dir", os.devnull, "users.py", cwd=tmp_path).startswith("Success")
    nlpu = python.with_name("nlpu")
    said = ran(nlpu, "run", "ask", "Where is it?", "--engine", "scripted", cwd=tmp_path)
    assert said and ran(nlpu, "runs", cwd=tmp_path)


def test_what_needs_a_checkout_says_so(python: Path, tmp_path: Path) -> None:
    look = "import importlib.util as u; print(u.find_spec('benchmarks'), u.find_spec('tests'))"
    assert ran(python, "-c", look, cwd=tmp_path) == "None None"
    nlpu = python.with_name("nlpu")
    assert "--profile" in ran(nlpu, "bench", "throughput", "--help", cwd=tmp_path)
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [nlpu, "bench", "all"], cwd=tmp_path, env=kept, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1 and "from a checkout of the project" in done.stderr


@pytest.mark.local
def test_the_demo_runs(python: Path, tmp_path: Path) -> None:
    assert "0 calls made again" in ran(python.with_name("nlpu"), "run", "demo", cwd=tmp_path)
