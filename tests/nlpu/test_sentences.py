"""Where sentences end, in many scripts: cutting, trimming, counting, passing on."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kit import execute

from nlpu import op, split
from nlpu.eval.matching import sentences
from nlpu.runtime.terminal.run.streaming import Streamer
from nlpu.sentences import BORDER, last_end, parts
from nlpu.testing.scripted import Say, Scripted
from nlpu.text import chunks

# two whole sentences each, and the beginning of a third
SAID = {
    "English": ("It rained.", " Did the mill stop?", " The mi"),
    "a quotation": ("“It rained.”", " «Да.»", " The mi"),
    "Greek": ("Έβρεξε χθες.", " Σταμάτησε ο μύλος;", " Κανείς δεν"),
    "Russian": ("Вчера шёл дождь.", " Мельница стоит!", " У людей"),
    "Chinese": ("昨天下了雨。", "磨坊停了吗？", "没有人有钱买面包因"),
    "Chinese, quoted": ("他说：“好。”", "「停了！？」", "没有人"),
    "Chinese, plain marks": ("下雨了!", "磨坊停了吗?", "没有"),
    "full width": ("它重３．５公斤．", "下雨了！", "没有"),
    "half width": ("昨日は雨だった｡", "止まった｡", "水車は止まっ"),
    "Japanese": ("昨日は雨だった。", "水車は止まりましたか？", "誰も"),
    "Hindi": ("कल बारिश हुई।", " क्या चक्की रुक गई?", " किसी के"),
    "Hindi, no blanks": ("क्या हाल है।", "सब ठीक॥", "किसी"),
    "Arabic": ("هطل المطر أمس.", " هل توقفت الطاحونة؟", " لا أحد"),
    "Urdu": ("کل بارش ہوئی۔", " چکی بند ہے۔", " کسی کے"),
    "Hebrew": ("אתמול ירד גשם.", " הטחנה נעצרה!", " לאף"),
    "Armenian": ("Երեկ անձրև եկավ։", " Ջրաղացը կանգնեց։", " Ոչ"),
    "Amharic": ("ትናንት ዘነበ።", " ወፍጮው ቆመ።", " ማንም"),
    "Burmese": ("မိုးရွာတယ်။", "ရပ်သွားတယ်။", "ဘယ်သူ"),
    "Tibetan": ("ཁ་སང་ཆར་པ་བབས།", " རང་འཐག་མཚམས་བཞག་གམ༎", " སུ་ལའང་"),
    "Khmer": ("ភ្លៀងធ្លាក់។", " ម៉ាស៊ីនឈប់។", " គ្មាន"),
}
EACH = pytest.mark.parametrize("name", SAID)
TEXT = st.text("ab .!?…。！？।؟;ς人“”「」\"'3５．｡\n")


@EACH
def test_a_trimmed_text_ends_with_its_last_whole_sentence(name: str) -> None:
    first, second, begun = SAID[name]
    assert last_end(first + second + begun) == len(first + second)
    trimmed = op("Summarise", at_limit="trim", max_tokens=200)
    engine = Scripted(Say(first + second + begun, finish_length=True))
    assert execute(lambda: trimmed("x"), engine=engine).result == first + second


@EACH
def test_chunks_end_with_sentences(name: str) -> None:
    first, second, _ = SAID[name]
    text = " ".join([first + second] * 20) if " " in second else (first + second) * 20
    for chunk in chunks(text, 45, len):
        assert chunk.rstrip().endswith((first, second.strip())), chunk


def test_split_cuts_between_sentences_of_chinese() -> None:
    text = "昨天下了雨。磨坊停了。没有人有钱买面包。" * 40
    found = execute(lambda: [str(part) for part in split(text, 64)]).result
    assert all(part.endswith("。") for part in found) and "".join(found) == text


def test_a_long_chinese_sentence_is_cut_between_clauses() -> None:
    text = "昨天下了很大的雨，磨坊停了，没有人有钱买面包，" * 10
    assert all(chunk.endswith("，") for chunk in chunks(text, 30, len))


@EACH
def test_sentences_are_counted(name: str) -> None:
    assert sentences("".join(SAID[name])) == 3
    assert [part.strip() for part in parts("".join(SAID[name]))] == [
        said.strip() for said in SAID[name]
    ]


@EACH
def test_whole_sentences_are_passed_on(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    first, second, begun = SAID[name]
    out: list[str] = []
    streamer = Streamer(True, out.append)
    streamer._all = False
    for sign in first + second + begun:
        streamer.take(sign)
    assert "".join(out) == first + second
    streamer.finish(first + second)
    assert "".join(out) == first + second + "\n"


INSIDE = ["It is 3.5 m", "see nlpu.ops.op and a;b", "重３．５公斤", "Yahoo!'s x"]


@pytest.mark.parametrize("text", INSIDE)
def test_stops_inside_words_end_nothing(text: str) -> None:
    assert last_end(text) == 0


@given(TEXT)
def test_sentences_are_the_text(text: str) -> None:
    """Cut, nothing is lost but blanks; the last end is the end of a part, and is stable."""
    assert "".join("".join(parts(text)).split()) == "".join(text.split())
    end = last_end(text)
    assert last_end(text[:end]) == end
    assert last_end(text, followed=True) <= end <= len(text)


@given(TEXT, TEXT)
def test_what_was_passed_on_stays(text: str, more: str) -> None:
    """What ends before a sign that is no blank is an end, or inside one, whatever follows."""
    end = last_end(text, followed=True)
    assert last_end(text + more) >= end
    assert all(match.end() > match.start() for match in BORDER.finditer(text))
