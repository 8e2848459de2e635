"""An embedder from a model's folder: read as the folder says, kept with the store, or refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from terminal_fixture import Terminal, nlpu

from nlpu.errors import MissingPart, Usage
from nlpu.memory.controller import Memory
from nlpu.memory.store.embedder_folder import Folder
from nlpu.memory.store.embedders import MiniLM, open_embedder

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
__all__ = ["nlpu"]
WORDS = ["die", "der", "mühle", "bienen", "bees", "wer", "baute", ":", "query", "passage"]
TEXTS = ["bees", "die bienen", "wer baute die mühle"]


def folder(where: Path, seed: int = 0, pooling: str = "mean_tokens", **files: Any) -> Path:
    """A tiny model of many languages, as sentence-transformers would write it."""
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    marks = {"<s>": 0, "<pad>": 1, "</s>": 2, "<unk>": 3}
    words = marks | {word: number for number, word in enumerate(WORDS, 4)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.RobertaProcessing(("</s>", 2), ("<s>", 0))
    torch.manual_seed(seed)
    config = transformers.XLMRobertaConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=66,
        initializer_range=0.5,
    )
    transformers.XLMRobertaModel(config).save_pretrained(where)
    tokenizer.save(str(where / "tokenizer.json"))
    modules = [
        {"path": path, "type": f"sentence_transformers.models.{kind}"}
        for path, kind in [
            ("", "Transformer"),
            ("1_Pooling", "Pooling"),
            ("2_Normalize", "Normalize"),
        ]
    ]
    modes = ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    told: dict[str, Any] = {
        "modules.json": modules,
        "1_Pooling/config.json": {f"pooling_mode_{mode}": mode == pooling for mode in modes},
        "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False},
    }
    for name, content in (told | files).items():
        (where / name).parent.mkdir(exist_ok=True)
        (where / name).write_text(json.dumps(content))
    return where


def test_a_folder_of_minilm_embeds_as_minilm_does() -> None:
    try:
        minilm = MiniLM()
    except (MissingPart, ModuleNotFoundError):
        pytest.skip("no embedder minilm")
    texts = ["Who keeps bees?", "Seven bees live in the garden of my brother. " * 9]
    rows = Folder(minilm._where).embed(texts)
    assert abs(rows - minilm.embed(texts)).max() < 1e-5


@pytest.mark.parametrize("pooling", ["mean_tokens", "cls_token", "lasttoken"])
def test_tokens_become_one_vector_as_the_folder_says(pooling: str, tmp_path: Path) -> None:
    model = Folder(folder(tmp_path, pooling=pooling))
    rows = model.embed(TEXTS)
    net = transformers.AutoModel.from_pretrained(tmp_path)
    for row, text in zip(rows, TEXTS, strict=True):
        ids = model._tokenizer.encode(text).ids
        hidden = net(torch.tensor([ids])).last_hidden_state[0].detach().numpy()
        wanted = {"mean_tokens": hidden.mean(0), "cls_token": hidden[0], "lasttoken": hidden[-1]}
        assert row @ wanted[pooling] / (wanted[pooling] ** 2).sum() ** 0.5 > 1 - 1e-5
    assert model.embed([]).shape[0] == 0 and model.count(TEXTS[1]) == 2 and model.most == 10


def test_what_stands_before_a_question_is_not_before_a_document(tmp_path: Path) -> None:
    prompts = {"prompts": {"query": "query: ", "passage": "passage: "}}
    plain = Folder(folder(tmp_path / "plain"))
    model = Folder(folder(tmp_path / "e5", **{"config_sentence_transformers.json": prompts}))
    assert abs(model.embed_questions(["bees"]) - plain.embed(["query: bees"])).max() < 1e-6
    assert abs(model.embed(["bees"]) - plain.embed(["passage: bees"])).max() < 1e-6
    assert model.most == plain.most - 2


BAD: list[tuple[dict[str, Any], str]] = [
    ({"pooling": "max_tokens"}, "pools by .'max_tokens'"),
    ({"1_Pooling/config.json": {"pooling_mode": "cls"}}, "pools by .*'cls'"),
    ({"modules.json": [{"type": "sentence_transformers.models.Dense"}]}, "module Dense"),
    ({"config.json": {}}, "lacks config.json or tokenizer.json"),
]


@pytest.mark.parametrize(("files", "why"), BAD)
def test_a_folder_that_wants_something_else_is_refused(
    files: dict[str, Any], why: str, tmp_path: Path
) -> None:
    with pytest.raises(Usage, match=f"holds no embedder that can be used here: .*{why}"):
        Folder(folder(tmp_path, **files))


def test_a_folder_without_weights_or_with_damage_is_named(tmp_path: Path) -> None:
    for path in folder(tmp_path).glob("*.safetensors"):
        path.unlink()
    with pytest.raises(Usage, match="holds no embedder"):
        Folder(tmp_path).embed(["bees"])
    (tmp_path / "modules.json").write_text("{")
    with pytest.raises(Usage, match=r"modules\.json cannot be read"):
        Folder(tmp_path)


def test_a_store_keeps_its_folder_and_mixes_no_models(nlpu: Terminal, tmp_path: Path) -> None:
    place = folder(tmp_path / "many")
    (tmp_path / "bienen.md").write_text("die bienen")
    nlpu("memory", "ingest", "bienen.md", "--embedder", "many")
    assert nlpu("memory", "search", "bees").out and nlpu("memory", "check").code == 0
    with Memory(tmp_path / ".nlpu" / "memory") as store:
        assert store.levels.index.chosen == str(place) and "many" in repr(store)
        name = store.levels.index.embedder_name
        assert store.levels.index.follow() == 0
    open_embedder.cache_clear()
    folder(place, seed=1)  # another model in its place
    with Memory(tmp_path / ".nlpu" / "memory") as store:
        assert store.levels.index.embedder_name != name and store.levels.index.follow() == 1
    moved = shutil.move(place, tmp_path / "elsewhere")
    open_embedder.cache_clear()
    gone = nlpu("memory", "search", "bees")
    assert gone.code == 2 and "unknown embedder" in gone.err and "folder of a model" in gone.err
    assert nlpu("memory", "search", "bees", "--embedder", str(moved)).code == 0
    assert nlpu("memory", "ingest", "bienen.md", "--embedder", "nowhere").code == 2


def test_the_folder_of_a_killed_first_ingest_is_kept(tmp_path: Path) -> None:
    store = Memory(tmp_path / "m", embedder=folder(tmp_path / "many"))
    store.write("die bienen")
    store.levels.disk._db.close()  # as a kill would leave it
    store.levels.disk._lock.release()
    with Memory(tmp_path / "m") as store:
        assert store.levels.index.chosen == str(tmp_path / "many")
        assert store.search("bees")
