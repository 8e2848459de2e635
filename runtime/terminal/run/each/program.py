"""What a batch's inputs are to its program: which parameters they fill, beside those given.

Theory of operation
-------------------
Words of the command line are the same for all inputs. A column fills the parameter of its name; a
text, or another value that is no object, the first that is left. What is written as a word or as
JSON on a command line is so in a column, too.

Rules
1. A column that is no parameter is an error, but ``id``: what the input calls itself, told in its
   result.
2. A cell of a table is a word. A JSON value is taken as it is: a number is no text.
3. A null, and a cell that is empty where no text is wanted, is not given.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nlpu.errors import Usage
from nlpu.printing import one_line, shown
from nlpu.runtime.fleet.plan import Entry
from nlpu.runtime.terminal.arguments import Content, Parameter, apart, convert, parameters, usage

if TYPE_CHECKING:
    from nlpu.runtime.loader import Program
    from nlpu.runtime.terminal.run.each.inputs import Record

_BY_NAME = inspect.Parameter.KEYWORD_ONLY


class EachProgram:
    """A program with what is the same for all inputs. Raises Usage."""

    def __init__(
        self,
        program: Program,
        words: Sequence[str],
        named: Mapping[str, Content],
        texts: Sequence[str],
        opened: Callable[[str], str],
        machine: Mapping[str, tuple[str, str]],
    ) -> None:
        self._usage = usage(program)
        self._kinds = inspect.signature(program.function).parameters
        self._places = {place.name: place for place in parameters(program)}
        try:
            self.fixed = self._given(words, named, opened)
            for text in texts:
                self._put_text(self.fixed, Content(text))
        except Usage as error:
            raise Usage(f"{error}. Usage: {self._usage}") from None
        for name, (built_in, content) in machine.items():  # the store, and what runs it
            place = self._places.get(name)
            if place is not None and place.default == built_in and name not in self.fixed:
                self.fixed[name] = content
        self._ids: dict[str, str] = {}

    def _given(
        self, words: Sequence[str], named: Mapping[str, Content], opened: Callable[[str], str]
    ) -> dict[str, Any]:
        by_name, ordered = apart(words, named, self._places)
        free = [place for place in self._places.values() if self._is_in_order(place)]
        if len(ordered) > len(free):
            raise Usage(f"{ordered[len(free)][:40]!r} is one argument too many")
        pairs = [*by_name, *zip(free, ordered, strict=False)]
        twice = {place.name for place, _ in pairs if [p for p, _ in pairs].count(place) > 1}
        if twice:
            raise Usage(f"{min(twice)!r} is given twice")
        return {place.name: convert(word, place, opened) for place, word in pairs}

    def _is_in_order(self, place: Parameter) -> bool:
        return not place.many and self._kinds[place.name].kind is not _BY_NAME

    def entry(self, record: Record) -> Entry:
        """An input as arguments. Raises Usage that names it."""
        if isinstance(record.content, Usage):
            raise record.content
        try:
            given, name = dict(self.fixed), record.id
            if isinstance(record.content, dict):
                name = self._columns(record, given) or name
            elif isinstance(record.content, str):
                self._put_text(given, Content(record.content))
            else:
                place = next((p for p in self._places.values() if p.name not in given), None)
                self._put(given, place, record.content)
            self._check_id(name, record.where)
            return self._arranged(given, name)
        except Usage as error:
            raise Usage(f"{record.where}: {error}. Usage: {self._usage}") from None

    def _columns(self, record: Record, given: dict[str, Any]) -> str:
        name = ""
        for column, content in record.content.items():
            place = self._places.get(column)
            if column in self.fixed and place is not None:
                raise Usage(f"{column!r} is a column, and given on the command line, too")
            if place is not None and record.cells:
                if content or place.type is str or place.default is inspect.Parameter.empty:
                    given[column] = convert(Content(content), place)
            elif place is not None:
                self._put(given, place, content)
            elif column == "id":  # rule 1
                if isinstance(content, bool) or not isinstance(content, str | int):
                    told = one_line(json.dumps(content), 40)
                    raise Usage(f"'id' must be a text or a whole number, not {told}")
                name = str(content)
            else:
                raise Usage(f"the column {column!r} is no parameter of the program")
        return name

    def _put(self, given: dict[str, Any], place: Parameter | None, content: Any) -> None:
        """Rule 2 for a JSON value."""
        if place is None or place.many:
            raise Usage(f"there is no parameter left for {shown(content, 40)}")
        if content is None and place.schema is None:
            if place.default is inspect.Parameter.empty:
                raise Usage(f"{place.name!r} is null, and must be given")
            return
        if place.type is str and not isinstance(content, str):
            raise Usage(f"{place.name!r} must be text, not {shown(content, 40)}: put it in quotes")
        word = content if isinstance(content, str) else json.dumps(content)
        given[place.name] = convert(Content(word), place)

    def _put_text(self, given: dict[str, Any], text: Content) -> None:
        """A text goes to the first parameter that is left and takes one."""
        free = [place for name, place in self._places.items() if name not in given]
        place = next((place for place in free if place.type is str and not place.many), None)
        if place is None:
            raise Usage("there is no parameter left for a text")
        given[place.name] = convert(text, place)

    def _arranged(self, given: Mapping[str, Any], name: str) -> Entry:
        missing = [place.name for place in self._places.values() if place.required]
        missing = [each for each in missing if each not in given]
        if missing:
            raise Usage(f"{missing[0]!r} is missing: name a column so, or give it for all inputs")
        order = [place for place in self._places.values() if self._is_in_order(place)]
        last = max((at for at, place in enumerate(order) if place.name in given), default=-1)
        by_place = order[: last + 1]
        args = tuple(given.get(place.name, place.default) for place in by_place)
        taken = {place.name for place in by_place}
        return Entry(name, args, {key: given[key] for key in given if key not in taken})

    def _check_id(self, name: str, where: str) -> None:
        if name and self._ids.setdefault(name, where) != where:
            raise Usage(f"the id {name!r} is that of {self._ids[name]}, too; change one")
