"""Keep what a map got right, and say of the rest why it failed.

    nlpu run examples/good_items.py
    nlpu run examples/good_items.py --engine scripted     # tries the wiring; the years are dice

A map is one Value, and fails with its items. ``.each()`` gives them one by one: a failed one has an
``error`` with the reason, the others have their content. One note below names no year, and a small
model may write one that never ends, which is an error, or make one up, which is none: so a plain
function holds each year against its note, and what it raises is the reason of that item alone. The
default model gives two years and one reason; dice give three reasons.
"""

from nlpu import Computer, Value, lift, nlop

NOTES = [
    "Ann built the mill in 1880.",
    "Nobody knows who built the bridge.",
    "The inn was opened in 1902.",
]


@nlop(max_tokens=8)
def year(note: str) -> int:
    """Which year does the note name?"""


@lift
def held(note: str, found: int) -> int:
    """The year, if it stands in the note."""
    if str(found) not in note:
        raise ValueError(f"{found} does not stand in the note")
    return found


def good_items(notes: list[str] = NOTES) -> dict[str, dict[str, object]]:
    """The years that were found, and why there are no others."""
    years = year.map(notes).each()
    items: list[tuple[str, Value[int]]] = [
        (note, held(note, found)) for note, found in zip(notes, years, strict=True)
    ]
    return {
        "found": {note: item.value for note, item in items if item.error is None},
        "not found": {note: str(item.error) for note, item in items if item.error is not None},
    }


if __name__ == "__main__":
    with Computer() as computer:
        run = computer.run(good_items)
    print(run.result, run.receipt, sep="\n")
