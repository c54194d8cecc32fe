"""An engine on some servers of a test, and requests for it."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from PIL import Image

from catalogs.requests import Reference, RenderRequest
from inference.engine import Failed, Rendered
from inference.remote.key import Key
from inference.servers.engine import ServerEngine
from inference.servers.settings import ServerSettings
from tests.image_server import MODEL, ImageServer

BLUE, RED = (Reference(f"/{name}.png", name * 16, "hero", 64, 64) for name in ("b1ue", "4ed0"))


def settings(servers: Sequence[ImageServer], **changes: Any) -> ServerSettings:
    chosen: dict[str, Any] = {
        "addresses": tuple(server.url for server in servers),
        "model": MODEL,
        "revision": "",
        "precision": "bf16",
        "steps": 4,
        "guidance": None,
        "many": True,
    }
    return ServerSettings(**{**chosen, **changes})


def engine(
    servers: Sequence[ImageServer], key: Key | None = None, stopping: threading.Event | None = None, **changes: Any
) -> ServerEngine:
    return ServerEngine(settings(servers, **changes), photo, lambda _: 1.0, key, stopping or threading.Event())


def photo(reference: Reference) -> Image.Image:
    return Image.new("RGB", (reference.width, reference.height), "#2040B0" if reference is BLUE else "#B02020")


def requests(count: int, **changes: Any) -> list[RenderRequest]:
    chosen: dict[str, Any] = {
        "prompt": "a mug",
        "references": (),
        "width": 64,
        "height": 48,
        "take": 0,
        "steps": 4,
        "guidance": None,
        "model": "server/klein-4b",
        "model_revision": "",
        "weight_precision": "bf16",
    }
    return [RenderRequest(**{**chosen, "seed": seed, **changes}) for seed in range(count)]


def rendered(results: Sequence[Rendered | Failed]) -> list[Rendered]:
    """All of them, which must be pictures."""
    assert not [result for result in results if isinstance(result, Failed)], results[:3]
    return [result for result in results if isinstance(result, Rendered)]
