"""Settings: the defaults of the commands, and where each of them comes from.

Theory of operation
-------------------
A default is, from the weakest to the strongest: built in, named by a file ``nlpu.toml``, named by
the environment (``NLPU_`` and the option's name), or given on the command line. ``read`` lays the
first three over each other; a command lays its options over these (``Settings.over``). The file is
the nearest: in the working directory, else in the first parent that has one. The home directory
and the file system's root are the last that are looked in.

Rules
1. What is wrong is one Usage error that names the place and what is allowed there.
2. A model goes with its engine: a layer that names another engine drops the model below it.
3. A secret is in no file: a server's key is read from the environment alone. Nor is a file obeyed
   that another user put where everybody may write: it could lead texts and key elsewhere.
4. Paths in a file are relative to it, all others to the working directory.
5. Reading imports nothing of the project but its errors: it costs well under 2 ms.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import partial
from importlib import import_module
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.errors import Usage

if TYPE_CHECKING:
    from nlpu.memory.store.postgres.names import MemoryDatabase
    from nlpu.runtime.journal.where import Place

FILE = "nlpu.toml"
BUILT_IN = "built in"
KEY_VARIABLE = "NLPU_API_KEY"
_PLACES = ("run_dir", "store")  # folders, or databases
_NUMBERS = ("calls", "nlops", "tokens", "money", "seconds", "at_once")
ENGINES = ("local", "transformers", "scripted")  # and any server's URL
_SECRET = re.compile(r"(^|[-_])(api_?key|key|token|secret|passwd|password)$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Settings:
    """One value for each setting; ``origins`` says where those come from that are not built in.

    sheets: datasheets, from which reliability is planned.
    price: money for a million tokens: prompt, cached, generated.
    calls, nlops, tokens, money, seconds: most that a run may take; None is no limit.
    at_once: most runs of a batch that go on; None is what keeps the processor busy.
    """

    engine: str = "local"
    model: str | None = None
    store: Path | MemoryDatabase = Path(".nlpu", "memory")
    run_dir: Place = Path(".nlpu", "runs")
    sheets: Path | None = None
    price: tuple[float, float, float] | None = None
    calls: int | None = None
    nlops: float | None = None
    tokens: int | None = None
    money: float | None = None
    seconds: float | None = None
    at_once: int | None = None
    origins: Mapping[str, str] = field(default_factory=dict)

    def origin(self, name: str) -> str:
        """Where the value of a setting comes from."""
        return self.origins.get(name, BUILT_IN)

    def over(self, given: Mapping[str, Any], origin: Callable[[str], str]) -> Settings:
        """Lay what is ``given`` and not None over these; ``origin`` is of a name. Raises Usage."""
        named = {name: raw for name, raw in given.items() if raw is not None}
        values = {name: _checked(name, raw, origin(name)) for name, raw in named.items()}
        origins = {**self.origins, **{name: origin(name) for name in values}}
        if values.get("engine", self.engine) != self.engine and "model" not in values:  # rule 2
            values["model"] = None
            origins.pop("model", None)
        return replace(self, **values, origins=origins)


NAMES = tuple(each.name for each in fields(Settings) if each.name != "origins")


def read(only: Collection[str] = NAMES) -> Settings:
    """Read the settings that hold here and now; all but ``only`` are built in. Raises Usage."""
    found, file = Settings(), _nearest()
    if file is not None:
        given = {name: raw for name, raw in _content(file).items() if name in only}
        found = found.over(given, lambda name: f"{FILE}: {file}:{name}")
    environment = {name: os.environ.get(_variable(name)) or None for name in only}
    return found.over(environment, lambda name: f"environment: {_variable(name)}")


def api_key() -> str | None:
    """Read a server's key: from the environment alone, so that it is in no process list."""
    return os.environ.get(KEY_VARIABLE) or None


def _variable(name: str) -> str:
    return f"NLPU_{name.upper()}"


# -- the file --------------------------------------------------------------------------------


def _nearest() -> Path | None:
    try:
        here = Path.cwd()
    except FileNotFoundError:  # it was removed under us
        return None
    home = os.path.realpath(os.path.expanduser("~"))
    for folder in (here, *here.parents):
        if os.path.isfile(folder / FILE):
            return folder / FILE
        if str(folder) == home:
            break
    return None


def _content(file: Path) -> dict[str, Any]:
    """What a file names, its paths made absolute. Raises Usage."""
    import tomllib  # here: most working directories have no file

    try:
        _trusted(file)
        given = tomllib.loads(file.read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise Usage(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, RecursionError) as error:
        raise Usage(f"{file} is not TOML: {error}; its lines are like: engine = 'local'") from None
    for name, raw in given.items():
        if name not in NAMES:
            raise Usage(f"{file}: {_no_setting(name)} (it may name {', '.join(NAMES)})")
        if isinstance(raw, str) and name in _NUMBERS:
            raise Usage(f"{file}:{name} must be {_KINDS[name][0]}, without quotes; not {raw!r:.80}")
    return {name: _placed(name, raw, file.parent) for name, raw in given.items()}


def _trusted(file: Path) -> None:
    """Raises Usage (rule 3)."""
    shared = file.parent.stat().st_mode & stat.S_IWOTH
    if shared and file.stat().st_uid not in (0, os.getuid()):
        raise Usage(
            f"{file} is another user's, in a directory where everybody may write, and not obeyed; "
            f"work in a directory of your own, or put a {FILE} of yours nearer"
        )


def _no_setting(name: str) -> str:
    if _SECRET.search(name):
        return f"{name!r:.40} looks like a secret, which belongs in {KEY_VARIABLE}, never in a file"
    near = import_module("difflib").get_close_matches(name.lower(), NAMES, 1)
    return f"{name!r:.40} is no setting" + (f"; did you mean {near[0]}?" if near else "")


def _placed(name: str, raw: Any, folder: Path) -> Any:
    """A path of a file, where it leads (rule 4); a model's may be a name, a place's a URL."""
    if not isinstance(raw, str) or not raw or name not in ("store", "run_dir", "sheets", "model"):
        return raw
    path = os.path.normpath(folder / os.path.expanduser(raw))
    is_name = raw[0] not in "./~" if name == "model" else name in _PLACES and _is_url(raw)
    return raw if is_name and not (raw.endswith(".gguf") and os.path.isfile(path)) else path


# -- values ----------------------------------------------------------------------------------


def _checked(name: str, raw: Any, origin: str) -> Any:
    """The value of a setting. Raises Usage."""
    allowed, value_of = _KINDS[name]
    place = origin.partition(": ")[2]
    if name not in _PLACES and "://" in str(raw) and any(map(_has_user, str(raw).split(","))):
        what = "a URL with a password would be written down; put the key in"
        raise Usage(f"{place}: {what} {KEY_VARIABLE}")
    try:
        value = value_of(raw)
        if origin.startswith(FILE) and getattr(value, "has_password", False):  # rule 3
            raise Usage(f"{place} has a password, which belongs in PGPASSWORD or ~/.pgpass")
        return value
    except (ValueError, TypeError, OverflowError):
        raise Usage(f"{place} must be {allowed}; not {raw!r:.80}") from None


def _has_user(url: str) -> bool:
    """Of one of several, or of the end of one whose password has a comma."""
    return "@" in re.sub(r"^\s*\w+://", "", url).partition("/")[0]


def _text(raw: Any) -> str:
    if not isinstance(raw, str) or not raw.strip() or not raw.isprintable():
        raise ValueError
    return raw


def _engine(raw: Any) -> str:
    name = _text(raw)
    if name not in ENGINES and not name.startswith(("http://", "https://")):
        raise ValueError
    return name


def _path(raw: Any) -> Path:
    if raw == "" or "\0" in str(raw):
        raise ValueError
    return Path(raw)


def _place(module: str) -> Callable[[Any], Any]:
    """Read a folder's name, or have a module make a place of a database's."""
    return lambda raw: import_module(module).place_of(raw) if _is_url(raw) else _path(raw)


def _is_url(raw: Any) -> bool:
    return bool(import_module("nlpu.postgres.urls").is_url(str(raw)))  # rule 5


def _price(raw: Any) -> tuple[float, float, float]:
    parts = raw.split(",") if isinstance(raw, str) else list(raw)
    prices = [float(part) for part in parts]
    if len(prices) not in (2, 3) or not all(0 <= price < inf for price in prices):
        raise ValueError
    return prices[0], prices[-2], prices[-1]


def _number(kind: type[int] | type[float], raw: Any) -> int | float:
    value = kind(raw) if isinstance(raw, str) else raw
    if isinstance(value, bool) or not isinstance(value, (int, kind)) or not 0 < value < inf:
        raise ValueError
    return kind(value)


_DATABASE = "a database: postgresql://USER@HOST/NAME"
_LIMIT = "number more than 0 (leave it out for no limit)"
_KINDS: dict[str, tuple[str, Callable[[Any], Any]]] = {  # what is allowed, and how it is read
    "engine": (f"{', '.join(ENGINES)}, or a server's URL: http://...", _engine),
    "model": ("the name or the directory of a model", _text),
    "store": (f"a directory, or {_DATABASE}", _place("nlpu.memory.store.postgres.names")),
    "run_dir": (f"a directory, or {_DATABASE}", _place("nlpu.runtime.journal.places")),
    "sheets": ("a datasheet, or a directory of them", _path),
    "price": ("IN,OUT or IN,CACHED,OUT, such as 0.15,0.60", _price),
    **dict.fromkeys(("calls", "tokens"), (f"a whole {_LIMIT}", partial(_number, int))),
    **dict.fromkeys(("nlops", "money", "seconds"), (f"a {_LIMIT}", partial(_number, float))),
    "at_once": ("a whole number more than 0", partial(_number, int)),
}
