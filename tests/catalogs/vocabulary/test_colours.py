"""Colour words of six languages, and where such a word is no colour."""

from __future__ import annotations

import re
from importlib.resources import files

import pytest

from catalogs.vocabulary.colour_table import all_colours, colour_names
from catalogs.vocabulary.colours import colours_in, colours_of
from catalogs.vocabulary.folding import LANGUAGES

VALUES: dict[str, dict[str, list[str]]] = {
    "en": {
        "Black": ["black"],
        "gray": ["grey"],
        "dark heather grey": ["dark heather grey"],
        "navy/white": ["navy", "white"],
        "Navy Heather": ["heather navy"],
        "Off-White": ["off white"],
        "rose gold": ["rose gold"],
        "Black & White": ["black", "white"],
        "Red, Blue and Green": ["red", "blue", "green"],
        "matte black": ["matt black"],
        "Burnt Orange": ["burnt orange"],
        "emerald blue": ["emerald blue"],
        "blue-grey": ["blue grey"],
        "ocean blue": ["ocean blue"],
        "white with red stripes": ["white", "red"],
        "Assorted": [],
        "Default Title": [],
        "Multicolor": [],
        "Galaxy": [],
        "Light Blue Cream": ["light blue", "cream"],
        "solid navy": ["navy"],
    },
    "de": {
        "Schwarz-Weiß": ["black", "white"],
        "schwarzweiß": ["black", "white"],
        "rot": ["red"],
        "roter": ["red"],
        "rotes": ["red"],
        "Weisse": ["white"],
        "grün": ["green"],
        "gruen": ["green"],
        "GRÜNES": ["green"],
        "Dunkelblau": ["navy"],
        "dunkelgrünes": ["dark green"],
        "hellgraumeliert": ["light heather grey"],
        "Grau meliert": ["heather grey"],
        "Anthrazit / Rosé": ["charcoal", "rose"],
        "Blau-Grün": ["blue", "green"],
        "schokoladenfarben": ["chocolate"],
        "Weinrot": ["burgundy"],
        "silberfarben": ["silver"],
        "bunt": [],
        "Türkis": ["turquoise"],
        "pastellgelb": ["pastel yellow"],
    },
    "fr": {
        "bleu marine": ["navy"],
        "Rouge / Blanc": ["red", "white"],
        "blanche": ["white"],
        "noires": ["black"],
        "vert foncé": ["dark green"],
        "gris chiné": ["heather grey"],
        "grise": ["grey"],
        "violette": ["purple"],
        "noir mat": ["matt black"],
        "rose poudré": ["blush"],
        "blanc cassé": ["off white"],
        "bleu canard": ["teal"],
        "écru": ["ecru"],
        "dorée": ["gold"],
        "or rose": ["rose gold"],
        "jaune et bleue": ["yellow", "blue"],
        "multicolore": [],
        "vert d'eau": ["sea green"],
        "bordeaux": ["burgundy"],
    },
    "es": {
        "rojo": ["red"],
        "Roja": ["red"],
        "azul marino": ["navy"],
        "rojo y blanco": ["red", "white"],
        "blancas": ["white"],
        "negros": ["black"],
        "verde oscuro": ["dark green"],
        "marrón": ["brown"],
        "marron": ["brown"],
        "gris claro": ["light grey"],
        "rosa palo": ["dusky pink"],
        "morada": ["purple"],
        "blanco roto": ["off white"],
        "dorado": ["gold"],
        "azul cielo": ["sky blue"],
        "amarilla/negra": ["yellow", "black"],
        "surtido": [],
        "beis": ["beige"],
    },
    "it": {
        "rosso": ["red"],
        "rossa": ["red"],
        "neri": ["black"],
        "bianca": ["white"],
        "nero/oro": ["black", "gold"],
        "blu notte": ["midnight blue"],
        "grigio chiaro": ["light grey"],
        "verde bottiglia": ["bottle green"],
        "azzurro": ["sky blue"],
        "marrone scuro": ["dark brown"],
        "bordò": ["burgundy"],
        "giallo e blu": ["yellow", "blue"],
        "viola": ["purple"],
        "argento": ["silver"],
        "tortora": ["taupe"],
        "rosa antico": ["dusky pink"],
        "assortiti": [],
        "panna": [],
        "turchese": ["turquoise"],
    },
    "nl": {
        "rood": ["red"],
        "rode": ["red"],
        "Donkergroen": ["dark green"],
        "lichtblauw/wit": ["light blue", "white"],
        "witte": ["white"],
        "zwarte": ["black"],
        "grijs gemêleerd": ["heather grey"],
        "geel en groen": ["yellow", "green"],
        "oudroze": ["dusky pink"],
        "marineblauw": ["navy"],
        "gele": ["yellow"],
        "bruine": ["brown"],
        "paars": ["purple"],
        "gebroken wit": ["off white"],
        "zilverkleurig": ["silver"],
        "wijnrood": ["burgundy"],
        "donkerpaars": ["dark purple"],
        "diverse": [],
    },
}


@pytest.mark.parametrize(
    ("language", "value", "names"),
    [(language, *case) for language, cases in VALUES.items() for case in cases.items()],
)
def test_a_value_names_its_colours(language: str, value: str, names: list[str]) -> None:
    found = colours_of(value, [language])
    assert [colour.name for colour in found] == names
    for colour in found:
        assert colour.source == "word"
        assert re.fullmatch(r"#[0-9A-F]{6}", colour.hex or "")
        assert 0.6 <= colour.confidence <= 1


@pytest.mark.parametrize(
    ("value", "names"),
    [
        ("Schwarz", ["black"]),
        ("bleu marine", ["navy"]),
        ("rojo", ["red"]),
        ("Donkerblauw", ["navy"]),
        ("marron", ["brown"]),
        ("rosa", ["pink"]),
        ("bianco/nero", ["white", "black"]),
        ("rose", ["rose"]),
    ],
)
def test_a_value_of_any_language_is_known(value: str, names: list[str]) -> None:
    assert [colour.name for colour in colours_of(value)] == names


TEXTS = {
    "Ocean Blue Shirt": ["ocean blue"],
    "Rose Gold Ring": ["rose gold"],
    "Off White Sneakers": ["off white"],
    "Shorts in DUSTY BLUE": ["dusty blue"],
    "Silk Blouse in Rust": ["rust"],
    "Mug - Sage": ["sage"],
    "Cream Sofa": ["cream"],
    "Light Blue Shirt": ["light blue"],
    "Classic White Shirt": ["white"],
    "Tan Leather Belt": ["tan"],
    "Dark navy and light blue men's zipped jacket": ["dark navy", "light blue"],
    "Black and red striped blouse": ["black", "red"],
    "Blackberry Street Tee": [],
    "Green Street Hoodie": [],
    "Hand Cream 50 ml": [],
    "Cherry Blossom Candle": [],
    "Stone Island Jacket": [],
    "Green Tea Mug": [],
    "Blue Light Glasses": [],
    "Orange Juice Squeezer": [],
    "Black Friday Deal": [],
    "Film Noir Poster": [],
    "Rose Print Dress": [],
    "Red Bull Racing Cap": [],
    "A dress. Pair with white sneakers.": [],
    "Wear it with a black blazer": [],
    "Redesigned for Goldsmiths": [],
    "Vanilla candle": [],
}


@pytest.mark.parametrize(("text", "names"), TEXTS.items())
def test_a_text_names_its_colours(text: str, names: list[str]) -> None:
    assert [colour.name for colour in colours_in(text, ["en"])] == names


@pytest.mark.parametrize(
    ("language", "text", "names"),
    [
        ("de", "Rote Lederschuhe mit weißer Sohle", ["red", "white"]),
        ("de", "Dunkelblaues Hemd", ["navy"]),
        ("fr", "Robe rose à fleurs", ["pink"]),
        ("fr", "Sac en cuir noir", ["black"]),
        ("es", "Camisa blanca de lino", ["white"]),
        ("it", "Borsa in pelle nera", ["black"]),
        ("nl", "Zwarte schoudertas met gouden gesp", ["black", "gold"]),
    ],
)
def test_a_text_of_another_language(language: str, text: str, names: list[str]) -> None:
    assert [colour.name for colour in colours_in(text, [language])] == names


def test_a_shade_shifts_the_value() -> None:
    (plain,), (dark,), (pale,) = colours_of("teal"), colours_of("dark teal"), colours_of("pale teal")
    green = {
        name: int(colour.hex[3:5], 16)
        for name, colour in (("plain", plain), ("dark", dark), ("pale", pale))
        if colour.hex
    }
    assert green["dark"] < green["plain"] < green["pale"]
    assert dark.confidence < plain.confidence


def test_what_is_only_partly_known_is_less_sure() -> None:
    (sure,), (less,) = colours_of("royal"), colours_of("Team 1899 royal")
    assert less.hex == sure.hex
    assert less.confidence < sure.confidence


def test_a_look_has_a_name_and_no_value() -> None:
    (clear,) = colours_of("transparent")
    assert (clear.name, clear.hex) == ("clear", None)


def test_a_colour_is_said_once() -> None:
    assert [colour.name for colour in colours_of("black / Schwarz / noir")] == ["black"]


@pytest.mark.parametrize(
    "value", ["", " ", "/", "\0", "🟥", "\u200bred\u200b"[:1], "أحمر", "x" * 100_000, "#FF0000", "1234"]
)
def test_what_names_nothing_yields_nothing(value: str) -> None:
    assert colours_of(value) == []
    assert colours_in(value) == []


def test_what_nobody_sees_hides_no_colour() -> None:
    assert [colour.name for colour in colours_of("\u202er\u200be\u00add\0")] == ["red"]


def test_the_table() -> None:
    """About 1,000 names and more, each once, its values valid and its file sorted."""
    lines = (files("catalogs.vocabulary") / "colours.tsv").read_text(encoding="utf-8").splitlines()
    names = [line.split("\t")[0] for line in lines if not line.startswith("#")][1:]
    assert names == sorted(set(names))
    assert len(all_colours()) == len(names)
    assert sum(len(colour_names(language)) for language in LANGUAGES) > 1000
    for colour in all_colours():
        assert colour.hex is None or re.fullmatch(r"#[0-9A-F]{6}", colour.hex), colour
    for language in LANGUAGES:
        assert len(colour_names(language)) > 200, language
