"""Mistakes that people make in a campaign file, and what they are told: the line or the key, and what to do."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from catalogs.campaigns.campaign import load_campaign
from catalogs.errors import CampaignError
from tests.flows.commands import run
from tests.flows.projects import Project

BASE = """\
name: y
model: proof
catalogs: {brands: brands.parquet, products: products.parquet}
output: out
shots:
  packshot:
    references: [product.hero]
    prompt: {scene: "photo of {{ product.title }}"}
channels: [tiktok-square]
"""
PROMPT = '    prompt: {scene: "photo of {{ product.title }}"}\n'
CHANNELS = "channels: [tiktok-square]\n"
SCENE = "    prompt:\n      scene: "
TRUTHS = "YAML reads yes, no, on and off as true and false"


def told(old: str, new: str, *words: str) -> tuple[str, list[str]]:
    """BASE with one mistake in it, and words of the line."""
    assert old in BASE
    return BASE.replace(old, new, 1), list(words)


def prompt(text: str, *words: str) -> tuple[str, list[str]]:
    return told(PROMPT, text, *words)


def channel(entry: str, *words: str) -> tuple[str, list[str]]:
    return told(CHANNELS, f"channels: [{entry}]\n", *words)


def end(text: str, *words: str) -> tuple[str, list[str]]:
    return BASE + text + "\n", list(words)


NO_YAML = [
    prompt(SCENE + "{{ product.title }}\n", "line 9, column 15", "{{ ... }} is not in quotes", "put the whole text in"),
    prompt("    prompt: {scene: {{ product.title }} on a table}\n", "line 8", "{{ ... }} is not in quotes"),
    prompt("    prompt: {scene: photo of {{ product.title }}}\n", "line 8", "{{ ... }} is not in quotes"),
    prompt("    prompt: {scene: {{ product.colors[0] }}}\n", "line 8", "{{ ... }} is not in quotes"),
    prompt(SCENE + "{% if product.price %}dear{% endif %}\n", "line 9", "{% ... %} is not in quotes"),
    told("    references", "\treferences", "line 7, column 1", "a tab", "use spaces"),
    told("    references", "    \treferences", "line 7, column 5", "a tab", "use spaces"),
    prompt(SCENE + "x\n\tmood: y\n", "line 10, column 1", "a tab", "use spaces"),
    prompt(SCENE + "photo: of a shirt\n", "line 9, column 19", "a colon and a blank", "put the whole text in quotes"),
    told("proof\n", "proof\n  seed: 3\n", "line 3", "indented below a line that has its value", "column of the other"),
    prompt("    prompt: {scene: x, color_palette: [#112233]}\n", "line 8, column 40", "# begins", 'quotes: "#112233"'),
    channel("product.detail?", "line 9, column 26", "put the whole text in quotes"),
    channel("\n  etsy,\n  product.detail?\n", "line 11, column 17", "put the whole text in quotes"),
    told("[tiktok-square]", "[tiktok-square", "line 9, column 11", "the [ of line 9 is not closed", "add ]"),
    told("[tiktok-square]", "[tiktok-square\n\n# more\n\n", "line 9, column 11", "the [ of line 9 is not closed"),
    told("[product.hero]", "[product.hero", "line 7, column 17", "the [ of line 7 is not closed"),
    prompt("    prompt: {scene: x\n", "line 8, column 13", "the { of line 8 is not closed", "add }"),
    prompt(SCENE + '"photo of\n', "line 9, column 14", "the quote that begins here is not closed"),
    told("model: proof", "model proof", "line 2, column 1", "model proof has no colon", "key: value"),
    told("model: proof", "model:proof", "line 2, column 1", "model:proof has no colon with a blank after it"),
    prompt(SCENE + "%done\n", "line 9, column 14", "begins with % is not in quotes"),
    prompt(SCENE + "*** sale\n", "line 9, column 14", "begins with * or & is not in quotes"),
    prompt(SCENE + '"12" monitor"\n', "line 9, column 19", "more follows where a text ended", "'...'"),
    prompt(SCENE + '"C:\\photos"\n', "line 9", "for a backslash"),
    told("    references", "   references", "line 8, column 5", "its section, which begins in line 7", "same column"),
    channel("*none", "line 9, column 12", "undefined alias 'none'", "further up"),
    (BASE + "---\n" + BASE, ["line 10, column 1", "a second document", "take out the line ---"]),
    end("x" * 3000 + ": 1", "line 10, column 1", "longer than 1,000 characters"),
]
NO_TEXT_KEYS = [
    end("on: yes", "line 10, column 1, on: ", TRUTHS, 'write "on" in quotes', "no key of this name"),
    told("packshot:", "yes:", "line 6, column 3, shots.yes: ", TRUTHS, 'write "yes" in quotes'),
    told("packshot:", "no:", "shots.no: ", TRUTHS, 'write "no" in quotes'),
    told("packshot:", "1:", "line 6, column 3, shots.1: ", "reads 1 as a whole number", 'write "1" in quotes'),
    told("packshot:", "2026-12-24:", "shots.2026-12-24: ", "as a date", 'write "2026-12-24" in quotes'),
    channel("{base: etsy, NO: x}", "line 9, column 25, channels.0.NO: ", TRUTHS, 'write "NO" in quotes'),
    channel("{base: etsy, name: x, territory: NO}", "channels.0.territory: must be text (found false)", TRUTHS),
    channel("{base: etsy, name: no}", "channels.0.name: must be text (found false)", TRUTHS),
    channel("{base: etsy, name: x, format: no}", "channels.0.format: ", TRUTHS, "use one of jpeg, png, webp"),
    told("name: y", "name: yes", "name: must be text (found true)", TRUTHS, "put the word in quotes"),
    prompt(SCENE + "yes\n", "shots.packshot.prompt.scene: must be text (found true)", TRUTHS),
]
NO_VALUES = [
    told("{brands: brands.parquet, products: products.parquet}", "x", "catalogs: must be a section of keys (found x)"),
    told("{brands: brands.parquet, products: products.parquet}", "x", "keys below it: brands: ..., products: ..."),
    told("proof", "[proof]", "model: write a name of `packshot models`, or a section with `name:` (found [proof])"),
    told("proof", "{name: proof, lora: {path: x}}", "model.lora: must be a list (found {path: x})", "with '- '"),
    told("proof", "{name: proof, lora: [x]}", "model.lora.0: must be a section of keys", "below it: path: ..."),
    told("proof", "{name: proof, lora: [{scal: 1}]}", "model.lora.0.scal: unknown key 'scal'", "'scale'"),
    told(
        "[product.hero]", "product.hero", "packshot.references: must be a list (found product.hero)", "[product.hero]"
    ),
    told("[product.hero]", '"product.detail?"', "write ['product.detail?']"),
    told("[tiktok-square]", "tiktok-square", "channels: must be a list (found tiktok-square); write [tiktok-square]"),
    told("[tiktok-square]", "{tiktok-square: yes}", "channels: must be a list (found {tiktok-square: true})", "'- '"),
    told("[tiktok-square]", "", "channels: is empty; write its value"),
    channel("5", "channels.0: must be text (found 5); put it in quotes"),
    channel("[etsy]", "channels.0: must be text (found [etsy])"),
    channel("{base: etsy, name: x, width: 100px}", "channels.0.width: must be a whole number (found 100px)", "digits"),
    channel("{base: etsy, name: x, max_bytes: lots}", "channels.0.max_bytes: write bytes as a number, or as 400kB"),
    channel("{base: etsy, name: x, territory: Germany}", "two upper-case letters, for example DE (found Germany)"),
    channel("{base: etsy, name: x, text: maybe}", "channels.0.text: must be true or false (found maybe)"),
    told("  packshot:\n", "  - packshot:\n  ", "shots: must be a section of names (found [{packs", "without dashes"),
    told("  packshot:\n", "  - packshot:\n  ", "write each by its name", "`shots: {NAME: {prompt: ...}}`"),
    told("  packshot:\n", "  a: b\n  packshot:\n", "shots.a: must be a section of keys (found b)", "prompt: ..."),
    told("    references", "    size: 1024\n    references", "packshot.size: must be text (found 1024); put it in"),
    told("    references", "    size: [1, 2]\n    references", "packshot.size: must be text (found [1, 2])"),
    told("    references", "    steps: 0\n    references", "packshot.steps: is too small (found 0); use 1 or more"),
    told("    references", "    guidance: 31\n    references", "guidance: is too large (found 31); use 30 or less"),
    told("name: y", "name: 2027", "name: must be text (found 2027); put it in quotes"),
    told("name: y", "name: 2027-01-01", "name: must be text (found 2027-01-01); put it in quotes"),
    end("reference_background: white", 'write #RRGGBB in quotes, for example "#FFFFFF" (found white)'),
    end("reference_background: #FFFFFF", "reference_background: is empty", "in quotes if it begins with #"),
    end('variations: "three"', "variations: must be a whole number (found three)"),
    end("seed: true", "seed: must be a whole number (found true); write it in digits"),
    end("variations: yes", "variations: must be a whole number (found true); write it in digits"),
    channel("{base: etsy, name: x, width: true}", "channels.0.width: must be a whole number (found true)", "digits"),
    end("variations: 2.5", "variations: must be a whole number (found 2.5); round it"),
    end("variations: 101", "variations: is too large (found 101); use 100 or less"),
    end("max_reference_megapixels: 0", "is too small (found 0); use more than 0"),
    end("budget: {max_cost: lots}", "budget.max_cost: must be a number (found lots)"),
    end("reproducible: sometimes", "reproducible: must be true or false (found sometimes)"),
    end("use: private", "use: is none of the known words (found private); use one of commercial, research"),
    end("use: " + "x" * 500, "(found " + "x" * 57 + "...)"),
    end("select: price", "select: must be a list (found price); write [price]"),
    end("schedule: soon", "schedule: must be a section of keys (found soon)", "valid_from: ..."),
    end("schedule: {valid_from: [1]}", "schedule.valid_from: is no day (found [1]); write a day as 2026-12-24"),
    end("schedule: {valid_from: 31.12.2026}", "write a day as 2026-12-24", "(found 31.12.2026)"),
    end("schedule: {valid_from: 2026-12-01}", "schedule: valid_from says no time zone; add `time_zone:`"),
    end("schedule: {valid_from: 2026-12-01, valid_to: 2026-01-01, time_zone: UTC}", "valid_to lies before valid_from"),
    prompt("    prompt: a nice photo\n", 'for example `prompt: {scene: "a mug on a table"}` (found a nice photo)'),
    prompt("    prompt: {scene: 42}\n", "prompt.scene: must be text (found 42); put it in quotes"),
    prompt("    prompt: {scene: x, color_palette: [112233]}\n", "color_palette.0: must be text (found 112233)"),
    prompt('    prompt: {scene: x, color_palette: "#112233"}\n', "color_palette: must be a list", "write ['#112233']"),
    prompt("    prompt: {scene: x, subjects: {type: x}}\n", "prompt.subjects: must be a list (found {type: x})"),
    prompt("    prompt: {scene: x, camera: low}\n", "prompt.camera: must be a section of keys (found low)"),
    prompt("    prompt: {scene: x, camera: {ISO: .inf}}\n", "prompt.camera.ISO: must be a finite number (found .inf)"),
]
MISTAKES = [*NO_YAML, *NO_TEXT_KEYS, *NO_VALUES]
# Words of Python and of the libraries that read a campaign.
FOREIGN = re.compile(
    r"instance of|tuple|dictionary|datetime\.|decimal\.|<class|\w\(\) (?:missing|takes|got)|positional argument"
    r"|NoneType|nput should|match pattern"
    r"|<block|<stream|<scalar|mapping values|'str'|object is|and 'int'|\bTrue\b|\bFalse\b|\bNone\b"
)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return Project.of(tmp_path, products=1)


@pytest.mark.parametrize(("text", "words"), MISTAKES)
def test_a_mistake_is_told_where_it_is_and_what_to_do(
    text: str, words: list[str], project: Project, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(project.path).write_text(text, encoding="utf-8")
    assert run(monkeypatch, "check", project.path) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1
    for word in words:
        assert word in said
    assert not FOREIGN.search(said)
    for line in re.findall(r"line (\d+)", said):
        assert text.splitlines()[int(line) - 1].strip()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (BASE.encode("utf-16"), "is not UTF-8 text; save it as UTF-8"),
        (BASE.encode("utf-16-le"), "is UTF-16 text; save it as UTF-8"),
        (BASE.encode("utf-16-be"), "is UTF-16 text; save it as UTF-8"),
        (BASE.encode("utf-32-le"), "save it as UTF-8"),
        (BASE.replace("photo", "ph\u00f6to").encode("latin-1"), "is not UTF-8 text; save it as UTF-8"),
    ],
)
def test_another_encoding_is_told(content: bytes, words: str, project: Project) -> None:
    Path(project.path).write_bytes(content)
    with pytest.raises(CampaignError, match=words):
        load_campaign(project.path)


@pytest.mark.parametrize(
    "text",
    [
        BASE,
        BASE.replace("\n", "\r\n"),
        "\ufeff" + BASE,
        BASE.replace("packshot:", '"no":'),
        BASE.replace("[tiktok-square]", "[\n  tiktok-square, # the square one\n  etsy\n]"),
        BASE.replace(PROMPT, SCENE + "photo of {{ product.title }}, seen from above\n"),
        BASE.replace(PROMPT, SCENE + "|\n        {{ product.title }}: a photo # 1\n"),
        BASE.replace("[product.hero]", "[product.hero, 'product.detail?']"),
        BASE + 'reference_background: "#ffeedd"\n',
    ],
)
def test_what_looks_like_a_mistake_and_is_none_is_read(text: str, project: Project) -> None:
    Path(project.path).write_bytes(text.encode())
    assert load_campaign(project.path).name == "y"
