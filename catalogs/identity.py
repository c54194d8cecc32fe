"""Names that last: looks, identities, fingerprints, seeds and object keys.

All of them are baked into the keys and columns of every output. They are pure functions of what was asked
for; a change of any hashed content here renders and pays for every catalog again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from decimal import Decimal
from typing import Any, Literal

from catalogs.requests import RenderRequest

# Raise it when the same request means other pixels: sizes, seeds, reference handling.
PIXEL_RECIPE = 1
MASTER_CHANNEL = "master-"
LATENTS = "latents"
"""Folder of encoded reference photos: may be deleted at any time."""
PHOTOS = "references/photos"
FOLDERS = (
    "",
    "assets",
    "budget",
    "catalog",
    LATENTS,
    "leases",
    "leftovers",
    "lines",
    "quarantine",
    "references",
    "renders",
    "runs",
    "spend",
    "thumbs",
    "verifies",
)
"""What an output holds, "" for itself."""
_PLAIN_BYTES = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-")
_LONGEST_PART = 128
Kind = Literal["proof", "render"]


@dataclass(frozen=True, slots=True)
class Identity:
    """Which asset: everything about it that stays the same while its content changes."""

    campaign: str
    kind: str
    brand_id: str
    look: str
    shot: str
    channel: str
    variation: int

    @property
    def is_master(self) -> bool:
        """Whether it is a master with a row of its own, and no asset."""
        return self.channel.startswith(MASTER_CHANNEL)

    def digest(self) -> bytes:
        """16 bytes that stand for this identity in memory-lean indexes."""
        parts = (
            self.campaign,
            self.kind,
            self.brand_id,
            self.look,
            self.shot,
            self.channel,
            str(self.variation),
        )
        return hashlib.blake2b("\x1f".join(parts).encode(), digest_size=16).digest()


def canonical_json(value: object) -> str:
    """One text for one value: sorted keys, no spaces, decimals and dates as text."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False, default=_plain)


def _plain(value: object) -> object:
    if isinstance(value, Decimal):
        return format(value.normalize(), "f")
    if isinstance(value, datetime | date):
        return value.isoformat()
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no canonical form")


def look_name(brand_id: str, look_by: Sequence[str], row: Mapping[str, Any]) -> str:
    """Name of the look a product row belongs to.

    Without `look_by` every product is its own look and lends it its id. With it the name is a hash of
    brand and values even while the look has one member, so that a second size changes no name.
    """
    if not look_by:
        return str(row["product_id"])
    values = canonical_json([brand_id, [row.get(column) for column in look_by]])
    return "look-" + hashlib.sha256(values.encode()).hexdigest()[:20]


def seed_for(campaign_seed: int, look: str, shot: str, variation: int, take: int) -> int:
    """Seed in [0, 2**31), the range every engine's protocol can carry."""
    text = "\x1f".join((str(campaign_seed), look, shot, str(variation), str(take)))
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") & 0x7FFFFFFF


def render_fingerprint(request: RenderRequest) -> str:
    """SHA-256 hex over the closed set of what a render depends on.

    References enter by content (another shot's master by its render fingerprint), in order; their paths,
    roles and sizes do not. Library versions, GPU and batch size never do: an upgrade renders nothing anew.
    """
    asked = {
        "prompt": request.prompt,
        "references": [reference.sha256 for reference in request.references],
        "size": [request.width, request.height],
        "seed": request.seed,
        "take": request.take,
        "steps": request.steps,
        "guidance": None if request.guidance is None else float(request.guidance),
        "model": request.model,
        "model_revision": request.model_revision,
        "weight_precision": request.weight_precision,
        "lora": list(request.lora),
        "pixel_recipe": PIXEL_RECIPE,
    }
    if request.options:
        # Only where there are some: fingerprints from before this field keep their value.
        asked["options"] = request.options
    if request.seed_device != "cpu":
        asked["seed_device"] = request.seed_device
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()


def lora_marks(files: Iterable[Mapping[str, Any]]) -> tuple[str, ...]:
    """How LoRA files (sha256 and scale) enter a render fingerprint: by content and strength, in order."""
    return tuple(f"{file['sha256']}@{file['scale']:g}" for file in files)


def asset_fingerprint(render: str, channel: Mapping[str, Any], finishing: Mapping[str, Any]) -> str:
    """SHA-256 hex over a render fingerprint, a channel's own rules and what finishing writes into the file."""
    asked = {"render": render, "channel": dict(channel), "finishing": dict(finishing)}
    return hashlib.sha256(canonical_json(asked).encode()).hexdigest()


def master_channel(width: int, height: int) -> str:
    """Channel name of the row that a master has when other shots build on it."""
    return f"{MASTER_CHANNEL}{width}x{height}"


def key_part(identifier: str) -> str:
    """An id as one part of an object key: the same on every system, and never the same for two ids.

    Bytes outside [A-Za-z0-9._-] and a leading "." become ~ and two hex digits; over 128 bytes the first 60 stay,
    then ~~ and 24 hex digits of the id's SHA-256. An id of those bytes alone is its own part.
    """
    escaped = "".join(chr(b) if b in _PLAIN_BYTES else f"~{b:02X}" for b in identifier.encode())
    if escaped.startswith("."):
        escaped = f"~2E{escaped[1:]}"
    if len(escaped) > _LONGEST_PART:
        return f"{escaped[:60]}~~{hashlib.sha256(identifier.encode()).hexdigest()[:24]}"
    return escaped


def asset_key(identity: Identity, fingerprint: str, sha256: str, extension: str) -> str:
    """Immutable key of a finished asset: the same key always holds the same bytes."""
    folder = f"assets/{identity.campaign}/{key_part(identity.brand_id)}/{key_part(identity.look)}/{identity.shot}"
    name = f"{identity.channel}-{identity.variation}.{fingerprint[:12]}.{sha256[:12]}.{extension}"
    return f"{folder}/{name}"


def render_key(fingerprint: str, sha256: str) -> str:
    """Immutable key of a master."""
    return f"{render_prefix(fingerprint)}{sha256[:12]}.png"


def render_record_key(fingerprint: str, sha256: str) -> str:
    """Key of the small record beside a master that holds what its rows need."""
    return f"{render_prefix(fingerprint)}{sha256[:12]}.json"


def render_prefix(fingerprint: str) -> str:
    """What every master of a render fingerprint starts with."""
    return f"renders/{fingerprint[:2]}/{fingerprint}."


def thumbnail_key(sha256: str) -> str:
    """Key of the small picture of an asset, by the asset's content."""
    return f"thumbs/{sha256[:2]}/{sha256[:24]}.webp"


def photo_prefix(sha256: str) -> str:
    """What the key of a photo from a web server starts with; its extension follows."""
    return f"{PHOTOS}/{sha256[:2]}/{sha256}."


def run_key(run_id: str, name: str) -> str:
    """Key of a file of one start: its plan, its rejects, its summary."""
    return f"runs/{run_id}/{name}"
