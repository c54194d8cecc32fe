"""The letters that a prompt asks for, as a model reads it."""

from __future__ import annotations

from typing import Any

import pytest

from inference.models.table import MODELS
from inference.prompts.asked_letters import letters_asked
from inference.prompts.compiler import ModelCompiler, Style


@pytest.mark.parametrize("style", ["json", "prose"])
@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ({"scene": "a mug on a table"}, []),
        ({"scene": "a mug", "text": [{"content": "Good\n Morning", "font": "serif"}]}, ["Good Morning"]),
        ({"scene": "a mug", "text": [{"content": "A1"}, {"content": "zwei"}, {"content": "A1"}]}, ["A1", "zwei"]),
        ({"scene": 'a label reading "NORD" in bold, and “Süd”.'}, ["NORD", "Süd"]),
        (
            {"scene": "auf dem Schild „Guten Morgen“, à côté «Bonjour», 看板「おはよう」"},
            ["Guten Morgen", "Bonjour", "おはよう"],
        ),
        ({"subjects": [{"description": 'bottle (label "N° 5")'}], "scene": "a shelf"}, ["N° 5"]),
        ({"scene": 'a 12" pan beside a 14" pan, each 2" high'}, []),
        ({"scene": "the photographer's table in a '70s kitchen, 'plain'"}, []),
        ({"scene": 'a sign that says "?!"'}, []),
        ({"scene": f'a page that says "{"word " * 60}"'}, []),
    ],
)
def test_text_and_what_stands_in_quotes(style: Style, prompt: dict[str, Any], asked: list[str]) -> None:
    assert sorted(letters_asked(ModelCompiler(MODELS["klein-4b"], style).compile(prompt, []))) == sorted(asked)


def test_what_describes_letters_is_none_of_them() -> None:
    prompt = {"scene": "a mug", "text": [{"content": "NORD", "font": 'like "Futura"', "position": 'under the "rim"'}]}
    assert letters_asked(ModelCompiler(MODELS["klein-4b"]).compile(prompt, [])) == ("NORD",)


@pytest.mark.parametrize("prompt", ["", "[]", "3", '"a text"', '{"scene": 1, "text": []}'])
def test_any_text_can_be_a_prompt(prompt: str) -> None:
    assert set(letters_asked(prompt)) <= {"a text"}
