from __future__ import annotations

import pytest

from catalogs.vocabulary.languages import READ_TEXTS, LanguageCount

TEXTS = {
    "en": "Canvas backpack with leather straps, made for the city and for weekends.",
    "de": "Rucksack aus Segeltuch mit Lederriemen, für die Stadt und das Wochenende.",
    "fr": "Sac à dos en toile avec des sangles en cuir, pour la ville et le week-end.",
    "es": "Mochila de lona con correas de cuero, para la ciudad y los fines de semana.",
    "it": "Zaino in tela con cinghie in pelle, per la città e il fine settimana.",
    "nl": "Rugzak van canvas met leren riemen, voor de stad en het weekend.",
}
TITLES = {
    "en": ("Mug", "Water bottle 0.5 l", "Desk lamp"),
    "de": ("Becher", "Trinkflasche Alpin 0,5l", "Schreibtischlampe"),
    "fr": ("Tasse", "Chaussures noires", "Lampe de bureau"),
    "es": ("Taza", "Zapatillas blancas", "Vestido"),
    "it": ("Tazza", "Scarpe nere", "Vestito"),
    "nl": ("Mok", "Rugzak blauw", "Jurk"),
}


def language_of(*texts: str) -> str:
    count = LanguageCount()
    for text in texts:
        count.add(text)
    return count.language


@pytest.mark.parametrize("language", TEXTS)
def test_a_sentence_tells(language: str) -> None:
    assert language_of(TEXTS[language]) == language


@pytest.mark.parametrize("language", TITLES)
def test_titles_alone_tell(language: str) -> None:
    assert language_of(*TITLES[language]) == language


@pytest.mark.parametrize("text", ["", "XK-200", "Футболка", "サンダル", "1 2 3"])
def test_what_no_word_tells_is_taken_for_english(text: str) -> None:
    assert language_of(text) == "en"


def test_a_few_rows_of_another_language_do_not_turn_it() -> None:
    assert language_of(*[TEXTS["de"]] * 3, TEXTS["en"]) == "de"
    assert language_of(*[TEXTS["nl"]] * READ_TEXTS, *[TEXTS["en"]] * (2 * READ_TEXTS)) == "nl"
