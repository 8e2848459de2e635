"""Which slot a request goes to: the rules of nlpu/engines/embedded/slots.py, without a model."""

from __future__ import annotations

from collections.abc import Iterable

from hypothesis import given
from hypothesis import strategies as st

from nlpu.engines.embedded.slots import MOST_PASSES, SHARED, Place, Slots

DOCUMENT = tuple(range(1000))
OTHER = tuple(range(5000, 6000))


def asking(document: tuple[int, ...], number: int, max_tokens: int = 8) -> Place:
    return Place((*document, 9000 + number, 1, 2), max_tokens)


def wait(slots: Slots[Place], places: Iterable[Place]) -> None:
    for place in places:
        slots.wait(place)


def numbers(granted: list[tuple[Place, int]]) -> list[int]:
    return [slot for _, slot in granted]


def test_questions_on_one_document_go_to_its_slot_one_after_the_other() -> None:
    slots: Slots[Place] = Slots(4)
    questions = [asking(DOCUMENT, n) for n in range(6)]
    wait(slots, questions)
    for question in questions:
        assert slots.grant() == [(question, 0)]
        slots.free(0, 0, 8)


def test_the_same_prompt_is_read_again_from_where_it_was_read_first() -> None:
    slots: Slots[Place] = Slots(1)
    read = [(0, 0, False, 0), (1, 1000, False, 0), (1, 1000, True, 1000), (2, 1000, False, 0)]
    for number, cached, again, start in read:
        slots.wait(asking(DOCUMENT, number))
        [(place, slot)] = slots.grant()
        assert (place.again, place.start) == (again, start)
        slots.free(slot, cached, 8)


def test_a_draw_does_not_change_from_where_its_prompt_is_read_again() -> None:
    slots: Slots[Place] = Slots(1)
    for repeats, cached, again in [(True, 7, False), (False, 1002, True), (True, 7, True)]:
        slots.wait(Place((*DOCUMENT, 1, 2, 3), 8, repeats))
        [(place, slot)] = slots.grant()
        assert (place.again, place.start) == (again, 7 if again else 0)
        slots.free(slot, cached, 8)


def test_two_documents_are_read_beside_each_other() -> None:
    slots: Slots[Place] = Slots(4)
    wait(slots, [asking(DOCUMENT, 0), asking(DOCUMENT, 1), asking(OTHER, 0), asking(OTHER, 1)])
    assert numbers(slots.grant()) == [0, 1]
    slots.free(1, 0, 8)
    [(place, slot)] = slots.grant()
    assert (slot, place.prompt[0]) == (1, OTHER[0])


def test_a_few_shared_words_are_no_reason_to_wait() -> None:
    slots: Slots[Place] = Slots(4)
    wait(slots, [asking(DOCUMENT[: SHARED - 1], n) for n in range(4)])
    assert numbers(slots.grant()) == [0, 1, 2, 3]


def test_those_who_write_much_are_spread() -> None:
    slots: Slots[Place] = Slots(4)
    wait(slots, [asking(DOCUMENT[:100], n, max_tokens=80) for n in range(4)])
    assert numbers(slots.grant()) == [0, 1, 2, 3]


def test_who_may_write_much_and_writes_little_waits() -> None:
    slots: Slots[Place] = Slots(4)
    wait(slots, [asking(DOCUMENT[:100], n, max_tokens=80) for n in range(4)])
    for _, slot in slots.grant():
        slots.free(slot, 0, 2)
    for written, at_once in ((2, 1), (80, 4)):
        for kind in range(20):
            slots.wait(Place((kind,), 80))
            slots.free(slots.grant()[0][1], 0, written)
        draws = [Place((written, *DOCUMENT[200:300]), 80, False) for _ in range(4)]
        wait(slots, draws)
        assert len(slots.grant()) == at_once
        for place in draws:
            slots.leave(place)
        slots.free(0, 0, written)


def test_agents_under_one_instruction_end_on_a_slot_each() -> None:
    """Each step's prompt begins as the agent's last one: who takes its slot loses it that."""
    slots: Slots[Place] = Slots(4)
    transcripts = [DOCUMENT[:60], DOCUMENT[:60]]
    where: list[list[int]] = [[], []]
    for step in range(6):
        for agent in (0, 1):
            new = tuple(2000 + 1000 * agent + 40 * step + n for n in range(40))
            transcripts[agent] = transcripts[agent] + new
            slots.wait(Place(transcripts[agent], 8))
            [(_, slot)] = slots.grant()
            where[agent].append(slot)
            slots.free(slot, 0, 8)
    assert len({*where[0][2:]}) == len({*where[1][2:]}) == 1 and where[0][-1] != where[1][-1]


def test_a_slot_that_is_waited_for_is_not_given_to_others() -> None:
    slots: Slots[Place] = Slots(1)
    first, second, stranger = asking(DOCUMENT, 0), asking(DOCUMENT, 1), asking(OTHER, 0)
    wait(slots, [first])
    slots.grant()
    wait(slots, [stranger, second])
    slots.free(0, 0, 8)
    assert slots.grant() == [(second, 0)]
    slots.free(0, 0, 8)
    assert slots.grant() == [(stranger, 0)]


def test_nobody_is_passed_over_for_ever() -> None:
    slots: Slots[Place] = Slots(1)
    stranger = asking(OTHER, 0)
    wait(slots, [asking(DOCUMENT, 0)])
    slots.grant()
    slots.wait(stranger)
    for turn in range(2 * MOST_PASSES):
        wait(slots, [asking(DOCUMENT, turn + 1), asking(DOCUMENT, turn + 100)])
        slots.free(0, 0, 8)
        if slots.grant()[0][0] is stranger:
            break
    assert turn == MOST_PASSES


def test_an_unrelated_request_takes_the_slot_unused_for_longest() -> None:
    slots: Slots[Place] = Slots(3)
    for n in range(3):
        wait(slots, [Place((n,) * 50, 8)])
        slots.grant()
    for slot in (2, 0, 1):
        slots.free(slot, 0, 8)
    slots.wait(asking(OTHER, 0))
    assert numbers(slots.grant()) == [0]


def test_what_was_not_read_is_forgotten_and_who_leaves_is_not_granted() -> None:
    slots: Slots[Place] = Slots(1)
    first, second = asking(DOCUMENT, 0), asking(DOCUMENT, 1)
    wait(slots, [first])
    slots.grant()
    slots.wait(second)
    slots.leave(second)
    slots.leave(second)
    slots.forget(0)
    assert slots.grant() == []
    third = asking(OTHER, 0)
    wait(slots, [third, asking(DOCUMENT, 2)])  # nobody holds the document: no reason to let it pass
    assert slots.grant() == [(third, 0)]


@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(0, 120), st.integers(1, 200)), max_size=40),
    st.integers(1, 4),
    st.randoms(use_true_random=False),
)
def test_every_request_gets_a_slot_of_its_own_and_in_the_end_all_have_run(
    asked: list[tuple[int, int, int]], count: int, random: object
) -> None:
    slots: Slots[Place] = Slots(count)
    places = [Place((*(kind,) * size, 77, n), most) for n, (kind, size, most) in enumerate(asked)]
    wait(slots, places)
    running: dict[int, Place] = {}
    done: list[Place] = []
    while len(done) < len(places):
        for place, slot in slots.grant():
            assert slot not in running
            running[slot] = place
        assert running, "nobody runs and somebody waits"
        slot = random.choice(sorted(running))  # type: ignore[attr-defined]
        done.append(running.pop(slot))
        slots.free(slot, 0, 8)
    assert sorted(map(id, done)) == sorted(map(id, places))
