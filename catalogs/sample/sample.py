"""The sample of `packshot init`: two invented brands, their products, drawn photos and two campaigns."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Mapping
from datetime import date
from decimal import Decimal
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.errors import OptionError
from catalogs.inputs.schemas import BRANDS, PRODUCTS
from catalogs.sample import drawing
from catalogs.sample.studio import Studio

CAMPAIGN = "campaign.yaml"
TINY_CAMPAIGN = "campaign-tiny.yaml"

# A column of our own, read by the lifestyle shot. Not an attribute: sizes of one look may differ there.
SAMPLE_PRODUCTS = PRODUCTS.append(pa.field("setting", pa.string()))

_OUTPUT = b"output: output\n"

Window = tuple[float, float, float]


class Photo(NamedTuple):
    """A drawn photo: what it shows, in which colour, and the window of a detail."""

    draw: Callable[[Studio, str], None]
    colour: str
    window: Window = (0.0, 0.0, 1.0)


PHOTOS: Mapping[str, Photo] = {
    "mug-sage.jpg": Photo(drawing.mug, "#9CAF88"),
    "mug-sage-detail.jpg": Photo(drawing.mug, "#9CAF88", (0.45, 0.30, 0.42)),
    "mug-clay.jpg": Photo(drawing.mug, "#C97B5A"),
    "bottle-forest.jpg": Photo(drawing.bottle, "#2F5D50"),
    "bottle-forest-detail.jpg": Photo(drawing.bottle, "#2F5D50", (0.31, 0.09, 0.38)),
    "bottle-ink.jpg": Photo(drawing.bottle, "#33415C"),
    "lamp-mustard.jpg": Photo(drawing.lamp, "#D9A441"),
    "lamp-mustard-detail.jpg": Photo(drawing.lamp, "#D9A441", (0.40, 0.28, 0.40)),
    "candle-amber.jpg": Photo(drawing.candle, "#B8672E"),
    "tote-natural.jpg": Photo(drawing.tote, "#E6DCC6"),
    "tote-natural-detail.jpg": Photo(drawing.tote, "#E6DCC6", (0.24, 0.30, 0.42)),
    "sneaker-coral.jpg": Photo(drawing.sneaker, "#E07A5F"),
    "sneaker-coral-detail.jpg": Photo(drawing.sneaker, "#E07A5F", (0.36, 0.28, 0.42)),
}


def write_sample(folder: Path, output: str | None = None) -> list[Path]:
    """Write the sample into a folder, made if need be; the same bytes every time.

    Returns the files written, the campaign first.

    Args:
        output: where its campaigns write to, a folder or s3://bucket/prefix; beside them when None.

    Raises:
        OptionError: a file of the sample is there already, or the folder cannot be written to.
    """
    makers = _makers(output)
    for name in makers:
        if (folder / name).exists():
            fix = "choose another folder, or move the file away"
            raise OptionError(str(folder), name, "is there already and is not overwritten", fix)
    written = []
    try:
        for name, make in makers.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(make())
            written.append(path)
    except OSError as error:
        problem = f"cannot be written to ({error.strerror})"
        raise OptionError(str(folder), "", problem, "choose a folder you may write to") from error
    return written


def _makers(output: str | None) -> dict[str, Callable[[], bytes]]:
    """Every file of the sample with what makes its bytes."""
    makers: dict[str, Callable[[], bytes]] = {
        CAMPAIGN: lambda: _shipped("campaign.yaml", output),
        TINY_CAMPAIGN: lambda: _shipped("tiny.yaml", output),
        "brands.parquet": lambda: _parquet(_brands(), BRANDS),
        "products.parquet": lambda: _parquet(_products(), SAMPLE_PRODUCTS),
        "logos/halden-moss.png": lambda: _logo(drawing.leaf, "HALDEN & MOSS", "#3F5B45"),
        "logos/tidewell.png": lambda: _logo(drawing.waves, "TIDEWELL", "#2E4A62"),
    }
    for name, photo in PHOTOS.items():
        makers[f"photos/{name}"] = lambda photo=photo: _photo(photo)  # type: ignore[misc]
    return makers


def _shipped(name: str, output: str | None) -> bytes:
    shipped = files("catalogs.sample").joinpath(name).read_bytes()
    if output is None:
        return shipped
    text = json.dumps(output, ensure_ascii=False)  # which is YAML too, whatever stands in it
    return shipped.replace(_OUTPUT, f"output: {text}\n".encode(errors="backslashreplace"), 1)


def _photo(photo: Photo) -> bytes:
    studio = Studio(photo.window)
    photo.draw(studio, photo.colour)
    buffer = io.BytesIO()
    studio.picture().save(buffer, "JPEG", quality=90, subsampling="4:4:4")
    return buffer.getvalue()


def _logo(mark: drawing.Mark, name: str, colour: str) -> bytes:
    buffer = io.BytesIO()
    drawing.logo(mark, name, colour).save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def _parquet(rows: list[dict[str, Any]], schema: pa.Schema) -> bytes:
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), sink, compression="zstd")
    return bytes(sink.getvalue())


def _brands() -> list[dict[str, Any]]:
    return [
        {
            "brand_id": "halden-moss",
            "name": "Halden & Moss",
            "palette": [
                {"name": "moss", "hex": "#3F5B45", "role": "primary"},
                {"name": "oat", "hex": "#E9E2D3", "role": "background"},
                {"name": "clay", "hex": "#C9AE8C", "role": "accent"},
            ],
            "style": "calm commercial product photograph, natural materials, fine texture",
            "mood": "quiet morning, unhurried and warm",
            "lighting": "large softbox from the upper left, weak fill from the right, neutral white balance",
            "background": "seamless paper in color #E9E2D3 oat",
            "typography": "humanist sans-serif, wide spacing",
            "logo_uri": "logos/halden-moss.png",
            "legal_line": "© Halden & Moss",
        },
        {
            "brand_id": "tidewell",
            "name": "Tidewell",
            "palette": [
                {"name": "deep sea", "hex": "#2E4A62", "role": "primary"},
                {"name": "foam", "hex": "#DCE8EA", "role": "background"},
                {"name": "coral", "hex": "#E07A5F", "role": "accent"},
            ],
            "style": "crisp commercial product photograph, clean shapes, light and airy",
            "mood": "fresh coastal day, active and bright",
            "lighting": "bright overcast daylight, soft even shadows, neutral white balance",
            "background": "seamless paper in color #DCE8EA foam",
            "typography": "geometric sans-serif, bold",
            "logo_uri": "logos/tidewell.png",
            "legal_line": "© Tidewell",
        },
    ]


def _products() -> list[dict[str, Any]]:
    sage, clay, forest, ink = (
        ("sage", "#9CAF88"),
        ("clay", "#C97B5A"),
        ("forest", "#2F5D50"),
        ("ink", "#33415C"),
    )
    breakfast = "a breakfast table by a bright kitchen window, linen cloth, a few crumbs"
    trail = "a wooden bench at the edge of a forest trail, dew on the moss"
    home = [
        _home("HM-MUG-SAGE", "Tuva Stoneware Mug", "Mugs", "tuva-mug", sage, "24.00", "mug-sage", breakfast),
        _home("HM-MUG-CLAY", "Tuva Stoneware Mug", "Mugs", "tuva-mug", clay, "24.00", "mug-clay", breakfast),
        _home(
            "HM-BTL-FOREST",
            "Fjord Insulated Bottle",
            "Bottles",
            "fjord-bottle",
            forest,
            "35.00",
            "bottle-forest",
            trail,
        ),
        _home(
            "HM-BTL-INK",
            "Fjord Insulated Bottle",
            "Bottles",
            "fjord-bottle",
            ink,
            "35.00",
            "bottle-ink",
            trail,
        ),
        _home(
            "HM-LAMP",
            "Sol Desk Lamp",
            "Lamps",
            "sol-lamp",
            ("mustard", "#D9A441"),
            "129.00",
            "lamp-mustard",
            "a walnut writing desk at dusk, an open notebook, a window with a blue evening sky",
        ),
        _home(
            "HM-CANDLE",
            "Cedar Soy Candle",
            "Candles",
            "cedar-candle",
            ("amber", "#B8672E"),
            "29.00",
            "candle-amber",
            "a stone window sill in the evening, a wool throw, rain on the glass",
        ),
    ]
    return [*home, *_tidewell()]


def _tidewell() -> list[dict[str, Any]]:
    tote = _product(
        "tidewell",
        "TW-TOTE",
        "Harbour Canvas Tote",
        "Bags",
        "harbour-tote",
        ("natural", "#E6DCC6"),
        "39.00",
        "tote-natural",
        "a pier in the morning sun, calm water and small boats behind",
    )
    runners = [
        _product(
            "tidewell",
            f"TW-RUN-{size}",
            "Dune Runner Sneaker",
            "Shoes",
            "dune-runner",
            ("coral", "#E07A5F"),
            "98.00",
            "sneaker-coral",
            "a boardwalk through pale dunes, grass moving in the wind",
            {"size": str(size)},
        )
        for size in (40, 41, 42)
    ]
    return [tote, *runners]


def _home(*values: Any) -> dict[str, Any]:
    return _product("halden-moss", *values)


MATERIALS = {
    "Mugs": ["stoneware", "speckled glaze"],
    "Bottles": ["powder-coated steel"],
    "Lamps": ["enamelled steel", "brass"],
    "Candles": ["tinted glass", "soy wax"],
    "Bags": ["heavy cotton canvas"],
    "Shoes": ["knitted mesh", "suede", "rubber"],
}

DESCRIPTIONS = {
    "Mugs": "Hand-thrown mug with a raw clay foot. Holds 320 ml.",
    "Bottles": "Keeps tea hot for twelve hours. Holds 500 ml.",
    "Lamps": "A dome shade on an arched brass stem.",
    "Candles": "Cedar and dry moss, burns for forty hours.",
    "Bags": "Wide webbing handles and a printed wave.",
    "Shoes": "A light runner for sand, board and street.",
}


def _product(
    brand_id: str,
    product_id: str,
    title: str,
    category: str,
    group: str,
    colour: tuple[str, str],
    price: str,
    photo: str,
    setting: str,
    attributes: Mapping[str, str] | None = None,
) -> dict[str, Any]:
    return {
        "product_id": product_id,
        "brand_id": brand_id,
        "title": title,
        "description": DESCRIPTIONS[category],
        "category": category,
        "colors": [{"name": colour[0], "hex": colour[1]}],
        "materials": MATERIALS[category],
        "attributes": list((attributes or {}).items()),
        "setting": setting,
        "reference_images": _references(photo),
        "product_group": group,
        "price": Decimal(price),
        "currency": "EUR",
        "gtin": _gtin(product_id),
        "url": f"https://shop.example/{product_id.lower()}",
    }


def _references(photo: str) -> list[dict[str, Any]]:
    own = {"licence": "own photography", "licence_end": None, "territories": None}
    bought = {"licence": "studio order 118", "licence_end": date(2099, 12, 31), "territories": None}
    hero = {"uri": f"photos/{photo}.jpg", "role": "hero"} | own
    detail = {"uri": f"photos/{photo}-detail.jpg", "role": "detail"} | bought
    return [hero, detail] if f"{photo}-detail.jpg" in PHOTOS else [hero]


def _gtin(product_id: str) -> str:
    """A GTIN-13 of the range 200, which is kept for use inside a shop, with its check digit."""
    digits = "200" + str(sum(ord(c) * 31**i for i, c in enumerate(product_id)) % 10**9).zfill(9)
    odd, even = (sum(map(int, digits[start::2])) for start in (0, 1))
    return digits + str(-(odd + 3 * even) % 10)
