"""The computer that a command runs on, before it is opened: its engine, its prices, its runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nlpu.runtime.settings import api_key

if TYPE_CHECKING:
    from nlpu.processor import Price
    from nlpu.runtime.computer import Computer
    from nlpu.runtime.drivers.person import Person
    from nlpu.runtime.journal.where import Place
    from nlpu.runtime.voice import Voice


@dataclass(frozen=True, slots=True)
class Machine:
    """The computer to run on.

    models: where there are several, the names of its processors. system, convention: as asked for;
    runs that go on keep their own, and a computer refuses to give them others.
    """

    engine: Any
    model: str | None
    run_dir: Place
    durable: bool = False
    price: Price | None = None
    models: tuple[str, ...] = ()
    system: str | None = None
    convention: str = ""
    sheets: Path | None = None

    def computer(self, person: Person | None = None) -> Computer:
        """Make it; ``person`` is who may be asked. Raises Usage, and what its engines do."""
        from nlpu.runtime.computer import Computer

        voice = self.voice()
        return Computer(
            self.engines(),
            model=self.model,
            api_key=api_key(),
            store=self.run_dir,
            durable=self.durable,
            prices=self.prices(),
            person=person,
            system=voice.system,
            convention=voice.convention,
            sheets=self.sheets,
        )

    def engines(self) -> Any:
        """What a computer is given: the engine, or of several models one for each by name."""
        from nlpu.engines.registry import named_engine

        named = {name: named_engine(self.engine, name, api_key()) for name in self.models}
        return named or self.engine

    def voice(self) -> Voice:
        """The system text and the convention that were asked for. Raises Usage."""
        from nlpu.prompt.convention import of_version
        from nlpu.runtime.voice import Voice

        return Voice(self.system, of_version(self.convention) if self.convention else None)

    def prices(self) -> dict[str, Price] | None:
        """The price of each of its processors."""
        names = self.models or ("main",)
        return None if self.price is None else dict.fromkeys(names, self.price)

    def facts(self) -> dict[str, Any]:
        """What a run's header keeps of it, for those who start the run again."""
        price = None if self.price is None else asdict(self.price)
        return {
            "engine": self.engine,
            "model": self.model,
            "durable": self.durable,
            "price": price,
        }


def can_of(computer: Computer) -> dict[str, Any]:
    """What the default processor can, as a header keeps it."""
    from nlpu.runtime.naming import described

    return described(next(iter(computer.processors.values())).capabilities)
