"""Signed pictures for tests, and what a reader says of them."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
from PIL import Image

from catalogs.campaigns.credentials import Credentials
from inference.credentials.chain import Chain, read_chain
from inference.credentials.keys import SigningKey
from inference.credentials.manifest import Making, Source
from inference.credentials.reading import CredentialReader, Found
from inference.credentials.signing import Signing
from inference.finishing.sign import Edit
from tests.inference.credentials.chains import Made

MIMES = {"jpeg": "image/jpeg", "png": "image/png", "webp": "image/webp", "avif": "image/avif"}
PHOTO = Source.photo("s3://secret-bucket/private/front.jpg", "ab" * 32, "hero")
MAKING = Making("Mug", "klein-4b", "r1", (PHOTO,), version="0.1")
EDITS = [Edit("crop", {"width": 64, "height": 48}), Edit("encode", {"format": "jpeg", "quality": 92})]


def picture(seed: int = 0, width: int = 96, height: int = 72) -> Image.Image:
    """A smooth picture with some noise."""
    noise = np.random.default_rng(seed)
    coarse = noise.integers(0, 256, (6, 8, 3), dtype=np.uint8)
    return Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)


def encoded(format: str = "jpeg", seed: int = 0, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture(seed).save(buffer, format.upper(), **options)
    return buffer.getvalue()


def key_of(one: Made, unchecked: bool = False) -> SigningKey:
    if unchecked:
        import datetime as dt

        chain = Chain(one.chain, "es256", "", dt.datetime.now(dt.UTC), False, True)
    else:
        chain = read_chain(one.chain)[0]
    return SigningKey(chain, "chain.pem", one.key.encode())


def signed_by(one: Made, format: str = "jpeg", unchecked: bool = False, **credentials: Any) -> bytes:
    signing = Signing(key_of(one, unchecked), Credentials(**credentials))
    return signing.sign(encoded(format), MIMES[format], MAKING, EDITS).data


def read(data: bytes, anchors: str = "") -> Found:
    return CredentialReader(anchors).read(data)
