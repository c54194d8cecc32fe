from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from catalogs.campaigns.templates import PromptTemplate
from catalogs.errors import CampaignError
from catalogs.requests import PromptCompiler, Reference, RenderRequest
from inference.models.table import MODELS
from inference.prompts.compiler import ModelCompiler
from inference.prompts.reference_clauses import reference_clauses
from inference.prompts.structured import StructuredPrompt
from inference.prompts.tokens import TokenCounter

KLEIN = MODELS["klein-4b"]
FULL: dict[str, Any] = {
    "camera": {"ISO": 100, "angle": "eye level", "lens-mm": 85, "f-number": "f/8", "depth_of_field": "deep"},
    "effects": ["fine grain"],
    "composition": "centred",
    "background": "seamless warm grey",
    "mood": "calm",
    "lighting": "large softbox from upper left",
    "color_palette": ["pale sand #e8d9b5"],
    "style": "commercial product photograph",
    "text": [{"content": "NORD", "font": "bold sans-serif", "color": "#1a1a1a", "position": "on the label"}],
    "subjects": [{"position": "centre", "type": "bottle", "description": "glass bottle, body in color #2F6F62 green"}],
    "scene": "skincare bottle on a stone plinth",
}


def reference(role: str) -> Reference:
    return Reference(f"/photos/{role}.png", "0" * 64, role, 800, 600)


def compiled(prompt: dict[str, Any], *roles: str, style: Any = "json") -> str:
    return ModelCompiler(KLEIN, style).compile(prompt, [reference(role) for role in roles])


def told(prompt: dict[str, Any], *roles: str) -> dict[str, Any]:
    answer = json.loads(compiled(prompt, *roles))
    assert isinstance(answer, dict)
    return answer


def test_json_is_compact_in_importance_order_and_utf8() -> None:
    text = compiled({"mood": "", "scene": "Café à Paris", "subjects": [{"type": None, "description": "cup"}]})
    assert text == '{"scene":"Café à Paris","subjects":[{"description":"cup"}]}'


def test_keys_stand_in_the_order_of_the_model_whatever_the_file_says() -> None:
    answer = told(FULL, "hero")
    assert list(answer) == [
        *("scene", "subjects", "references", "text", "style", "color_palette", "lighting", "mood"),
        *("background", "composition", "camera", "effects"),
    ]
    assert list(answer["subjects"][0]) == ["type", "description", "position"]
    assert list(answer["camera"]) == ["angle", "depth_of_field", "lens-mm", "f-number", "ISO"]


def test_every_field_of_the_model_reaches_the_text() -> None:
    assert set(told(FULL)) == set(StructuredPrompt.model_fields)


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        ("cap in color #e8d9b5 sand", "cap in color #E8D9B5 sand"),
        ("cap #e8d9b5", "cap color #E8D9B5"),
        ("cap in hex #e8d9b5", "cap in hex #E8D9B5"),
        ("cap in colour #e8d9b5", "cap in color #E8D9B5"),
        ("hex code #e8d9b5 and #112233", "hex code #E8D9B5 and color #112233"),
        ("deep green (#2f6f62)", "deep green (color #2F6F62)"),
        ("bottle #123, #1234567 and #abcdefg", "bottle #123, #1234567 and #abcdefg"),
    ],
)
def test_a_hex_is_signalled(written: str, sent: str) -> None:
    assert told({"subjects": [{"description": written}]})["subjects"][0]["description"] == sent


def test_the_palette_repeats_every_hex_once_after_the_given_ones() -> None:
    prompt = {
        "lighting": "rim light in color #0000ff",
        "subjects": [
            {"description": "cap in color #aa0000, body in color #00bb00", "color_palette": ["#cc00cc"]},
            {"description": "lid in color #aa0000"},
        ],
        "text": [{"content": "#ABCDEF", "color": "#1a1a1a"}],
        "color_palette": ["sand #00bb00", "#123456", "#123456"],
    }
    answer = told(prompt)
    assert answer["color_palette"] == ["sand #00BB00", "#123456", "#AA0000", "#CC00CC", "#1A1A1A", "#0000FF"]
    assert answer["text"] == [{"content": "#ABCDEF", "color": "#1A1A1A"}]


def test_a_prompt_without_hexes_gets_no_palette() -> None:
    assert "color_palette" not in told({"scene": "a beach"})


def test_references_get_a_clause_by_role_after_the_subjects() -> None:
    answer = told({"scene": "x", "subjects": [{"type": "cup"}]}, "hero", "logo", "shot", "style", "back", "")
    assert list(answer) == ["scene", "subjects", "references"]
    hero, logo, shot, style, back, unnamed = answer["references"]
    expected = "the product is exactly the one in image 1: keep its shape, colors, label and proportions"
    assert hero == expected
    assert "logo is exactly the one in image 2" in logo
    assert shot.startswith("image 3 is another picture of this scene: keep its pose, light")
    assert "style of image 4" in style
    assert back == "image 5 shows the product too (back): keep what it shows"
    assert "image 6" in unnamed


@pytest.mark.parametrize(
    ("scene", "left"),
    [
        ("the bottle of image 1 with the logo of image 2", []),
        ("the bottle of Image 1: whole", [2]),
        ("blend images 1 and 2", []),
        ("images 1, 2", []),
        ("an image 16:9 wide, an image 4k fine", [1, 2]),
        ("image 1 and 2 cups", [2]),
    ],
)
def test_a_reference_the_prompt_speaks_of_gets_no_clause(scene: str, left: list[int]) -> None:
    clauses = told({"scene": scene}, "hero", "logo").get("references", [])
    roles = [reference("hero"), reference("logo")]
    assert clauses == reference_clauses(roles, {1, 2} - set(left))


@pytest.mark.parametrize(
    ("prompt", "roles", "problem"),
    [
        (
            {"scene": "as image 3"},
            ["hero", "logo"],
            "the prompt speaks of image 3, but the shot has 2 references",
        ),
        ({"scene": "as image 2"}, ["hero"], "the prompt speaks of image 2, but the shot has 1 reference"),
        (
            {"effects": ["as image 1"], "scene": "x"},
            [],
            "the prompt speaks of image 1, but the shot has no references",
        ),
        ({"scene": "as image 0"}, ["hero"], "the prompt speaks of image 0, but the shot has 1 reference"),
        (
            {"scene": " ", "subjects": [{"type": ""}]},
            [],
            "the prompt is empty: neither scene nor subjects say anything",
        ),
        ({"scene": "x", "moood": "y"}, [], "moood: unknown key 'moood'; did you mean 'mood'?"),
        ({"scene": ["x"]}, [], "scene: must be text (found [x]); write one text in quotes"),
    ],
)
def test_what_cannot_be_compiled(prompt: dict[str, Any], roles: list[str], problem: str) -> None:
    with pytest.raises(ValueError) as caught:  # noqa: PT011 the whole text is compared
        compiled(prompt, *roles)
    assert str(caught.value) == problem


def test_numbers_that_are_none_are_refused() -> None:
    with pytest.raises(CampaignError, match=r"camera.lens-mm: must be a finite number"):
        validate({"scene": "x", "camera": {"lens-mm": float("nan")}})
    compiler = ModelCompiler(KLEIN)
    compiler.compile({"scene": "x", "camera": {"lens-mm": 85.0}}, [])
    with pytest.raises(ValueError, match="not JSON compliant"):
        compiler.compile({"scene": "x", "camera": {"lens-mm": float("nan")}}, [])


def test_white_space_and_negative_words_are_left_to_the_author() -> None:
    assert told({"scene": "one\n  two "})["scene"] == "one two"
    assert told({"scene": "a street without people, no cars"})["scene"] == "a street without people, no cars"


def test_prose_speaks_in_kleins_order() -> None:
    assert compiled(FULL, "hero", style="prose") == (
        "Glass bottle, body in color #2F6F62 green, centre. "
        "The product is exactly the one in image 1: keep its shape, colors, label and proportions. "
        'The text "NORD", in bold sans-serif, in color #1A1A1A, on the label. '
        "Skincare bottle on a stone plinth. Background: seamless warm grey. Composition: centred. "
        "Camera: eye level, 85 mm lens, f/8, ISO 100, deep depth of field. Effects: fine grain. "
        "Color palette: pale sand #E8D9B5, #2F6F62, #1A1A1A. Lighting: large softbox from upper left. "
        "Style: commercial product photograph. Mood: calm."
    )


@pytest.mark.parametrize(
    ("subject", "sentence"),
    [
        ({"type": "mug"}, "Mug."),
        ({"id": "left mug", "description": "white mug."}, "Left mug: white mug."),
        ({"description": "Is it a mug?"}, "Is it a mug?"),
        (
            {"description": "mug", "action": "steaming", "pose": "upright", "color_match": "exact"},
            "Mug, steaming, upright, exact color match.",
        ),
        (
            {"description": "mug", "color_palette": ["red", "white"], "detail_preservation": "high"},
            "Mug, colors red and white, high detail preservation.",
        ),
    ],
)
def test_a_subject_as_a_sentence(subject: dict[str, Any], sentence: str) -> None:
    assert compiled({"subjects": [subject]}, style="prose") == sentence


def validate(prompt: Any) -> None:
    ModelCompiler(KLEIN).validate(prompt, "campaign.yaml", "shots.hero.prompt")


def test_validate_looks_at_keys_and_leaves_templates_alone() -> None:
    validate(FULL)
    validate({"scene": "{{ product.title }} by image 9", "camera": {"lens-mm": "{{ product.lens }}"}})


@pytest.mark.parametrize(
    ("prompt", "problem"),
    [
        ({"scene": "x", "subjcts": []}, ".subjcts: unknown key 'subjcts'; did you mean 'subjects'?"),
        (
            {"subjects": [{"type": "a"}, {"descripton": "b"}]},
            ".subjects.1.descripton: unknown key 'descripton'; did you mean 'description'?",
        ),
        (
            {"scene": "x", "camera": {"lens_mm": 85}},
            ".camera.lens_mm: unknown key 'lens_mm'; did you mean 'lens-mm' or 'lens'?",
        ),
        (
            {"scene": "x", "text": [{"content": "a", "colour": "b"}]},
            ".colour: unknown key 'colour'; did you mean 'color'?",
        ),
        (
            {"scene": "x", "camera": {"zzz": 1}},
            "use one of angle, distance, lens, focus, depth_of_field, lens-mm,",
        ),
        (
            {"scene": "x", "mood": True},
            ".mood: must be text (found true); YAML reads yes, no, on and off as true and false",
        ),
        ({"scene": "x", "effects": "grain"}, ".effects: must be a list (found grain); write [grain]"),
        (
            {"scene": "x", "camera": "low"},
            ".camera: must be a section of keys (found low); write its keys below it: angle: ...",
        ),
        ({"scene": "x", "text": [{"font": "bold"}]}, ".text.0.content: is missing; add `content:`"),
        ({"scene": "x", "camera": {"ISO": [1]}}, ".camera.ISO: "),
        ({"mood": "calm"}, ": has neither scene nor subjects; say what the picture shows"),
    ],
)
def test_a_wrong_key_is_named_with_the_nearest_right_one(prompt: Any, problem: str) -> None:
    with pytest.raises(CampaignError) as caught:
        validate(prompt)
    line = str(caught.value)
    assert line.startswith("campaign.yaml: shots.hero.prompt")
    assert problem in line
    assert "\n" not in line


def test_a_template_of_the_plan_compiles() -> None:
    prompt = {
        "scene": "{{ product.title }}",
        "subjects": [{"description": "{{ product.colors[0] | bind('cap') }}, as in {{ image('product.hero') }}"}],
    }
    row = {"title": "Nord", "colors": [{"name": "sand", "hex": "#e8d9b5"}]}
    expanded = PromptTemplate(prompt, "c.yaml", "shots.a.prompt").expand(row, {}, ["product.hero"])
    answer = told(expanded, "hero")
    assert answer["subjects"] == [{"description": "cap in color #E8D9B5 sand, as in image 1"}]
    assert answer["color_palette"] == ["#E8D9B5"]
    assert "references" not in answer


REQUEST = RenderRequest(
    prompt='{"scene":"a cup"}',
    references=(),
    width=1024,
    height=1024,
    seed=1,
    take=0,
    steps=4,
    guidance=None,
    model="klein-4b",
    model_revision="r",
    label="acme/cup/hero",
)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({}, None),
        ({"references": (reference("hero"),) * 5}, "has 5 references, klein-4b takes at most 4"),
        ({"width": 1000}, "size 1000x1024: both sides must be multiples of 16; use 992x1024"),
        ({"steps": 20}, "steps 20: klein-4b takes 4"),
        ({"guidance": 4.0}, "guidance 4: klein-4b takes none"),
        (
            {"prompt": "zq " * 400},
            "prompt may have up to 813 tokens, klein-4b reads 512; shorten shots.hero.prompt or set",
        ),
        ({"prompt": "zq " * 400, "label": ""}, "shorten the prompt or set prompt_style: prose"),
    ],
)
def test_refuse_says_what_to_change(change: dict[str, Any], says: str | None) -> None:
    problem = ModelCompiler(KLEIN).refuse(replace(REQUEST, **change))
    assert problem is None if says is None else says in (problem or "")


def test_the_limit_is_the_last_token_that_fits() -> None:
    counted = ModelCompiler(KLEIN, counter=TokenCounter(len))
    assert counted.refuse(replace(REQUEST, prompt="x" * 512)) is None
    problem = counted.refuse(replace(REQUEST, prompt="x" * 513))
    assert problem == (
        "prompt has 513 tokens, klein-4b reads 512; shorten shots.hero.prompt or set prompt_style: prose"
    )


def test_hosted_models_read_more_and_proofs_anything() -> None:
    long = replace(REQUEST, prompt="zq " * 5000)
    assert ModelCompiler(MODELS["bfl/klein-4b"]).refuse(long) is None
    assert ModelCompiler(MODELS["proof"]).refuse(replace(long, steps=50, guidance=7.0, prompt="x" * 10**6)) is None


def test_a_model_without_the_licence_refuses_all() -> None:
    nine = MODELS["klein-9b"]
    assert "Non-Commercial" in (ModelCompiler(nine).refuse(REQUEST) or "")
    assert ModelCompiler(nine, use="research").refuse(REQUEST) is None


def test_it_is_the_compiler_the_plan_expects() -> None:
    compiler: PromptCompiler = ModelCompiler(KLEIN)
    assert compiler.compile({"scene": "a"}, []) == '{"scene":"a"}'
