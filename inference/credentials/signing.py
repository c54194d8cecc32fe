"""Signing finished files: one c2pa context a process and key, shared by threads; time stamps are asked for again.

c2pa is loaded with the first signature. A context of a parent process is not valid in a fork, which makes its own.
"""

from __future__ import annotations

import hashlib
import io
import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from PIL import Image

from catalogs.campaigns.credentials import Credentials
from catalogs.errors import OptionError, one_line
from catalogs.requests import Reason
from inference.credentials.chain import READ
from inference.credentials.keys import SigningKey
from inference.credentials.manifest import Making, manifest
from inference.finishing.encode import FinishingError
from inference.finishing.sign import Edit

if TYPE_CHECKING:
    import c2pa

WAITS = {"wanted": (0.0, 0.5, 2.0), "required": (0.0, 1.0, 4.0, 15.0)}
"""Seconds before each try at a time stamp."""
SLOW = 10.0
"""Seconds after which a try is the last: an authority that does not answer takes 30 s to fail."""
REST = 30.0
"""Seconds for which an authority that gave no time stamp is not asked again."""


class CredentialsFailed(FinishingError):
    """A file could not be signed, or has no time stamp that is required: of the picture that says nothing."""

    reason = Reason.CREDENTIALS_FAILED
    final = False


@dataclass(frozen=True)
class Signed:
    """A signed file.

    Attributes:
        note: what is not as it was asked for, "" where all is.
    """

    data: bytes
    note: str = ""


def settings_of(anchors: str = "") -> dict[str, Any]:
    """c2pa's settings: nothing is fetched, no thumbnails, a signature is checked as soon as it is made.

    Args:
        anchors: root certificates to trust, PEM; without any nobody's trust is judged.
    """
    usages = "".join(f"{usage.dotted_string}\n" for usage in READ)
    trust = {"trust_config": usages, **({"user_anchors": anchors} if anchors else {})}
    return {
        "version": 1,
        "trust": trust,
        "verify": {
            "verify_after_sign": True,
            "verify_trust": bool(anchors),
            "remote_manifest_fetch": False,
            "ocsp_fetch": False,
        },
        "builder": {"thumbnail": {"enabled": False}},
    }


class _Contexts:
    """The contexts of this process, by key and time-stamp authority."""

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Begin anew: also in a child that was forked while another thread held the lock."""
        self._lock = threading.Lock()
        # With its key: a callback that is gone could lend its id to another.
        self._made: dict[bytes, tuple[c2pa.Context, SigningKey]] = {}
        self._down: dict[str, float] = {}

    def of(self, key: SigningKey, url: str | None) -> c2pa.Context:
        parts = (key.chain.pem, key.secret or b"", id(key.callback), url)
        name = hashlib.sha256(repr(parts).encode()).digest()
        with self._lock:
            if name not in self._made:
                self._made[name] = _context(key, url), key
            return self._made[name][0]

    def is_down(self, url: str) -> bool:
        with self._lock:
            return time.monotonic() < self._down.get(url, 0.0)

    def failed(self, url: str) -> None:
        with self._lock:
            self._down[url] = time.monotonic() + REST


_CONTEXTS = _Contexts()
if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_CONTEXTS.forget)


def try_key(key: SigningKey) -> None:
    """Sign a small picture, which c2pa reads back: what it refuses of a chain is found before anything is rendered.

    Raises:
        OptionError: it could not be signed so.
    """
    picture = io.BytesIO()
    Image.new("RGB", (16, 16), "white").save(picture, "PNG")
    told = manifest(Making("trial", "", ""), "image/png", [], "unsaid")
    try:
        _signed(key, picture.getvalue(), "image/png", told, None)
    except CredentialsFailed as error:
        fix = "ask the authority for a certificate as the C2PA's certificate profile wants it"
        raise OptionError(key.origin, "", f"signs nothing that readers accept ({error})", fix) from None


def _context(key: SigningKey, url: str | None) -> c2pa.Context:
    import c2pa

    algorithm = key.chain.algorithm
    if key.callback is not None:
        kind = c2pa.C2paSigningAlg[algorithm.upper()]
        signer = c2pa.Signer.from_callback(key.callback, kind, key.chain.pem, url)
    else:
        asked = url.encode() if url else None
        info = c2pa.C2paSignerInfo(algorithm.encode(), key.chain.pem.encode(), key.secret or b"", asked)
        signer = c2pa.Signer.from_info(info)
    return c2pa.Context(c2pa.Settings.from_dict(settings_of()), signer)


class Signing:
    """Signs the files of a campaign, in any number of threads."""

    def __init__(self, key: SigningKey, credentials: Credentials) -> None:
        self._key, self._credentials = key, credentials

    def sign(self, data: bytes, mime: str, making: Making, edits: Sequence[Edit]) -> Signed:
        """A file with a credential in it.

        Raises:
            CredentialsFailed: it could not be signed, or has no time stamp where one is required.
        """
        told = manifest(making, mime, edits, self._credentials.training_mining)
        url = self._credentials.timestamp_url
        if url is None:
            return Signed(_signed(self._key, data, mime, told, None))
        stamped, problem = self._stamped(data, mime, told, url)
        if stamped is not None:
            return Signed(stamped)
        if self._credentials.timestamp == "required":
            raise CredentialsFailed(f"no time stamp of {url}: {problem}")
        return Signed(_signed(self._key, data, mime, told, None), f"signed without a time stamp of {url}: {problem}")

    def _stamped(self, data: bytes, mime: str, told: dict[str, Any], url: str) -> tuple[bytes | None, str]:
        """A file with a time stamp; or none, and why."""
        if _CONTEXTS.is_down(url):
            return None, f"it gave none a moment ago, and is asked again after {REST:.0f} s"
        problem, tries = "", 0
        for wait in WAITS[self._credentials.timestamp]:
            tries += 1
            time.sleep(wait)
            started = time.monotonic()
            try:
                return _signed(self._key, data, mime, told, url), ""
            except CredentialsFailed as error:
                problem = str(error)
            if time.monotonic() - started > SLOW:
                break
        _CONTEXTS.failed(url)
        return None, f"{problem} (tries: {tries})"


def _signed(key: SigningKey, data: bytes, mime: str, told: dict[str, Any], url: str | None) -> bytes:
    import c2pa

    signed = io.BytesIO()
    try:
        with c2pa.Builder(told, context=_CONTEXTS.of(key, url)) as builder:
            builder.sign(mime, io.BytesIO(data), signed)
    except c2pa.C2paError as error:
        raise CredentialsFailed(one_line(str(error))[:300]) from None
    return signed.getvalue()
