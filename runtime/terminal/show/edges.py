"""The graph of a recorded run: what read what, and how its prompts were laid out.

Theory of operation
-------------------
A journal holds calls, not edges. The program that made them is replayed on a copy of the journal,
with no call, and its graph is looked at. Where that cannot be (the program has changed, cannot be
found, takes arguments that only Python can give, or the journal is not known to be one's own),
edges are guessed from texts: a call that was given another's result has read it. Such edges are
partial, and whoever shows them says so.

Rules
1. The journal itself is only read; the replay writes to a copy that is thrown away.
2. A replay that fails or takes too long is given up, and the reason told.
"""

from __future__ import annotations

import inspect
import json
import shutil
import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, TypeVar

from nlpu.chat import turns_in
from nlpu.errors import MissingPart, NlpuError, ProgramError
from nlpu.runtime.graph.kinds import JOINT
from nlpu.runtime.graph.node import Node
from nlpu.runtime.journal.header import source_digest
from nlpu.runtime.journal.where import Place
from nlpu.runtime.journal.witness import side_of
from nlpu.runtime.terminal.run.earlier import loaded_again
from nlpu.runtime.terminal.run.interrupt import stop
from nlpu.runtime.terminal.run.recorded_engine import engines_of
from nlpu.runtime.terminal.run.trust import doubt_of, files_of
from nlpu.runtime.terminal.show.archive import Record

if TYPE_CHECKING:
    import networkx as nx

    from nlpu.ops.op import Op
    from nlpu.processor import Processor
    from nlpu.prompt.layout import Turn
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.handle import Run

T = TypeVar("T")
_LONGEST_REPLAY_S = 60.0
_MARKS = ("<|system|>\n", "\n<|user|>\n", "\n<|answer|>\n")  # of the scripted engine, for people


@dataclass(frozen=True, slots=True)
class Layout:
    """A prompt's pieces: texts, and numbers for its operands.

    ``chat``: sent as messages, with the operands' markers escaped.
    """

    pieces: tuple[str | int, ...]
    chat: bool


@dataclass(frozen=True, slots=True)
class Shape:
    """A run's graph as ``graph_view`` describes it; ``partial`` says why edges are missing."""

    graph: nx.DiGraph[str]
    layouts: dict[str, Layout] = field(default_factory=dict)  # by position of the call
    partial: str = ""

    def into(self, position: str) -> list[tuple[str, str, str]]:
        """The edges that end there: (from, to, kind)."""
        edges = self.graph.in_edges(position, data=True)
        return [(giver, reader, str(facts["kind"])) for giver, reader, facts in edges]


def shape_of(record: Record) -> Shape:
    """The graph, by replay if that can be."""
    try:
        return _replayed(record)
    except (NlpuError, TimeoutError, sqlite3.Error, OSError) as error:
        why = str(error) or f"the replay took more than {_LONGEST_REPLAY_S:g} s"
        return Shape(_by_texts(record), partial=why)


def _replayed(record: Record) -> Shape:
    def look(computer: Computer, run: Run, arguments: dict[str, Any]) -> Shape:
        from nlpu.runtime.handle import state_of  # here: looking needs a computer

        processor = next(iter(computer.processors.values()))
        speaking = processor.speaking(state_of(run).convention)
        ops = {  # of the nodes that hold them; the graph only names them
            node.issue_position: node.node_work.op
            for node in state_of(run).root.subtree()
            if isinstance(node, Node) and node.issue_position in record.past.calls
        }
        return Shape(run.graph, _layouts(record, speaking, ops))

    return replayed(record, look)


def replayed(
    record: Record,
    look: Callable[[Computer, Run, dict[str, Any]], T],
    most_s: float = _LONGEST_REPLAY_S,
) -> T:
    """What ``look`` makes of the run, replayed on a copy, and of the arguments it was given.

    Raises NlpuError, TimeoutError, sqlite3.Error, OSError.
    """
    from nlpu.runtime.computer import Computer  # the scheduler, which only a replay needs
    from nlpu.runtime.handle import state_of

    header, files = record.past.header, files_of(record)
    doubt = doubt_of(record, files)
    if doubt is not None:  # before anything of it is imported
        raise ProgramError(doubt.short)
    function = loaded_again(record, files).function
    args, kwargs = record.arguments(function)
    if source_digest(function) != header["source"]:
        raise ProgramError("the program's source has changed since")
    engines = engines_of(header)
    if engines is None:
        raise MissingPart("the tokenizer the run was made with is not here")
    with TemporaryDirectory() as folder, ExitStack() as ends:
        place: Place = Path(folder)
        if isinstance(record.path, Path):
            _copy(record.path, Path(folder) / record.path.name)
        else:  # who reads there is in nobody's way
            place = record.path.database
        computer = ends.enter_context(Computer(engines, store=place))
        run = computer.resume(record.name, function, *args, replay=True, **kwargs)
        try:
            run.wait(most_s)
        except TimeoutError:
            if not stop(run):  # its program is busy in Python, and closing would wait for it
                ends.pop_all()
            raise
        known = record.past.calls
        there = {node.issue_position for node in state_of(run).root.subtree()}
        if not known.keys() <= there:
            met = len(known.keys() & there)
            raise ProgramError(f"its replay met {met} of {len(known)} calls")
        bound = inspect.signature(function).bind(*args, **kwargs)
        return look(computer, run, bound.arguments)


def _copy(source: Path, target: Path) -> None:
    side = side_of(source)
    if side.exists():
        shutil.copyfile(side, side_of(target))  # before the rows: it may be written meanwhile
    with (
        closing(sqlite3.connect(f"{source.absolute().as_uri()}?mode=ro", uri=True)) as here,
        closing(sqlite3.connect(target)) as there,
    ):
        here.backup(there)


def _by_texts(record: Record) -> nx.DiGraph[str]:
    import networkx as nx  # slow to import

    graph: nx.DiGraph[str] = nx.DiGraph()
    past = record.past
    made: dict[str, str] = {}  # the first call that gave a text
    for call in past.calls.values():
        graph.add_node(call.position, op=past.ops[call.op].name, kind="call", label="")
        for number in call.texts:
            for text in _parts(record.texts[number]):
                if text in made:
                    graph.add_edge(made[text], call.position, kind="data")
        outcome = past.outcomes.get(call.key)
        if outcome is not None and outcome.text:
            made.setdefault(record.texts[outcome.text], call.position)
    return graph


def _parts(text: str) -> list[str]:
    """The results that an operand may be made of: itself, joined texts, parts of a list or chat."""
    try:
        items = json.loads(text) if text[:1] == "[" else []
        if text.startswith('{"turns":'):
            items = [said for _, said in turns_in(text)]
    except (ValueError, TypeError):
        items = []
    return [text, *text.split(JOINT), *(item for item in items if isinstance(item, str))]


# -- prompts ----------------------------------------------------------------------------------


def _layouts(record: Record, processor: Processor, ops: dict[str, Op[Any]]) -> dict[str, Layout]:
    can = processor.capabilities
    read = reader(can.tokenizer) if can.token_prompts else None
    made: dict[Any, Layout] = {}
    found: dict[str, Layout] = {}
    for position, op in ops.items():
        texts = [record.texts[number] for number in record.past.calls[position].texts]
        turns = processor.codec.turns(op, texts, processor.convention)
        if turns not in made:
            made[turns] = Layout(tuple(_pieces(processor, turns, read)), read is None)
        found[position] = made[turns]
    return found


def _pieces(
    processor: Processor, turns: tuple[Turn, ...], read: Callable[[tuple[int, ...]], str] | None
) -> Iterator[str | int]:
    """A prompt's pieces as text, with what the chat frame writes between turns."""
    for number, turn in enumerate(turns):
        between = "\n\n" if number else ""
        yield (
            f"{between}{turn.role}: " if read is None else read(processor.codec.start(turn, number))
        )
        yield from turn.pieces
    if read is not None:
        yield read(processor.codec.frame.after)


def reader(tokenizer: str | None) -> Callable[[Iterable[int]], str]:
    """What turns a frame's ids back to text, special tokens included."""
    if tokenizer in (None, "chars"):
        first = 0x110000  # above every character
        return lambda ids: "".join(chr(i) if i < first else _MARKS[i - first] for i in ids)
    from tokenizers import Tokenizer  # only for real models' prompts

    library = Tokenizer.from_file(str(Path(str(tokenizer)) / "tokenizer.json"))
    return lambda ids: str(library.decode(list(ids), skip_special_tokens=False))
