"""What a file's content credential says, and whether it still holds: one verdict a file, whatever its bytes are."""

from __future__ import annotations

import io
import re
import threading
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Any

from PIL import Image

from inference.credentials.chain import DEVELOPMENT
from inference.credentials.signing import settings_of
from inference.finishing.encode import one_line
from inference.finishing.metadata import SIGNED_MARK

if TYPE_CHECKING:
    import c2pa


class Verdict(StrEnum):
    """What is said of a file."""

    TRUSTED = "trusted"
    UNKNOWN_ISSUER = "unknown_issuer"
    DEVELOPMENT = "development"
    EXPIRED = "expired"
    TAMPERED = "tampered"
    STRIPPED = "stripped"
    NONE = "none"
    UNREADABLE = "unreadable"


FINE = frozenset((Verdict.TRUSTED, Verdict.UNKNOWN_ISSUER, Verdict.DEVELOPMENT))
"""The credential is there, and the file is as it was signed."""

_MAGIC = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
_CHANGED = {
    "assertion.dataHash.mismatch": "picture or metadata were changed after it was signed",
    "assertion.bmffHash.mismatch": "picture or metadata were changed after it was signed",
    "assertion.hashedURI.mismatch": "its credential was changed",
    "claimSignature.mismatch": "its credential was changed, or signed with another key than its certificate's",
    "signingCredential.revoked": "the signer's certificate was revoked",
    "signingCredential.invalid": "its certificate is none that readers accept",
}
_EXPIRED = "signingCredential.expired"
_MAX_TEXT = 300
_SOURCE_TYPE = re.compile(r"Iptc4xmpExt:DigitalSourceType(?:=[\"']|>\s*)(?:[^<\"']*/)?(\w+)")


@dataclass(frozen=True)
class Found:
    """What a file says of itself.

    Attributes:
        verdict: whether its credential holds.
        why: what was changed, or what is missing, "" where nothing is.
        issuer: the organisation that signed it.
        signed_at: by its time stamp, "" without one.
        made_by: the model that it names.
        source_type: IPTC's digital source type in the credential.
        iptc: the same in its XMP.
        training: what it says of its use for training and data mining.
        sources: pictures it was made from.
    """

    verdict: Verdict
    why: str = ""
    issuer: str = ""
    signed_at: str = ""
    made_by: str = ""
    source_type: str = ""
    iptc: str = ""
    training: str = ""
    sources: int = 0

    def as_dict(self) -> dict[str, Any]:
        return asdict(self)


class CredentialReader:
    """Reads files in any number of threads.

    Args:
        anchors: root certificates of signers to trust, PEM.
    """

    def __init__(self, anchors: str = "") -> None:
        self._anchors, self._lock = anchors, threading.Lock()
        self._made: c2pa.Context | None = None

    @property
    def _context(self) -> c2pa.Context:
        import c2pa

        with self._lock:
            if self._made is None:
                self._made = c2pa.Context(c2pa.Settings.from_dict(settings_of(self._anchors)))
            return self._made

    def read(self, data: bytes) -> Found:
        """What a file says; never raises for what its bytes are."""
        mime = mime_of(data)
        if mime is None:
            return Found(Verdict.UNREADABLE, "is no JPEG, PNG, WebP or AVIF")
        xmp = xmp_of(data)
        iptc = match[1] if (match := _SOURCE_TYPE.search(xmp or "")) else ""
        read, problem = self._manifest(data, mime)
        if read is None:
            return _without(data, mime, xmp or "", iptc, problem)
        found = _judged(data, mime, *read, iptc)
        if xmp is None and found.verdict in FINE:  # padding of a credential is under no hash, and a PNG's sums are
            return replace(found, verdict=Verdict.TAMPERED, why="is damaged, and opens as a picture no more")
        return found

    def _manifest(self, data: bytes, mime: str) -> tuple[tuple[str, Mapping[str, Any], Mapping[str, Any]] | None, str]:
        """Validation state, results and manifest; or none, and why where there is one that cannot be read."""
        import c2pa

        try:
            with c2pa.Reader(mime, io.BytesIO(data), context=self._context) as reader:
                state = str(reader.get_validation_state() or "")
                return (state, reader.get_validation_results() or {}, reader.get_active_manifest() or {}), ""
        except c2pa.C2paError.ManifestNotFound:
            return None, ""
        except Exception as error:  # whatever the file holds, it is judged and not crashed on
            return None, one_line(error)


def mime_of(data: bytes) -> str | None:
    """What a file is by its first bytes; None for anything else than the formats that are delivered."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "image/webp"
    if data[4:8] == b"ftyp" and data[8:12] == b"avif":
        return "image/avif"
    return next((mime for magic, mime in _MAGIC.items() if data.startswith(magic)), None)


def xmp_of(data: bytes) -> str | None:
    """The XMP packet of a picture, "" without one; None where it is no picture that opens."""
    try:
        with Image.open(io.BytesIO(data)) as image:
            found = image.info.get("xmp") or image.info.get("XML:com.adobe.xmp") or b""
    except Exception:  # codecs fail in many ways on what is no picture
        return None
    return found.decode("utf-8", "replace") if isinstance(found, bytes) else str(found)


def _without(data: bytes, mime: str, xmp: str, iptc: str, problem: str) -> Found:
    if problem:
        why = ending(data, mime) or f"its credential cannot be read ({problem[:200]})"
        return Found(Verdict.TAMPERED if _holds_credential(data) else Verdict.UNREADABLE, why, iptc=iptc)
    if SIGNED_MARK in xmp:
        return Found(Verdict.STRIPPED, "its metadata says that it was signed, and the credential is gone", iptc=iptc)
    if _holds_credential(data):
        why = ending(data, mime) or "it is damaged: no reader finds the content credential that is in it"
        return Found(Verdict.TAMPERED, why, iptc=iptc)
    return Found(Verdict.NONE, "carries no content credential", iptc=iptc)


def _holds_credential(data: bytes) -> bool:
    return b"jumb" in data and b"c2pa" in data


def _judged(
    data: bytes, mime: str, state: str, results: Mapping[str, Any], manifest: Mapping[str, Any], iptc: str
) -> Found:
    failures = [_text(_part(one, "code")) for one in _items(_part(results.get("activeManifest"), "failure"))]
    issuer = _text(_part(manifest.get("signature_info"), "issuer"))
    if state == "Trusted" and issuer != DEVELOPMENT:
        verdict, why = Verdict.TRUSTED, ""
    elif state in ("Trusted", "Valid"):
        verdict, why = (Verdict.DEVELOPMENT if issuer == DEVELOPMENT else Verdict.UNKNOWN_ISSUER), ""
    elif failures and set(failures) <= {_EXPIRED, "signingCredential.untrusted"}:
        verdict, why = Verdict.EXPIRED, "its certificate has ended, and no time stamp says that it was signed before"
    else:
        verdict, why = Verdict.TAMPERED, _what_changed(data, mime, failures)
    if verdict in FINE and (broken := _broken_sources(results)):
        why = f"{broken} of the pictures it was made from had credentials that do not hold"
    return _told(verdict, why, manifest, issuer, iptc)


def _what_changed(data: bytes, mime: str, failures: Iterable[str]) -> str:
    told = dict.fromkeys(_CHANGED.get(code, code) for code in failures if code != "signingCredential.untrusted")
    return ending(data, mime) or ", ".join(told) or "its credential does not hold"


def _broken_sources(results: Mapping[str, Any]) -> int:
    deltas = _items(results.get("ingredientDeltas"))
    return sum(bool(_part(_part(one, "validationDeltas"), "failure")) for one in deltas)


def ending(data: bytes, mime: str) -> str:
    """What is wrong with the end of a file, "" where nothing is: bytes behind the picture, or a part cut off."""
    over = _over(data, mime)
    if over is None or over < 0:
        return "the end of the file is cut off"
    return f"{over:,} bytes were added behind the picture" if over else ""


def _over(data: bytes, mime: str) -> int | None:
    if mime == "image/webp":
        return len(data) - int.from_bytes(data[4:8], "little") - 8
    if mime == "image/avif":
        return len(data) - _end_of_boxes(data)
    last = b"IEND\xaeB`\x82" if mime == "image/png" else b"\xff\xd9"
    end = data.rfind(last)
    return None if end < 0 else len(data) - end - len(last)


def _end_of_boxes(data: bytes) -> int:
    """Where the boxes of an ISO base media file end, behind the file where the last one is cut off."""
    end = 0
    while data[end + 4 : end + 8].isalnum() and len(data) - end >= 8:
        length = int.from_bytes(data[end : end + 4], "big")
        if length == 1:
            length = int.from_bytes(data[end + 8 : end + 16], "big")
        if length < 8:  # 0 is "to the end"
            return len(data) if length == 0 else end
        end += length
    return end


def _told(verdict: Verdict, why: str, manifest: Mapping[str, Any], issuer: str, iptc: str) -> Found:
    """What a credential says, as far as it is of a shape that is known: anybody may have written it."""
    assertions = {_text(_part(one, "label")): _part(one, "data") for one in _items(manifest.get("assertions"))}
    actions = [data for label, data in assertions.items() if label.startswith("c2pa.actions")]
    first = next(iter(_items(_part(actions[0], "actions"))), None) if actions else None
    agent = _part(first, "softwareAgent")
    names = [agent] if isinstance(agent, str) else [_part(agent, "name"), _part(agent, "version")]
    entries = _part(assertions.get("cawg.training-mining"), "entries")
    uses = [_text(_part(use, "use")) for use in (entries.values() if isinstance(entries, Mapping) else ())]
    return Found(
        verdict,
        why,
        issuer=issuer,
        signed_at=_text(_part(manifest.get("signature_info"), "time")),
        made_by=" ".join(filter(None, map(_text, names))),
        source_type=_text(_part(first, "digitalSourceType")).rpartition("/")[2],
        iptc=iptc,
        training=", ".join(dict.fromkeys(filter(None, uses))),
        sources=sum(_part(one, "relationship") == "inputTo" for one in _items(manifest.get("ingredients"))),
    )


def _part(value: object, name: str) -> Any:
    return value.get(name) if isinstance(value, Mapping) else None


def _items(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _text(value: object) -> str:
    return value[:_MAX_TEXT] if isinstance(value, str) else ""
