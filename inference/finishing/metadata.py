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
MAX_PROMPT_TEXT = 5_000  # with all else within the 64 kB that a JPEG has for XMP


@dataclass(frozen=True, slots=True)
class AssetMetadata:
    """What a delivered file says of itself; of what is "" nothing.

    Attributes:
        fingerprint: the asset's fingerprint.
        brand: name of the brand.
        product: name of the product or look, for people.
        proof: True for a layout proof, which makes no claim to be a generated picture.
        model: what made the pixels, "" when unknown.
        model_revision: its pinned revision.
        rights: the brand's legal line.
        signed: whether a content credential is signed over the file, so that one without can be told to be stripped.
        credit: who is to be named with the picture; None is the brand.
        prompt: what the model was given.
        prompt_writer: who wrote it.
        web_statement: address of the terms of use.
        licensor_url: address where a licence can be had.
    """

    fingerprint: str
    brand: str
    product: str
    proof: bool = False
    model: str = ""
    model_revision: str = ""
    rights: str = ""
    signed: bool = False
    credit: str | None = None
    prompt: str = ""
    prompt_writer: str = ""
    web_statement: str = ""
    licensor_url: str = ""


def embedded(metadata: AssetMetadata, format: str) -> dict[str, Any]:
    """Pillow's save options that carry profile, EXIF and XMP."""
    xmp = xmp_packet(metadata)
    exif = Image.Exif()
    exif[0x0131] = SOFTWARE
    if description := _description(metadata):
        exif[0x010E] = description.encode()
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
        "photoshop:Credit": metadata.brand if metadata.credit is None else metadata.credit,
    }
    if not metadata.proof:
        simple["Iptc4xmpExt:DigitalSourceType"] = TRAINED_ALGORITHMIC_MEDIA
        simple["Iptc4xmpExt:AISystemUsed"] = metadata.model
        simple["Iptc4xmpExt:AISystemVersionUsed"] = metadata.model_revision
        simple["Iptc4xmpExt:AIPromptInformation"] = metadata.prompt
        simple["Iptc4xmpExt:AIPromptWriterName"] = metadata.prompt_writer
    simple["xmpRights:WebStatement"] = metadata.web_statement
    if metadata.signed:
        simple[SIGNED_MARK] = "C2PA"
    lines = [f"   <{name}>{escape(_cut(name, value))}</{name}>" for name, value in simple.items() if value]
    texts = {"dc:title": title, "dc:description": _description(metadata), "dc:rights": _text(metadata.rights)}
    lines += [_alternatives(name, text) for name, text in texts.items() if text]
    if metadata.licensor_url:
        lines.append(_LICENSOR.format(escape(_text(metadata.licensor_url))))
    said = "\n".join(lines)
    namespaces = (f'\n    xmlns:{name}="{uri}"' for name, uri in _FURTHER_NAMESPACES.items() if f"<{name}:" in said)
    head = _XMP_HEAD.replace(_LAST_NAMESPACE, "".join((_LAST_NAMESPACE, *namespaces)))
    return (head + said + _XMP_TAIL).encode()


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
_FURTHER_NAMESPACES = {
    "packshot": "urn:packshot:1",
    "xmpRights": "http://ns.adobe.com/xap/1.0/rights/",
    "plus": "http://ns.useplus.org/ldf/xmp/1.0/",
}
"""Those that not every file uses."""
_LICENSOR = (
    '   <plus:Licensor><rdf:Seq><rdf:li rdf:parseType="Resource">'
    "<plus:LicensorURL>{}</plus:LicensorURL></rdf:li></rdf:Seq></plus:Licensor>"
)
_XMP_TAIL = """
  </rdf:Description>
 </rdf:RDF>
</x:xmpmeta>
<?xpacket end="w"?>"""


def _alternatives(name: str, text: str) -> str:
    item = f'<rdf:li xml:lang="x-default">{escape(text)}</rdf:li>'
    return f"   <{name}><rdf:Alt>{item}</rdf:Alt></{name}>"


def _description(metadata: AssetMetadata) -> str:
    what = " by ".join(filter(None, (metadata.product, metadata.brand)))
    return _text(f"{PROOF_TITLE}: {what}" if metadata.proof else what)


def _cut(name: str, value: str) -> str:
    return _text(value, MAX_PROMPT_TEXT if name.endswith(":AIPromptInformation") else MAX_METADATA_TEXT)


def _text(value: str, most: int = MAX_METADATA_TEXT) -> str:
    """Cut, and without the characters that XML 1.0 cannot hold in any spelling."""
    kept = re.sub(r"[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]", "", value)
    return kept[:most]
