"""Rows of the asset catalog, and the pictures they speak of."""

from __future__ import annotations

import hashlib
import io
import json
import math
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import Any

from PIL import Image, ImageDraw, ImageFilter

from catalogs.identity import Identity, asset_key, thumbnail_key
from catalogs.storage.store import Store

HOSTILE = "</script><img src=x onerror=\"window.hacked='yes'\"><!--\u2028{{script}}"
SHOTS = ("hero", "lifestyle", "detail", "flatlay")
CHANNELS = {
    "square": (1080, 1080),
    "story": (1080, 1920),
    "portrait": (1080, 1350),
    "banner": (1940, 600),
    "web": (1600, 1200),
}
BRANDS = ("Norrland Outdoor", "Atelier Fumée", "Kite & Co", "Mørk")
PALETTES = (
    ("#f4e3d0", "#d98e5f", "#7c3f2c"),
    ("#dfe8e4", "#7fa99b", "#23463f"),
    ("#e6e4f2", "#8f8ac4", "#35315e"),
    ("#f7e6e2", "#e08b85", "#8a2f3b"),
    ("#e3eef6", "#6ea3cf", "#1d4468"),
    ("#f3ecd2", "#d9b24c", "#6b5212"),
)


def rgb(colour: str) -> tuple[int, int, int]:
    return int(colour[1:3], 16), int(colour[3:5], 16), int(colour[5:7], 16)


@cache
def picture(width: int, height: int, number: int) -> bytes:
    """A still life of a vessel, a ball and a shadow before a wall, as WebP."""
    wall, middle, dark = (rgb(colour) for colour in PALETTES[number % len(PALETTES)])
    gradient = Image.linear_gradient("L").rotate(35 * number).resize((width, height))
    image = Image.composite(
        Image.new("RGB", (width, height), wall), Image.new("RGB", (width, height), middle), gradient
    )
    side, floor = min(width, height), height * 0.74
    draw = ImageDraw.Draw(image, "RGBA")
    draw.rectangle((0, floor, width, height), fill=(*wall, 150))
    centre = width * (0.42 + 0.04 * (number % 5))
    shadow = Image.new("L", image.size)
    reach = side * 0.44
    ImageDraw.Draw(shadow).ellipse((centre - reach * 0.4, floor, centre + reach, floor + side * 0.1), fill=150)
    image.paste(dark, (0, 0, width, height), shadow.filter(ImageFilter.GaussianBlur(side / 30)))
    draw = ImageDraw.Draw(image, "RGBA")
    half, tall = side * (0.13 + 0.02 * (number % 3)), side * (0.38 + 0.05 * (number % 4))
    draw.rounded_rectangle(
        (centre - half, floor + side * 0.05 - tall, centre + half, floor + side * 0.05), half * 0.5, fill=dark
    )
    draw.rounded_rectangle(
        (centre - half * 0.4, floor - tall - side * 0.02, centre + half * 0.4, floor - tall + side * 0.08),
        half * 0.2,
        fill=dark,
    )
    draw.rectangle((centre - half, floor - tall * 0.5, centre + half, floor - tall * 0.2), fill=wall)
    ball = side * 0.1
    draw.ellipse(
        (centre + half * 1.3, floor - ball * 1.4, centre + half * 1.3 + 2 * ball, floor + ball * 0.6),
        fill=middle,
    )
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=80)
    return buffer.getvalue()


def thumbnail(data: bytes) -> bytes:
    with Image.open(io.BytesIO(data)) as image:
        small = image.convert("RGB")
    small.thumbnail((320, 320))
    buffer = io.BytesIO()
    small.save(buffer, "WEBP", quality=70)
    return buffer.getvalue()


def prompt_of(number: int) -> str:
    palette = PALETTES[number % len(PALETTES)]
    prompt = {
        "scene": "a calm studio still life on a low plinth",
        "subjects": [{"description": f"the bottle of image 1 in color {palette[2]}", "position": "centre"}],
        "style": "editorial product photography",
        "color_palette": list(palette),
        "lighting": "soft window light from the left",
        "camera": {"lens": "85 mm", "f-number": 5.6},
    }
    return json.dumps(prompt, separators=(",", ":"))


def row_of(number: int, **changes: Any) -> dict[str, Any]:
    """A delivered row; every 50th failed, every 9th a proof."""
    look, channel = number // 20, list(CHANNELS)[number % 5]
    width, height = CHANNELS[channel]
    digest = hashlib.sha256(f"bytes {number}".encode()).hexdigest()
    kind = "proof" if number % 9 == 4 else "render"
    row: dict[str, Any] = {
        "campaign": "Autumn 26/27",
        "kind": kind,
        "brand_id": BRANDS[look % len(BRANDS)],
        "look": f"look-{look:04d}",
        "product_id": f"NO-{1000 + look}-S",
        "covers": [f"NO-{1000 + look}-{size}" for size in "SML"],
        "shot": SHOTS[number // 5 % 4],
        "channel": channel,
        "variation": 0,
        "take": 0,
        "status": "delivered",
        "reason": None,
        "detail": None,
        "attempts": 1,
        "fingerprint": hashlib.sha256(f"asked {number}".encode()).hexdigest(),
        "render_fingerprint": hashlib.sha256(f"render {number // 5}".encode()).hexdigest(),
        "sha256": digest,
        "bytes": 80_000 + number * 37,
        "format": "webp",
        "width": width,
        "height": height,
        "prompt": prompt_of(look),
        "prompt_used": prompt_of(look),
        "references": [
            {
                "uri": f"s3://photos/{look}/front & back.jpg",
                "sha256": "ab" * 32,
                "role": "hero",
                "width": 1200,
                "height": 900,
            }
        ],
        "engine": "proof" if kind == "proof" else "diffusers",
        "model": "klein-4b",
        "model_revision": "1f2e3d4c5b6a",
        "seed": 1_234_567 + number,
        "steps": 4,
        "guidance": 1.0,
        "seconds": 1.25,
        "cost": 0.0,
        "quality": [("sharpness", 0.91234567), ("subject_match", math.nan)],
        "versions": {"diffusers": "0.42.0"},
        "ai_label_required": True,
        "has_person": False,
        "run_id": "r1",
        "created_at": datetime(2026, 11, 20, tzinfo=UTC) + timedelta(seconds=number),
    }
    identity = Identity(
        *(row[name] for name in ("campaign", "kind", "brand_id", "look", "shot", "channel", "variation"))
    )
    row["asset_key"] = asset_key(identity, row["fingerprint"], digest, "webp").replace("26/27", "26 #1 100%+ü")
    if number % 50 == 7:
        row |= {
            "status": "failed",
            "reason": "blank_image",
            "detail": "all pixels are #000000",
            "asset_key": None,
        }
        row |= {"sha256": None, "bytes": None}
    return row | changes


def put_picture(store: Store, row: dict[str, Any], number: int) -> None:
    """Store the asset of a row, at a sixth of its size, and its thumbnail."""
    if not row["asset_key"]:
        return
    data = picture(row["width"] // 3, row["height"] // 3, number // 5 % 30)
    store.write(row["asset_key"], data)
    store.write(thumbnail_key(row["sha256"]), small_picture(data))


small_picture = cache(thumbnail)
