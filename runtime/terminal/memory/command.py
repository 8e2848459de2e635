"""``nlpu memory``: stores of pages, from the terminal."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from nlpu.errors import Usage
from nlpu.runtime.terminal.memory.pages import facts, heading, print_found, print_stats
from nlpu.runtime.terminal.notice import notice
from nlpu.runtime.terminal.options import Json, settings
from nlpu.runtime.terminal.output import console, say, write, write_json, write_result

if TYPE_CHECKING:
    from nlpu.memory.controller import Memory

Store = Annotated[
    str | None,
    typer.Option(
        "--store",
        metavar="DIR|URL",
        help="The memory, or postgresql://. Default: $NLPU_STORE, else nlpu.toml, else "
        ".nlpu/memory.",
    ),
]
Embedder = Annotated[
    str | None,
    typer.Option(
        "--embedder",
        metavar="NAME|DIR",
        help="minilm (better), static (faster), or the folder of a model, such as a multilingual "
        "one. Default: the store's.",
    ),
]
Address = Annotated[str, typer.Argument(metavar="ADDRESS", help="Of a page: mem:...")]

app = typer.Typer(no_args_is_help=True, help="Keep texts, and find them again.")


def open_memory(
    store: str | None, embedder: str | None = None, firmware: str = "hybrid", new: bool = False
) -> Memory:
    """The memory of that place. Raises Usage where there is none and none is to be made."""
    from nlpu.memory.controller import Memory

    place = settings(("store",), store=store).store
    return Memory(place, embedder=embedder, firmware=firmware, new=new)


@app.command()
def ingest(
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files and folders.")],
    trusted: Annotated[
        bool, typer.Option("--trusted", help="You vouch for what the files say.")
    ] = False,
    store: Store = None,
    embedder: Embedder = None,
    as_json: Json = False,
) -> int:
    """Take files in: text, Markdown, HTML, PDF. What has not changed costs nothing. Exit code 1:
    some were skipped; the others are in."""
    from dataclasses import asdict

    from nlpu.label import UNTRUSTED, USER
    from nlpu.memory.ingest import ingest as take

    with open_memory(store, embedder, new=True) as memory:
        with _progress("reading") as step:
            taken = take(memory, paths, USER if trusted else UNTRUSTED, progress=step)
        if taken.pages:
            with _progress("embedding") as step:
                memory.levels.index.follow(step)
    for name, reason in taken.skipped:
        say(f"skipped {name}: {reason}")
    if taken.distrusted:
        say(f"{taken.distrusted} pages stay untrusted; to trust them, forget their files first")
    write_result(
        as_json,
        asdict(taken),
        f"{taken.files} files ({taken.unchanged} unchanged), {taken.pages} pages\n",
    )
    return 1 if taken.skipped else 0


@app.command()
def search(
    question: Annotated[str, typer.Argument(metavar="QUESTION")],
    most: Annotated[int, typer.Option("--most", metavar="N", min=1, help="Most pages.")] = 5,
    tokens: Annotated[
        int | None, typer.Option("--tokens", metavar="N", min=1, help="Most tokens, together.")
    ] = None,
    firmware: Annotated[
        str, typer.Option("--firmware", metavar="NAME", help="recency, hybrid, valued.")
    ] = "hybrid",
    among: Annotated[
        Literal["documents", "own", "all"],
        typer.Option("--among", help="own: what was said to programs, and what they made of it."),
    ] = "documents",
    store: Store = None,
    embedder: Embedder = None,
    as_json: Json = False,
) -> int:
    """The pages that fit a question, best first."""
    if firmware == "iterative":
        raise Usage("iterative asks a model: use it in a program, with Memory(..., firmware=...)")
    if not question.strip():
        raise Usage("the question is empty: every page would fit it")
    notice("looking the pages through ...")
    with open_memory(store, embedder, firmware) as memory:
        found = memory.search(question, most=most, tokens=tokens, among=among)
        left = memory.levels.disk.besides(among)
    if as_json:
        write_json([{**facts(each.page), "score": round(each.score, 4)} for each in found])
    elif not found:
        more = f" among {among}; --among all looks through {len(left)} more pages" if left else ""
        say(f"nothing found{more}")
    else:
        print_found(found)
    return 0


@app.command()
def show(
    address: Address,
    around: Annotated[
        int, typer.Option("--around", metavar="N", min=0, help="Pages before and after, too.")
    ] = 0,
    store: Store = None,
    as_json: Json = False,
) -> int:
    """The page at an address."""
    with open_memory(store) as memory:
        pages = [memory.read(address)]
        if around:
            pages = sorted(
                [*pages, *memory.neighbours(address, around, around)], key=lambda page: page.start
            )
    if as_json:
        write_json([facts(page) for page in pages] if around else facts(pages[0]))
        return 0
    for page in pages:
        console(to_stderr=True).print(heading(page), style="dim", soft_wrap=True)
        write(page.text.rstrip("\n") + "\n")
    return 0


@app.command()
def stats(store: Store = None, embedder: Embedder = None, as_json: Json = False) -> int:
    """The levels: what they hold, how they were used, how often what was wanted was there."""
    with open_memory(store, embedder) as memory:
        rows = memory.levels.table()
    if as_json:
        write_json(rows)
    else:
        print_stats(rows)
    return 0


@app.command()
def check(store: Store = None, embedder: Embedder = None, as_json: Json = False) -> int:
    """Whether the levels are whole and agree."""
    with open_memory(store, embedder) as memory:
        faults = memory.check()
        pages = memory.levels.disk.count()
    if as_json:
        write_json({"pages": pages, "faults": faults})
    for fault in faults:
        say(fault)
    if faults:
        say("the index can be made again: nlpu memory rebuild")
    elif not as_json:
        write(f"{pages} pages, no faults\n")
    return 1 if faults else 0


@app.command()
def rebuild(store: Store = None, embedder: Embedder = None, as_json: Json = False) -> int:
    """Make the vector index again from the pages."""
    with open_memory(store, embedder) as memory, _progress("embedding") as step:
        pages = memory.levels.index.rebuild(step)
    write_result(as_json, {"pages": pages}, f"{pages} pages embedded\n")
    return 0


@app.command()
def migrate(
    embedder: Annotated[str, typer.Option("--embedder", metavar="NAME|DIR", help="As for ingest.")],
    portable: Annotated[
        bool,
        typer.Option("--portable", help="Vectors relative to anchors: the next change is free."),
    ] = False,
    store: Store = None,
    as_json: Json = False,
) -> int:
    """Change a store's embedder."""
    with open_memory(store) as memory, _progress("embedding") as step:
        pages = memory.levels.index.migrate(embedder, portable, step)
    write_result(
        as_json,
        {"embedder": embedder, "portable": portable, "pages": pages},
        f"{embedder}: {pages} pages embedded\n",
    )
    return 0


@app.command()
def forget(
    what: Annotated[str, typer.Argument(metavar="ADDRESS|FILE", help="A page, or all of a file.")],
    store: Store = None,
    embedder: Embedder = None,
    as_json: Json = False,
) -> int:
    """Forget a page, or all pages of a file, and what was made of them alone, on every level."""
    from nlpu.memory.ingest import name_of

    with open_memory(store, embedder) as memory:
        gone = memory.forget(name_of(what)) or memory.forget(name_of(os.path.realpath(what)))
    if not gone:
        raise Usage(f"there is no page or file {what!r} in the memory")
    write_result(as_json, {"pages": gone}, f"{gone} pages forgotten\n")
    return 0


@contextmanager
def _progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on stderr, where a person sees it."""
    from rich.progress import Progress

    out = console(to_stderr=True)
    with Progress(console=out, transient=True, disable=not out.is_terminal) as bar:
        task = bar.add_task(what)
        yield lambda done, total: bar.update(task, completed=done, total=total)
