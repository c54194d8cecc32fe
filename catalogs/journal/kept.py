"""Bytes that were paid for and are not what was asked for: nobody delivers them, and nobody deletes them.

leftovers/paid/<render_fingerprint>.<sha256(bytes)[:12]>.<ext>   and beside it, as .json, why
"""

from __future__ import annotations

import hashlib
import json

from catalogs.storage.store import Store

FOLDER = "leftovers/paid"
_EXTENSIONS = {b"\x89PNG": "png", b"\xff\xd8\xff": "jpg", b"RIFF": "webp"}


def keep_paid(store: Store, fingerprint: str, data: bytes, reason: str) -> str:
    """Keep the bytes of a picture that cannot be used; returns their key."""
    extension = next((name for magic, name in _EXTENSIONS.items() if data.startswith(magic)), "bin")
    name = f"{FOLDER}/{fingerprint}.{hashlib.sha256(data).hexdigest()[:12]}"
    store.write(f"{name}.{extension}", data)
    store.write(f"{name}.json", json.dumps({"render_fingerprint": fingerprint, "reason": reason}).encode())
    return f"{name}.{extension}"
