"""``nlpu bench compare``: verdicts on made-up results; and how results are written and drawn."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from nlpu.errors import Usage
from nlpu.runtime.bench import compare, results
from nlpu.runtime.bench.report import circumstances, measured
from nlpu.runtime.terminal.output import said


def result(each: list[float], better: Any = "more", **more: Any) -> dict[str, Any]:
    """One result with one row of one figure."""
    row = {"name": "prose x1", "calls_per_s": measured(each, better), "calls": 4}
    return {"bench": "throughput", "profiles": [{"name": "prose", "rows": [row]}], **more}


@pytest.mark.parametrize(
    ("before", "after", "better", "verdict"),
    [
        ([10.0, 10.5, 11.0], [12.9, 13.0, 13.5], "more", "better"),
        ([10.0, 10.5, 11.0], [12.9, 13.0, 13.5], "less", "worse"),
        ([10.0, 10.5, 11.0], [10.9, 13.0, 13.5], "more", "noise"),  # repeats overlap
        ([10.0, 10.1, 10.2], [10.3, 10.4, 10.5], "more", "noise"),  # apart, but by 3 %
        ([10.0, 10.1], [12.0, 12.1], "more", "noise"),  # two repeats: 25 % is needed
        ([10.0, 10.1], [13.0, 13.1], "more", "better"),
        ([10.0], [13.0], "less", "worse"),
        ([0.0], [0.0], "less", "noise"),
    ],
)
def test_verdicts(before: list[float], after: list[float], better: Any, verdict: str) -> None:
    found = compare.changed("x", measured(before, better), measured(after, better))
    assert found.verdict == verdict


def test_counts_have_no_noise_and_rows_are_matched_by_name() -> None:
    a, b = result([1.0, 1.0, 1.0]), result([1.0, 1.0, 1.0])
    b["profiles"][0]["rows"][0]["calls"] = 5
    b["profiles"].insert(0, {"name": "judge", "rows": [{"name": "cold x1", "calls": 1}]})
    found = compare.compare(a, b)
    assert [(c["name"], c["verdict"]) for c in found["changes"]] == [
        ("profiles / prose / rows / prose x1 / calls", "changed")
    ]
    assert found["changes"][0]["share"] == 0.25
    assert found["within_noise"] == 1 and found["only_a"] == []
    assert found["only_b"] == ["profiles / judge / rows / cold x1 / calls"]


def test_other_circumstances_are_told_and_are_no_figures() -> None:
    facts = circumstances(engine="local", model="m", quick=True, flags=(), seed=1)
    a = result([1.0], **json.loads(json.dumps(facts)))
    b = json.loads(json.dumps(a)) | {"model": "n", "date": "later"}
    b["versions"]["python"] = "4.0"
    b["machine"]["load_1_min"] = 99.0
    found = compare.compare(a, b)
    assert len(found["circumstances"]) == 2 and found["changes"] == []
    assert any(line.startswith("versions python") for line in found["circumstances"])
    assert "model: m -> n" in found["circumstances"]


def test_the_command_reads_files(tmp_path: Path) -> None:
    a, b = tmp_path / "a.json", tmp_path / "b.json"
    a.write_text(json.dumps(result([1.0, 1.1, 1.2])))
    b.write_text(json.dumps(result([2.0, 2.1, 2.2])))
    done = CliRunner().invoke(compare.app, [str(a), str(b)])
    assert done.exit_code == 0 and "+91%" in done.output and "better" in done.output
    told = json.loads(CliRunner().invoke(compare.app, [str(a), str(a), "--json"]).output)
    assert told["changes"] == [] and told["within_noise"] == 2
    assert "Nothing changed" in CliRunner().invoke(compare.app, [str(a), str(a)]).output


@pytest.mark.parametrize("content", ["", "[]", "{}"])
def test_what_is_no_result_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.json"
    path.write_text(content)
    with pytest.raises(Usage, match="no result of nlpu bench") as raised:
        results.read(path)
    assert Path(__file__).name in said(raised.value)  # where this code asked for it, and no more
    assert said(raised.value).count(".py:") == 1
    with pytest.raises(Usage, match="no result of nlpu bench"):
        results.read(tmp_path / "absent.json")


def test_a_result_without_a_picture_says_so(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from nlpu.runtime.bench.plots import draw  # needs matplotlib

    with pytest.raises(Usage, match="no picture"):
        draw({"bench": "compare"}, tmp_path / "a.png")
    with pytest.raises(Usage, match="another --output"):
        results.deliver("x", {}, print, as_json=True, output=tmp_path / "no" / "a.json")


def test_plain_fractions_are_compared_and_both_ways_alike() -> None:
    a, b = {"right": 1.0, "share": 0.5}, {"right": 0.0, "share": 0.51}
    for one, other in ((a, b), (b, a)):
        found = compare.compare(one, other)
        assert [change["name"] for change in found["changes"]] == ["right"]
        assert found["within_noise"] == 1
