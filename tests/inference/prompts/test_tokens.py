from __future__ import annotations

import json
import sysconfig
import unicodedata
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from inference.models.table import MODELS
from inference.prompts.tokens import MAX_REMEMBERED, TEMPLATE_TOKENS, TokenCounter, _Costs, token_bound

KLEIN = MODELS["klein-4b"]

# Qwen's way to cut text into pieces, as published with the Qwen2 and Qwen3 tokenizers.
QWEN_PIECES = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}"
    r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)

BOTTLE = {
    "scene": "studio still life of a skincare bottle on a stone plinth",
    "subjects": [
        {
            "type": "bottle",
            "description": "frosted bottle, body in color #2F6F62 deep green, cap in color #E8D9B5 pale sand",
            "position": "centre, lower third",
            "color_match": "exact",
        },
        {"type": "label", "description": 'white label reading "NORD" in bold geometric sans-serif'},
    ],
    "references": ["the product is exactly the one in image 1: keep its shape, colors and label"],
    "style": "commercial product photograph",
    "color_palette": ["#2F6F62", "#E8D9B5", "#1A1A1A", "#AABBCC"],
    "lighting": "large softbox from upper left, weak fill from right, neutral white balance",
    "background": "seamless warm grey",
    "camera": {"angle": "eye level", "lens-mm": 100, "f-number": "f/8", "ISO": 100},
}
PROMPTS = [
    json.dumps(BOTTLE, ensure_ascii=False, separators=(",", ":")),
    "Boho paisley wrap maxi dress with flutter sleeves, tiered ruffle hem and waist tie, swaying lightly.",
    "Woven rattan crossbody bag, vegan-leather trim, bokeh, azulejo tiles, bougainvillea, terracotta plinth.",
    "A 3/4 view at 100 mm, f/2.8, ISO 1600, 1024x1024, SKU 00482-XK91, EUR 1.299,95 (incl. 19% VAT)!",
    "#FFFFFF #1a2b3c color #AABBCC; hex #0F0F0F, #DEADBE, #C0FFEE",
    "Kühle Straße in Zürich, Flügeltür, Weißbrot, süße Grüße; une théière émaillée à côté du café crème",
    "東京の夜景を背景にした化粧水のボトル、柔らかい光。白い陶器的花瓶放在木桌上，柔和的晨光。",
    "Стеклянная бутылка на каменном постаменте. زجاجة عطر على الرخام. 향수 병, 대리석 위에",
    "✨ Summer sale 👗👜 50% off 🎉 café ☕️ 👩🏽‍💻 e\u0301 \ufb2c",
    "STRICTLY LIMITED EDITION. iPhone, McDonald's, eBay, LED/OLED, kWh, dwtDctSvd, Szczebrzeszyn",
    "the cat sat on the mat and it was a very good day for all of us in the town by the sea",
    "   spaces \t tabs \n\n newlines ",
    '"}],"":{[]}"\\"quoted\\" text\\"',
    "",
]


def training_text() -> Iterator[str]:
    """Python's own library, and compact JSON, of which every large vocabulary has seen much."""
    for file in sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py")):
        yield file.read_text("utf-8", errors="replace")
    words = ["scene", "subjects", "description", "color", "a", "b", "name", "value", "x y z"]
    for i in range(2000):
        pair = {
            words[i % 9]: [words[i % 7], words[i % 5]],
            "type": words[i % 4],
            "of": [{"id": str(i)}, {"n": {}}],
        }
        yield json.dumps([pair], separators=(",", ":"))


@pytest.fixture(scope="module")
def bpe() -> Any:
    """A byte-level BPE that cuts as Qwen's does, with a vocabulary five times smaller."""
    from tokenizers import Regex, Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.NFC()
    split = pre_tokenizers.Split(Regex(QWEN_PIECES), "isolated")
    bytes_ = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([split, bytes_])
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=30_000, initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(training_text(), trainer)
    return tokenizer


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda text: text[:16])
def test_the_bound_is_not_below_a_real_tokenizer(bpe: Any, prompt: str) -> None:
    assert token_bound(prompt) >= len(bpe.encode(prompt).ids)


@pytest.mark.parametrize("prompt", PROMPTS, ids=lambda text: text[:16])
def test_the_bound_is_never_above_the_bytes(prompt: str) -> None:
    assert token_bound(prompt) <= len(unicodedata.normalize("NFC", prompt).encode())


def test_what_is_counted_by_bytes_holds_for_every_vocabulary() -> None:
    for text in ("0123456789", "東京", "STRICTLY", "?!%&", "\t\n ", "ü", "👗"):
        assert token_bound(text) == len(text.encode()), text


def test_a_typical_json_prompt_fits_and_is_not_over_counted(bpe: Any) -> None:
    prompt = PROMPTS[0]
    assert 700 < len(prompt) < 1000
    assert token_bound(prompt) < 1.5 * len(bpe.encode(prompt).ids)
    assert TokenCounter().count(prompt) < 400


def test_composed_and_decomposed_text_count_alike() -> None:
    assert token_bound("cafe\u0301") == token_bound("caf\u00e9")


def test_counting_adds_the_chat_template_and_remembers() -> None:
    asked = []
    counter = TokenCounter(lambda text: asked.append(text) or len(text))  # type: ignore[func-returns-value]
    assert [counter.count("abc"), counter.count("abc"), counter.count("a")] == [3, 3, 1]
    assert asked == ["", "abc", "a"]
    assert TokenCounter().count("abc") == token_bound("abc") + TEMPLATE_TOKENS


def test_memory_of_costs_does_not_grow_with_a_catalog() -> None:
    costs = _Costs(len)
    for i in range(MAX_REMEMBERED + 10):
        assert costs[str(i)] == len(str(i))
    assert len(costs) == 10


@pytest.fixture(scope="module")
def tiny_tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A klein-shaped checkpoint folder with nothing but its tokenizer."""
    from transformers import AutoTokenizer

    from inference.local.tiny import _qwen_tokenizer

    folder = tmp_path_factory.mktemp("klein")
    _qwen_tokenizer().save_pretrained(folder / "tokenizer")
    # The class cuts text in Qwen's way whatever its file says; saved again, the file says so too.
    AutoTokenizer.from_pretrained(folder / "tokenizer").save_pretrained(folder / "tokenizer")
    return folder


def pipeline_count(folder: Path, prompt: str) -> int:
    """As Flux2KleinPipeline counts, before it pads and cuts."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder / "tokenizer")
    message = [{"role": "user", "content": prompt}]
    text = tokenizer.apply_chat_template(message, tokenize=False, add_generation_prompt=True, enable_thinking=False)
    return len(tokenizer(text)["input_ids"])


def test_a_local_folder_counts_exactly_as_its_pipeline(tiny_tokenizer: Path) -> None:
    counter = TokenCounter.for_model(replace(KLEIN, repository=str(tiny_tokenizer)))
    assert counter.is_exact
    for prompt in PROMPTS:
        assert counter.count(prompt) == pipeline_count(tiny_tokenizer, prompt), prompt


def test_a_folder_without_a_template_gets_qwens(tiny_tokenizer: Path, tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    own = (tiny_tokenizer / "tokenizer" / "tokenizer.json").read_bytes()
    (tmp_path / "tokenizer" / "tokenizer.json").write_bytes(own)
    counter = TokenCounter.for_model(replace(KLEIN, repository=str(tmp_path)))
    assert counter.count("a cup") == pipeline_count(tiny_tokenizer, "a cup")
    (tmp_path / "tokenizer" / "chat_template.jinja").write_text("{% broken")
    assert TokenCounter.for_model(replace(KLEIN, repository=str(tmp_path))).count("a cup") == counter.count("a cup")


def test_a_broken_tokenizer_leaves_the_estimate(tmp_path: Path) -> None:
    (tmp_path / "tokenizer").mkdir()
    (tmp_path / "tokenizer" / "tokenizer.json").write_text("{")
    assert not TokenCounter.for_model(replace(KLEIN, repository=str(tmp_path))).is_exact


@pytest.mark.parametrize("variable", ["HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"])
def test_the_tokenizer_is_found_in_the_hub_cache(
    tiny_tokenizer: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    below = {"HF_HUB_CACHE": "", "HF_HOME": "hub", "XDG_CACHE_HOME": "huggingface/hub"}[variable]
    assert not TokenCounter.for_model(KLEIN).is_exact
    snapshot = tmp_path / below / "models--black-forest-labs--FLUX.2-klein-4B" / "snapshots" / KLEIN.revision
    snapshot.parent.mkdir(parents=True)
    snapshot.symlink_to(tiny_tokenizer)
    assert TokenCounter.for_model(KLEIN).is_exact


@pytest.mark.parametrize("name", ["tiny", "proof", "bfl/pro"])
def test_models_without_a_tokenizer_here_are_estimated(name: str) -> None:
    assert not TokenCounter.for_model(MODELS[name]).is_exact
