"""What a delivered file says of itself: XMP, EXIF and the colour profile."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from typing import Any
from xml.sax.saxutils import escape

from PIL import Image, ImageCms, PngImagePlugin

SOFTWARE = "packshot"
PROOF_TITLE = "PROOF - not a render"
TRAINED_ALGORITHMIC_MEDIA = "http://cv.iptc.org/newscodes/digitalsourcetype/trainedAlgorithmicMedia"
SIGNED_MARK = "packshot:ContentCredentials"
MAX_METADATA_TEXT = 500


@dataclass(frozen=True, slots=True)
class AssetMetadata:
    """What a delivered file says of itself.

    Attributes:
        fingerprint: the asset's fingerprint.
        brand: name of the brand.
        product: name of the product or look, for people.
        proof: True for a layout proof, which makes no claim to be a generated picture.
        model: what made the pixels, "" when unknown.
        model_revision: its pinned revision.
        rights: the brand's legal line.
        signed: whether a content credential is signed over the file, so that one without can be told to be stripped.
    """

    fingerprint: str
    brand: str
    product: str
    proof: bool = False
    model: str = ""
    model_revision: str = ""
    rights: str = ""
    signed: bool = False


def embedded(metadata: AssetMetadata, format: str) -> dict[str, Any]:
    """Pillow's save options that carry profile, EXIF and XMP."""
    xmp = xmp_packet(metadata)
    exif = Image.Exif()
    exif[0x0131] = SOFTWARE
    exif[0x010E] = _description(metadata).encode()
    if metadata.rights:
        exif[0x8298] = _text(metadata.rights).encode()
    options: dict[str, Any] = {"icc_profile": _srgb_profile(), "exif": exif.tobytes()}
    if format == "png":
        info = PngImagePlugin.PngInfo()
        info.add_itxt("XML:com.adobe.xmp", xmp.decode())
        return options | {"pnginfo": info}
    return options | {"xmp": xmp}


@cache
def _srgb_profile() -> bytes:
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    # The header holds the moment of creation; a fixed one keeps the bytes of a file reproducible.
    profile[24:36] = bytes.fromhex("07d000010001000000000000")
    return bytes(profile)


def xmp_packet(metadata: AssetMetadata) -> bytes:
    """The XMP packet of one asset, UTF-8. Properties as in the IPTC Photo Metadata Standard 2025.1."""
    title = PROOF_TITLE if metadata.proof else _text(metadata.product)
    simple = {
        "xmp:CreatorTool": SOFTWARE,
        "dc:identifier": metadata.fingerprint,
        "photoshop:Credit": metadata.brand,
    }
    if not metadata.proof:
        simple["Iptc4xmpExt:DigitalSourceType"] = TRAINED_ALGORITHMIC_MEDIA
        simple["Iptc4xmpExt:AISystemUsed"] = metadata.model
        simple["Iptc4xmpExt:AISystemVersionUsed"] = metadata.model_revision
    if metadata.signed:
        simple[SIGNED_MARK] = "C2PA"
    lines = [f"   <{name}>{escape(_text(value))}</{name}>" for name, value in simple.items() if value]
    texts = {"dc:title": title, "dc:description": _description(metadata), "dc:rights": _text(metadata.rights)}
    lines += [_alternatives(name, text) for name, text in texts.items() if text]
    head = _XMP_HEAD.replace(_LAST_NAMESPACE, _LAST_NAMESPACE + _OWN_NAMESPACE) if metadata.signed else _XMP_HEAD
    return (head + "\n".join(lines) + _XMP_TAIL).encode()


_XMP_HEAD = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/">
 <rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">
  <rdf:Description rdf:about=""
    xmlns:dc="http://purl.org/dc/elements/1.1/"
    xmlns:xmp="http://ns.adobe.com/xap/1.0/"
    xmlns:photoshop="http://ns.adobe.com/photoshop/1.0/"
    xmlns:Iptc4xmpExt="http://iptc.org/std/Iptc4xmpExt/2008-02-29/">
"""
_LAST_NAMESPACE = 'Iptc4xmpExt/2008-02-29/"'
_OWN_NAMESPACE = '\n    xmlns:packshot="urn:packshot:1"'
_XMP_TAIL = """
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def _alternatives(name: str, text: str) -> str:
    item = f'<rdf:li xml:lang="x-default">{escape(text)}</rdf:li>'
    return f"   <{name}><rdf:Alt>{item}</rdf:Alt></{name}>"


def _description(metadata: AssetMetadata) -> str:
    what = f"{metadata.product} by {metadata.brand}" if metadata.brand else metadata.product
    return _text(f"{PROOF_TITLE}: {what}" if metadata.proof else what)


def _text(value: str) -> str:
    """Cut, and without the characters that XML 1.0 cannot hold in any spelling."""
    kept = re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)
    return kept[:MAX_METADATA_TEXT]
