"""What a product is and what of it can be seen: six languages, hostile texts, the rates on rows labelled by hand."""

from __future__ import annotations

import pytest

from catalogs.vocabulary.describe import MOST_VISIBLE, Described, describe
from tests.catalogs.vocabulary.rates import labelled, rates, wrong

PLAIN: dict[str, dict[str, str]] = {
    "en": {
        "Canvas Backpack": "canvas backpack",
        "Women's 2-in-1 Running Shorts": "shorts",
        "Red Sports Tee": "sports tee",
        "Chilly's Bottle 500ml": "bottle",
        "Silicone Phone Case - Midnight": "silicone phone case",
        "Classic Button-Up Shirt with Cap Sleeves in WHITE": "button-up shirt",
        "Floral Babydoll Blouse: V-Neck, Short Sleeve": "babydoll blouse",
        "Lamp for the Bedroom": "lamp",
        "Sterling Silver Hoop Earrings": "sterling silver hoop earrings",
        "Faux Leather Shoulder Bag (Small)": "faux leather shoulder bag",
        "AeroPress | Coffee Maker": "coffee maker",
        "Oak Dining Table, 180 cm": "oak dining table",
        "Moisturizing Hand Cream": "hand cream",
        "Wireless Headphones Pro X": "headphones",
        "Yoga Mat 6mm Purple": "yoga mat",
        "Xyzzy 3000": "",
    },
    "de": {
        "Herren Lederjacke schwarz": "lederjacke",
        "Rucksack aus Canvas": "rucksack",
        "Praktischer Gartentisch aus Teakholz": "gartentisch",
        "Damen Sonnenbrille": "sonnenbrille",
        "Kaffeetasse 300 ml": "kaffeetasse",
        "Baumwollhemd mit Kragen": "baumwollhemd",
        "Hängeleuchte für die Küche": "hängeleuchte",
        "Haengeleuchte": "haengeleuchte",
        "Wollsocken, 3er-Pack": "wollsocken",
        "Laufschuhe Turbo 5": "laufschuhe",
        "Silberne Armbanduhr": "armbanduhr",
        "Bettwäsche 135x200": "bettwäsche",
        "Kinderbettdecke": "kinderbettdecke",
        "Bluetooth-Lautsprecher": "bluetooth-lautsprecher",
        "Gießkanne, grün": "gießkanne",
        "Praktisch": "",
    },
    "fr": {
        "Sac à dos en toile bleu marine": "sac à dos en toile",
        "Robe longue à fleurs": "robe",
        "Veste en cuir noir": "veste en cuir",
        "Lunettes de soleil femme": "lunettes de soleil",
        "Boucles d'oreilles dorées": "boucles d'oreilles",
        "Tasse 30 cl": "tasse",
        "Bougie parfumée vanille": "bougie parfumée",
        "Chaussures de course": "chaussures de course",
        "Lampe de chevet": "lampe de chevet",
        "T-shirt blanc": "t-shirt",
        "Canapé trois places": "canapé",
        "Montre connectée": "montre connectée",
        "Pull col roulé en laine": "pull",
        "Tapis de yoga": "tapis de yoga",
        "Coffret cadeau": "coffret",
        "Zorglub 2": "",
    },
    "es": {
        "Camisa de lino blanca": "camisa de lino",
        "Zapatillas de running": "zapatillas",
        "Mochila negra": "mochila",
        "Gafas de sol redondas": "gafas de sol",
        "Vestido largo de flores": "vestido",
        "Bolso bandolera de piel": "bolso bandolera de piel",
        "Taza de cerámica": "taza de cerámica",
        "Sofá gris": "sofá",
        "Lámpara de mesa": "lámpara de mesa",
        "Pendientes de plata": "pendientes de plata",
        "Reloj digital": "reloj digital",
        "Crema de manos": "crema de manos",
        "Muñeca": "muñeca",
        "Botas altas": "botas",
        "Cojín de terciopelo": "cojín de terciopelo",
        "Qwerty": "",
    },
    "it": {
        "Borsa a tracolla in pelle nera": "borsa a tracolla in pelle",
        "Maglione girocollo in lana": "maglione",
        "Scarpe da corsa": "scarpe da corsa",
        "Occhiali da sole": "occhiali da sole",
        "Zaino blu": "zaino",
        "Tazza in ceramica": "tazza in ceramica",
        "Divano tre posti": "divano",
        "Camicia di lino": "camicia di lino",
        "Lampada da tavolo": "lampada da tavolo",
        "Orologio analogico": "orologio analogico",
        "Candela profumata": "candela profumata",
        "Stivali alti": "stivali",
        "Abito lungo a fiori": "abito",
        "Portafoglio uomo": "portafoglio",
        "Crema viso": "crema viso",
        "Qwerty": "",
    },
    "nl": {
        "Leren schoudertas": "leren schoudertas",
        "Houten eettafel": "houten eettafel",
        "Zonnebril dames": "zonnebril",
        "Wollen trui": "wollen trui",
        "Koffiemok 300 ml": "koffiemok",
        "Zwarte spijkerbroek": "spijkerbroek",
        "Rugzak met laptopvak": "rugzak",
        "Katoenen dekbedovertrek": "katoenen dekbedovertrek",
        "Hardloopschoenen": "hardloopschoenen",
        "Regenjas voor kinderen": "regenjas",
        "Gieter groen": "gieter",
        "Bureaustoel": "bureaustoel",
        "Wandelschoenen": "wandelschoenen",
        "Geurkaars": "geurkaars",
        "Yogamat": "yogamat",
        "Qwerty": "",
    },
}


@pytest.mark.parametrize(
    ("language", "title", "noun"), [(language, *case) for language, cases in PLAIN.items() for case in cases.items()]
)
def test_a_title_has_a_noun(language: str, title: str, noun: str) -> None:
    assert describe(title, "", "", {}, language).noun == noun


@pytest.mark.parametrize(
    ("title", "description", "category", "attributes", "brand", "noun"),
    [
        ("The Aurora", "", "Bags > Backpacks", {}, "", "backpack"),
        ("The Aurora", "Handmade canvas backpack with brass buckles.", "Bags > Backpacks", {}, "", "canvas backpack"),
        ("Nordic XL", "", "Home & Living/Sofas", {}, "", "sofa"),
        ("Nordic XL", "", "", {"Product Type": "Armchair"}, "", "armchair"),
        ("Nordic XL", "A robe in soft cotton for your wardrobe.", "", {}, "", "robe"),
        ("Top Table Mug", "", "", {}, "Top Table", "mug"),
        ("Watch Company Pen", "", "", {}, "watch company", "pen"),
        ("Aurora", "", "Clothing > Pants", {}, "", "pants"),
    ],
)
def test_where_the_title_does_not_say_it(
    title: str, description: str, category: str, attributes: dict[str, str], brand: str, noun: str
) -> None:
    assert describe(title, description, category, attributes, "en", brand).noun == noun


SEEN = [
    ("en", "Backpack", "Canvas backpack with brown leather straps.", {"brown leather straps", "canvas"}),
    ("en", "Sweater", "<ul><li>Ribbed cuffs</li><li>Machine wash cold</li></ul>", {"ribbed cuffs"}),
    ("en", "Striped Cotton Shirt", "", {"striped"}),
    ("en", "Shirt", "Pair with brown leather straps.", set()),
    ("en", "Bottle", "A matte black lid. Ships in brown cardboard boxes.", {"matte black lid"}),
    ("en", "Watch", "The flexible, rubberized strap fits.", {"flexible, rubberized strap"}),
    ("en", "Shirt", "Our best shirt. Free shipping! Size chart: long sleeves 60 cm", set()),
    ("en", "Dress", "95% cotton, 5% spandex", {"cotton"}),
    ("de", "Rucksack", "Mit braunen Lederriemen. Handwäsche.", {"braunen lederriemen"}),
    ("de", "Tisch", "Der runde Tisch ist wetterfest. Kostenloser Versand.", {"runde"}),
    ("fr", "Sac", "Bretelles en cuir marron. Livraison gratuite.", {"bretelles en cuir marron"}),
    ("fr", "Robe", "Robe longue sans manches. Lavage en machine.", {"longue", "sans manches"}),
    ("es", "Camisa", "Camisa con botones de madera. Envío gratis.", {"botones de madera"}),
    ("it", "Borsa", "Manici in pelle marrone. Spedizione gratuita.", {"manici in pelle marrone"}),
    ("nl", "Tafel", "Met zwarte metalen poten. Gratis verzending.", {"zwarte metalen poten"}),
]


@pytest.mark.parametrize(("language", "title", "description", "visible"), SEEN)
def test_what_can_be_seen(language: str, title: str, description: str, visible: set[str]) -> None:
    assert set(describe(title, description, "", {}, language).visible) == visible


@pytest.mark.parametrize(
    ("name", "value", "wanted"),
    [
        ("strap_bags", "Adjustable,Detachable", ("adjustable strap", "detachable strap")),
        ("Strap", "Leather strap", ("leather strap",)),
        ("Sleeve", "Long", ("long sleeve",)),
        ("pattern", "Striped", ("striped",)),
    ],
)
def test_a_look_of_an_attribute_is_its_parts(name: str, value: str, wanted: tuple[str, ...]) -> None:
    assert describe("Bag", "", "", {name: value}).visible == wanted


def test_attributes_that_say_a_look_are_seen() -> None:
    said = {"Material": "Nylon, Polyester", "pattern": "Striped", "Warranty": "Leather", "Matière": "denim"}
    assert describe("Bag", "", "", said).visible == ("nylon", "polyester", "striped", "denim")


def test_at_most_eight_and_none_twice() -> None:
    materials = "cotton, linen, wool, silk, denim, canvas, leather, suede, nylon, cotton"
    seen = describe("Striped Bag", "A striped bag.", "", {"material": materials}).visible
    assert len(seen) == len(set(seen)) == MOST_VISIBLE
    assert seen[0] == "striped"


@pytest.mark.parametrize(
    ("description", "copy"),
    [
        ("", ""),
        ("<p>Made for slow mornings.</p>", "Made for slow mornings."),
        ("Made for slow mornings. Machine wash cold. Free shipping.", "Made for slow mornings."),
        ("A classic.<br>Size chart: S 34 M 36<br/>Returns accepted", "A classic."),
        ("Tom &amp; Jerry&nbsp;love it", "Tom & Jerry love it"),
        ("<style>p{color:red}</style><script>alert('x')</script>Warm.", "Warm."),
        ("<!-- secret --> Warm <b>and</b> soft.", "Warm and soft."),
        ("5 < 6 and 7 > 6", "5 < 6 and 7 > 6"),
        ("<p>One</p><p>Two</p>", "One Two"),
        ("Un\u200bseen\0 marks\u202e.", "Unseen marks."),
        ("<script>never closed", ""),
        ("<ul><li>Ribbed cuffs</li></ul>", ""),
    ],
)
def test_copy_is_what_is_left(description: str, copy: str) -> None:
    assert describe("Thing", description, "", {}).copy == copy


HOSTILE = {
    "100 kB of HTML": "<p>Soft <b>brown leather straps</b>.</p>" * 2_700,
    "open tags": "<" * 100_000,
    "open tags with letters": "<a" * 50_000,
    "a tag without an end": "<p " + "a" * 100_000,
    "scripts": "<script>" * 14_000,
    "closed scripts": "<script>x</script>" * 6_000,
    "comments": "<!--" * 25_000,
    "nested": "<div>" * 20_000,
    "entities": "&lt;script&gt;&amp;" * 6_000,
    "emoji": "🎒👜🧥" * 30_000,
    "right to left": "حقيبة ظهر \u202e קנבס " * 5_000,
    "zero width": "b\u200ba\u200bg " * 20_000,
    "NUL": "bag\0" * 25_000,
    "one long word": "x" * 100_000,
    "one long compound": "donker" * 16_000,
    "no sentence ends": "brown leather " * 8_000,
    "only ends": ".!?" * 33_000,
    "spaces": " " * 100_000,
    "line ends": "\n" * 100_000,
    "surrogates": "\ud800" * 100_000,
    "a size table": "12.5 " * 20_000,
}


@pytest.mark.timeout(30)  # what is not linear takes minutes
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
@pytest.mark.parametrize("language", ["en", "de", "fr", "xx"])
def test_hostile_texts_take_no_time_and_do_no_harm(text: str, language: str) -> None:
    found = describe(text, text, text, {"material": text}, language, text[:100])
    assert len(found.visible) <= MOST_VISIBLE
    assert len(found.copy) <= 20_000
    for said in (found.noun, *found.visible, found.copy):
        assert not any(mark in said for mark in "\0\u200b\u202e\ud800")


@pytest.mark.parametrize("language", ["", "en-GB", "EN", "pl", "zh-Hans"])
def test_a_language_we_have_no_words_of_is_read_as_english(language: str) -> None:
    assert describe("Canvas Backpack", "", "", {}, language).noun == "canvas backpack"


def test_nothing_is_described_as_nothing() -> None:
    assert describe("", "", "", {}) == Described("", (), "")


def test_the_rows_it_was_written_with() -> None:
    """Every noun and every colour of the work half, and nothing where no colour is named."""
    found = rates("work")
    assert (found.nouns, found.rows) == (60, 60), list(wrong("work"))
    assert (found.colours, found.named) == (14, 14), list(wrong("work"))
    assert (found.silent, found.unnamed) == (46, 46), list(wrong("work"))


def test_no_row_is_in_both_halves() -> None:
    work, judge = ({(row["set"], row["id"]) for row in labelled(half)} for half in ("work", "judge"))
    assert len(work) == len(judge) == 60
    assert not work & judge


def test_the_rows_it_was_not_written_with() -> None:
    """The judge half, never tuned on; the goal was 85 % of nouns and 95 % of colours where a word names one."""
    found = rates("judge")
    assert (found.rows, found.named, found.unnamed) == (60, 22, 38)
    assert found.nouns == 60, list(wrong("judge"))
    assert found.colours == 22, list(wrong("judge"))
    assert found.silent >= 36, list(wrong("judge"))
