"""Files under one folder as drivers: read, list, write, and no way out of it.

    notes = files("notes")
    notes.read("plan.txt"), notes.list(), notes.write("out/report.md", text)

Theory of operation
-------------------
A path is a text, perhaps a model's, so it is never handed to the system as a whole. It is walked
name by name from a descriptor of the folder, and no step follows a link: whatever is exchanged on
the disk meanwhile, what is opened is inside. A text is written beside its place and then moved
there, so a reader sees the old one or the new one, whole.

Rules
1. Nothing outside the folder is opened, by "..", an absolute path, a link or a race. Hard links are
   files like any other.
2. Only plain files are read and written: a pipe or a device would hang or harm.
3. Sizes are bounded before anything is read; text is UTF-8, or an error.
4. Everything under the folder may be seen by whoever may call ``read``: a path to read is a
   selector, a path to write an authority. What is read is untrusted unless ``brings`` says more.
5. What a program wrote is read with the label it was written with, and no better: what untrusted
   content went into was not the word of whoever vouches for the folder (``file_labels``).
"""

from __future__ import annotations

import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from nlpu.checks import COUNT, LABEL, PATH, check
from nlpu.errors import DriverFailed, MissingPart, Usage
from nlpu.label import UNTRUSTED, Label, join
from nlpu.runtime.drivers.driver import MOST_BYTES, Driver, brought, driver, label_given
from nlpu.runtime.drivers.file_labels import PLACE, Wrote, names_label, record_of, writing

_MOST_NAMES = 10_000
_ATTEMPTS = 8  # to read a file and its label while others write it
_FOLDER = os.O_RDONLY | getattr(os, "O_DIRECTORY", 0) | getattr(os, "O_NOFOLLOW", 0)
_FILE = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_NOFOLLOW", 0)


@dataclass(frozen=True, slots=True)
class Files:
    """The drivers of one folder."""

    read: Driver
    list: Driver
    write: Driver

    def __repr__(self) -> str:
        return f"Files(read={self.read.name}, list={self.list.name}, write={self.write.name})"


def files(
    root: str | os.PathLike[str], *, brings: Label = UNTRUSTED, most_bytes: int = MOST_BYTES
) -> Files:
    """Drivers for the files under a folder, which is there. Raises Usage, MissingPart.

    brings: who vouches for what is in the files, but for what programs wrote on the word of others
    (rule 5). most_bytes: longest file, read or written.
    """
    fits = {"root": PATH, "brings": LABEL, "most_bytes": COUNT}
    check("files", locals(), fits)
    if not {os.open, os.mkdir, os.rename, os.unlink} <= os.supports_dir_fd:
        raise MissingPart("this system cannot open files relative to a folder (openat)")
    folder = _Folder(os.path.realpath(root), most_bytes)
    if not Path(folder.root).is_dir():
        raise Usage(f"there is no folder {str(root)!r} to keep files in; make it first")

    @driver(effect="read", roles={"path": "selector"}, brings=brings, most_bytes=most_bytes)
    def read_file(path: str) -> str:
        """Read a text file; the path is relative to the folder."""
        return folder.read(path)

    @driver(effect="read", roles={"path": "selector"}, brings=brings)
    def list_files(path: str = "") -> list[str]:
        """List a folder, the names of folders with a slash behind them."""
        return folder.names(path)

    @driver(effect="write", roles={"text": "content"}, brings=brings, idempotent=True)
    def write_file(path: str, text: str) -> int:
        """Write a text file, or replace it; gives its size in bytes."""
        return folder.write(path, text)

    return Files(read_file, list_files, write_file)


@dataclass(frozen=True, slots=True)
class _Folder:
    root: str
    most_bytes: int

    def read(self, path: str) -> str:
        with self._parent(path) as (folder, name):
            for _ in range(_ATTEMPTS):
                content, label = self._read(path, folder, name)
                if label is not None:
                    break
            brought(label or UNTRUSTED)
        self._check(path, content)
        try:
            return content.decode("utf-8-sig")  # what Windows' editors write before a text is none
        except UnicodeDecodeError as error:
            raise DriverFailed(f"{path!r} is not UTF-8 text (byte {error.start})") from None

    def _read(self, path: str, folder: int, name: str) -> tuple[bytes, Label | None]:
        """The bytes and their label; None if the file was exchanged meanwhile."""
        with _opened(name, "rb", _FILE, folder) as file:
            there = os.fstat(file.fileno())
            if not stat.S_ISREG(there.st_mode):
                brought(record_of(folder, name).name)  # it is called so
                raise DriverFailed(f"{path!r} is not a plain file")
            content: bytes = file.read(self.most_bytes + 1)
            label = record_of(folder, name).text
            now = os.stat(name, dir_fd=folder, follow_symlinks=False)
            return content, label if os.path.samestat(now, there) else None

    def names(self, path: str) -> list[str]:
        with self._walked(path, path.split("/") if path else []) as folder:
            found: list[str] = []
            plain: set[str] = set()
            with os.scandir(folder) as entries:
                for entry in entries:
                    if len(found) == _MOST_NAMES:
                        raise DriverFailed(f"{path!r} has more than {_MOST_NAMES:,} names")
                    if entry.name == PLACE:
                        continue
                    mark = "/" if entry.is_dir(follow_symlinks=False) else ""
                    plain.add(entry.name)
                    found.append(entry.name.encode("utf-8", "replace").decode() + mark)
            brought(names_label(folder, plain))
        return sorted(found)

    def write(self, path: str, text: str) -> int:
        content = text.encode()
        self._check(path, content)
        named = label_given("path")
        with self._parent(path, make=True) as (folder, name):
            with suppress(FileNotFoundError):
                there = os.stat(name, dir_fd=folder, follow_symlinks=False)
                named = record_of(folder, name).name  # it was called so before
                if not stat.S_ISREG(there.st_mode):
                    brought(named)
                    raise DriverFailed(f"{path!r} is there, and is not a plain file")
            wrote = Wrote(join(label_given("path"), label_given("text")), named)
            with writing(folder, name, wrote):
                _replace(folder, name, content)
        return len(content)

    def _check(self, path: str, content: bytes) -> None:
        if len(content) > self.most_bytes:
            raise DriverFailed(f"{path!r} is longer than {self.most_bytes:,} bytes")

    @contextmanager
    def _parent(self, path: str, *, make: bool = False) -> Iterator[tuple[int, str]]:
        """A descriptor of the folder a path ends in, and its last name."""
        *names, last = path.split("/")
        _check_name(path, last)
        with self._walked(path, names, make=make) as folder:
            yield folder, last

    @contextmanager
    def _walked(self, path: str, names: list[str], *, make: bool = False) -> Iterator[int]:
        """A descriptor of the folder that names lead to, one by one (rule 1)."""
        for name in names:
            _check_name(path, name)
        at = os.open(self.root, _FOLDER)
        try:
            for name in names:
                if make:
                    _make(at, name)
                inner = os.open(name, _FOLDER, dir_fd=at)
                os.close(at)
                at = inner
            yield at
        except OSError as error:
            brought(names_label(at, set(path.split("/"))))  # what is there may be called so
            raise DriverFailed(f"{path!r}: {error.strerror or error}") from error
        finally:
            os.close(at)


def _replace(folder: int, name: str, content: bytes) -> None:
    """Put a file with this content in the place of what is there."""
    beside = f".{secrets.token_hex(8)}.part"
    try:
        with _opened(beside, "wb", _NEW, folder) as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.rename(beside, name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(OSError):
            os.unlink(beside, dir_fd=folder)
        raise
    os.fsync(folder)


def _make(folder: int, name: str) -> None:
    """Make a folder, unless it is there; its name has a label as a file's."""
    try:
        os.stat(name, dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        with writing(folder, name, Wrote(name=label_given("path"))), suppress(FileExistsError):
            os.mkdir(name, dir_fd=folder)


def _opened(name: str, mode: str, flags: int, folder: int) -> IO[bytes]:
    return open(name, mode, opener=lambda *_: os.open(name, flags, 0o666, dir_fd=folder))


def _check_name(path: str, name: str) -> None:
    if name in ("", ".", "..") or "\0" in name:
        raise DriverFailed(f"{path!r} is not a path inside the folder: give names, joined by /")
    if name.casefold() == PLACE:
        raise DriverFailed(f"{path!r} is not a file of the folder's: labels are kept there")
