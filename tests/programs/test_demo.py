"""The first run: its parts without a model, its kill on a slow server, and on the real model."""

from __future__ import annotations

import fcntl
import json
import re
import subprocess
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from nlpu import ProgramError
from nlpu.engines.models import installed_model
from nlpu.errors import MissingPart
from nlpu.programs.demo import REVIEWS, Narrator, Scores, _one_call_told, all_at_once, opinion
from nlpu.programs.letters import FIELDS, Letter, Letters, forty, letters, score
from nlpu.programs.two_lives import Lives, Took, in_two_lives
from nlpu.runtime import Computer
from nlpu.runtime.terminal.show.archive import owner, records
from nlpu.testing.scripted import Say, Scripted, Seen
from tests.runtime.journal.test_kills import until
from tests.terminal_fixture import COMMAND, Terminal, environment, fault_server, nlpu

__all__ = ["nlpu"]

KEY = dict(forty())
MOST_LINES = 25
SLOW = ("--rate", "slow:0.2=0.65", "--rate", "slow:3=0.35")  # by prompt: a third is late


def written(letter: Letter) -> str:
    """A letter's record as a model has to write it."""
    said = {**letter.model_dump(), "amount": f"{letter.amount} euros"}
    return json.dumps({name: f" {said[name]}" for name in FIELDS})


def row(letter: Letter) -> str:
    """The same as a row of the one prompt's list."""
    return json.dumps(list(json.loads(written(letter)).values()))


# -- the letters ---------------------------------------------------------------------------------


def test_the_key_is_of_forty_letters_that_hold_their_words() -> None:
    assert len(KEY) == 40 and len({key.sender for key in KEY.values()}) == 40
    for text, key in KEY.items():
        assert all(text.count(str(word)) == 1 for word in (key.amount, key.city, key.sender))
        assert all(part in text for part in key.date.split())


def test_the_reviews_are_half_of_either() -> None:
    keys = Counter(json.loads(line)["is"] for line in REVIEWS.read_text("utf-8").splitlines())
    assert keys == {"positive": 12, "negative": 12}


def test_a_day_is_the_same_day_in_both_orders() -> None:
    one: dict[str, Any] = {"amount": 1, "city": "Ghent", "sender": "Ann Moss"}
    assert Letter(date="March 4", **one) == Letter(date=" 4 March", **one)


def test_what_a_model_says_is_scored_field_by_field() -> None:
    keys = list(KEY.values())
    assert score(keys) == {**dict.fromkeys(FIELDS, 40), "whole": 40}
    wrong = keys[0].model_copy(update={"city": "Nowhere"})
    assert score([wrong, None, *keys[2:]]) == {
        "amount": 39,
        "city": 38,
        "date": 39,
        "sender": 39,
        "whole": 38,
    }
    assert score([])["whole"] == 0


def test_each_letter_is_a_call_and_a_bad_reply_is_one_letter_lost() -> None:
    said = {text: written(key) for text, key in KEY.items()}
    lost = next(iter(KEY))

    def answer(seen: Seen) -> str:
        text = seen.operands["letter"]
        return "no record" if text == lost else said[text]

    with Computer(Scripted(answer)) as computer:
        run = computer.run(letters)
    assert run.receipt.calls == 40 and run.receipt.depth == 1
    assert run.result == Letters([None, *list(KEY.values())[1:]])
    assert str(run.result).splitlines()[:2] == [
        "(no valid reply)",
        "45, Denver, 12 June, Tom Baker",
    ]


def test_letters_of_ones_own_are_a_line_each() -> None:
    with Computer(Scripted(written(next(iter(KEY.values()))))) as computer:
        assert len(computer.run(letters, "one letter\n\nanother\n").result.root) == 2


# -- one prompt ----------------------------------------------------------------------------------


@pytest.mark.parametrize("said", ["no list", "[]", f"[{row(KEY[next(iter(KEY))])}]"])
def test_one_prompt_that_is_no_whole_list_gives_nothing(said: str) -> None:
    with Computer(Scripted(said)) as computer:
        assert computer.run(all_at_once, "1. a letter").result == []


def test_one_prompt_that_does_not_fit_gives_nothing() -> None:
    with Computer(Scripted(window=2000)) as computer:
        assert computer.run(all_at_once, "1. a letter").result == []


def test_one_prompt_is_scored_place_by_place() -> None:
    keys = list(KEY.values())
    said = f"[{','.join(map(row, [keys[1], keys[0], *keys[2:]]))}]"
    with Computer(Scripted(Say(said, tokens=1800))) as computer:
        assert score(computer.run(all_at_once, "1. a letter").result)["whole"] == 38


# -- what is printed -----------------------------------------------------------------------------


def scores(judged: int, model: str = "smollm2-135m-instruct", **lives: Any) -> Scores:
    """An outcome of the demo."""
    took = Took(calls=40, nlops=13.8, prompt_tokens=6020, completion_tokens=1379, seconds=30.5)
    receipt = took.model_copy(update={"parallelism": 24.9, "bound_s": 26.0})
    counts = {"killed": True, "first": 21, "lost": 8, "second": 19, "again": 0} | lives
    told = Lives(run="abcdefgh", model=model, forecast=took, receipt=receipt, result=[], **counts)
    right = dict.fromkeys((*FIELDS, "whole"), 40)
    return Scores(
        lives=told,
        one_by_one=right,
        one_prompt=right,
        one_prompt_valid=True,
        reviews=24,
        judged=judged,
    )


def test_what_is_printed_fits_eighty_columns() -> None:
    text = str(scores(12))
    assert max(map(len, text.splitlines())) <= 80
    assert "21 calls before the kill, 19 after it, 0 calls made again" in text
    assert "(reviews.jsonl)? 12 of 24 right (a coin: 12). This it cannot do." in text
    assert "nlpu run demo --model qwen2.5-coder-0.5b" in text


def test_what_is_printed_of_another_model_is_of_that_model() -> None:
    able = str(scores(23, model="another"))
    assert "23 of 24" in able and "cannot" not in able and "--model" not in able
    assert "--model" not in str(scores(23)) and "--model" not in str(scores(12, model="another"))


def test_before_the_one_long_call_it_says_how_long_that_may_take() -> None:
    told = _one_call_told(scores(12).lives)
    assert told.startswith("Now all forty in one prompt (about 1,320 tokens, some 34 s), and")
    assert len(told) <= 80
    other = _one_call_told(scores(12, model="another").lives)  # of whose speed nothing is known
    assert "(about 1,320 tokens), and" in other


def test_a_model_too_fast_to_kill_is_told_as_that() -> None:
    text = str(scores(12, killed=False, first=40, lost=0, second=0))
    assert "40 calls, done before it could be killed, 0 calls made again" in text


def test_a_letter_that_was_read_wrongly_is_shown_beside_its_key(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (text, key), *_ = KEY.items()
    for right in (True, False):
        said = key if right else key.model_copy(update={"city": "Nowhere"})
        with Computer(Scripted(written(said)), run_dir=tmp_path / str(right)) as computer:
            computer.run(letters, text)
        (run,) = records(tmp_path / str(right))
        Narrator().lives(run)
        shown = capsys.readouterr().err.splitlines()[-1]
        assert shown == (f"   ✓ {key}" if right else f"   ✗ {said} (key: {key})")


# -- the kill ------------------------------------------------------------------------------------


def run_demo(place: Path, *options: str) -> subprocess.CompletedProcess[str]:
    """The demo as a command."""
    return subprocess.run(
        [*COMMAND, "run", "demo", *options],
        cwd=place,
        env=environment(NO_COLOR="1"),
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_run_is_killed_and_no_answered_call_is_made_again(tmp_path: Path) -> None:
    log = tmp_path / "sent.jsonl"
    with fault_server(*SLOW, "--log", str(log)) as url:
        ended = run_demo(tmp_path, "--engine", url, "--json")
    assert ended.returncode == 0, ended.stderr
    told = json.loads(ended.stdout)["result"]["lives"]
    assert told["killed"] and told["first"] >= 20 and told["lost"] > 0 and told["again"] == 0
    assert told["first"] + told["second"] == 40 and len(told["result"]) == 40
    assert told["forecast"]["calls"] == told["receipt"]["calls"] == 40
    assert all(figure is not None for figure in told["forecast"].values())
    assert told["forecast"]["seconds"] >= told["forecast"]["bound_s"]
    sent = Counter(json.loads(line)["prompt_hash"] for line in log.read_text().splitlines())
    assert sum(times - 1 for times in sent.values()) <= told["lost"]  # the server's own count
    (run,) = (each for each in records(tmp_path / ".nlpu" / "runs") if each.name == told["run"])
    assert run.past.lives == 2 and run.past.finished
    assert run.seconds == pytest.approx(told["receipt"]["seconds"], abs=0.01), "of both lives"
    shown = subprocess.run(
        [*COMMAND, "show", told["run"]],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        check=True,
    ).stdout.decode()
    both, last = shown.partition("all lives' calls")[2].split("the last life's calls")
    assert f" {told['second']} " in last and both.split()[both.split().index("all") + 1] == "40"
    assert not list(tmp_path.glob(".nlpu/runs/demo-*"))


def test_the_process_of_the_letters_ends_with_its_parent(tmp_path: Path) -> None:
    with fault_server("--rate", "slow:3600=1") as url:
        command = [*COMMAND, "run", "demo", "--engine", url]
        pipe, nothing = subprocess.PIPE, subprocess.DEVNULL
        with subprocess.Popen(
            command, cwd=tmp_path, env=environment(), stdout=nothing, stderr=pipe
        ) as parent:
            assert parent.stderr is not None and b"forty letters" in parent.stderr.readline()
            until("the letters to be read", lambda: any(_journals(tmp_path)))
            (journal,) = _journals(tmp_path)
            parent.kill()
        with journal.with_suffix(".lock").open() as lock:
            fcntl.flock(lock, fcntl.LOCK_SH)  # as soon as its owner is gone


def _journals(place: Path) -> list[Path]:
    """Journals of letters that are being read."""
    found = place.glob(".nlpu/runs/demo-*/*.db")
    return [path for path in found if owner(path) and any(records(path.parent))]


def test_a_process_that_fails_says_why(tmp_path: Path) -> None:
    def nowhere() -> None:
        """No program of this name is there."""

    with pytest.raises(ProgramError, match="no program is called 'nowhere'"):
        in_two_lives(nowhere, [], tmp_path, 1, Narrator())
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    ended = run_demo(tmp_path, "--engine", "scripted", "--run-dir", "file/runs")
    assert ended.returncode == 1 and ended.stdout == ""
    assert re.fullmatch("error: cannot make the run directory .*\n", ended.stderr)


def test_it_is_replayed_without_a_process_and_refused_in_a_dry_run(nlpu: Terminal) -> None:
    first = nlpu("run", "demo", "--engine", "scripted", "--json").json
    lives = first["result"]["lives"]  # of two, or of one that was done before it could be killed
    assert lives["first"] + lives["second"] == 40 and lives["again"] == 0
    assert set(first["result"]) >= {"lives", "one_by_one", "one_prompt", "reviews", "judged"}
    again = nlpu("replay", first["run_id"], "--json")
    assert again.json["result"] == first["result"] and "one call for each" not in again.err
    dry = nlpu("run", "demo", "--engine", "scripted", "--dry", "--json")
    assert dry.json["refused_drivers"] == ["kill_and_resume"]


# -- the real model ------------------------------------------------------------------------------


@pytest.mark.local
@pytest.mark.timeout(300)
def test_a_small_model_reads_the_letters() -> None:
    """38 of 40 when it was written; what else runs at once can turn a letter or two."""
    with Computer() as computer:
        run = computer.run(letters)
    assert score(run.result.root)["whole"] >= 33
    assert run.receipt.calls == 40


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(900)
def test_the_demo_on_the_real_model(tmp_path: Path) -> None:
    ended = run_demo(tmp_path)
    assert ended.returncode == 0, ended.stderr
    told = [line for line in ended.stderr.splitlines() if " in flight" not in line]
    assert len(told) + len(ended.stdout.splitlines()) <= MOST_LINES
    (run,) = (each for each in records(tmp_path / ".nlpu" / "runs") if each.program == "demo")
    assert run.past.end is not None
    found = Scores.model_validate_json(run.texts[run.past.end.text])
    assert found.one_by_one["whole"] >= 33 and found.one_prompt["whole"] <= 10
    assert found.lives.killed and found.lives.first >= 20 and found.lives.again == 0
    assert found.judged < 0.8 * found.reviews
    assert str(found) + "\n" == ended.stdout


@pytest.mark.slow
@pytest.mark.local
@pytest.mark.timeout(600)
def test_the_model_that_the_demo_names_can_judge_the_reviews() -> None:
    """24 of 24 when it was written."""
    try:
        installed_model("qwen2.5-coder-0.5b")
    except MissingPart as missing:
        pytest.skip(str(missing))
    cases = [json.loads(line) for line in REVIEWS.read_text(encoding="utf-8").splitlines()]
    with Computer(model="qwen2.5-coder-0.5b") as computer:
        run = computer.run(lambda: [opinion(case["review"]) for case in cases])
    right = sum(said == case["is"] for said, case in zip(run.result, cases, strict=True))
    assert right >= 22, f"{right} of {len(cases)}"
