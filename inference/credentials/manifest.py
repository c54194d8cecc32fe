"""What a content credential says of a file, as c2pa reads it: how it was made, from what, and what it may be used for.

Prompts and seeds are in none; of reference photos the file's name, its format, its role and the SHA-256 of its bytes.
"""

from __future__ import annotations

import posixpath
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from catalogs.campaigns.credentials import TrainingMining
from inference.finishing.sign import Edit

SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"
GENERATED, COMPOSITE = "trainedAlgorithmicMedia", "compositeWithTrainedAlgorithmicMedia"
_ACTIONS = {
    "crop": "c2pa.cropped",
    "resize": "c2pa.resized",
    "background": "c2pa.edited",
    "overlay": "c2pa.edited",
    # Bound to no soft-binding assertion: C2PA 2.3 has two words, and 2.4 deprecates the one without an ending.
    "watermark": "c2pa.watermarked.unbound",
    "encode": "c2pa.transcoded",
}
_TRAINING = ("cawg.ai_generative_training", "cawg.ai_training", "cawg.data_mining")
_FORMATS = {
    "avif": "image/avif",
    "gif": "image/gif",
    "jpeg": "image/jpeg",
    "jpg": "image/jpeg",
    "png": "image/png",
    "tif": "image/tiff",
    "tiff": "image/tiff",
    "webp": "image/webp",
}
_MAX_TITLE = 200
UNNAMED = "generated picture"


@dataclass(frozen=True, slots=True)
class Source:
    """A picture that was shown to the model.

    Attributes:
        title: its file's name, or which shot it is.
        format: MIME type.
        sha256: of its bytes; of another shot's picture its render fingerprint.
        role: what it shows.
    """

    title: str
    format: str
    sha256: str
    role: str

    @classmethod
    def photo(cls, uri: str, sha256: str, role: str, named: bool = True) -> Source:
        """A photo by where it is: of that the name of the file alone, as folders and queries of URLs may be private.

        Args:
            named: False keeps that name private too.
        """
        path = urlsplit(uri).path if "://" in uri else uri
        name = posixpath.basename(path)
        extension = posixpath.splitext(name)[1].lstrip(".").lower()
        title = name[:_MAX_TITLE] if named else ""
        return cls(title or "photo", _FORMATS.get(extension, "application/octet-stream"), sha256, role)


@dataclass(frozen=True, slots=True)
class Making:
    """How the picture of a file was made.

    Attributes:
        title: what the file is called in its credential, "" to keep that private.
        model: what made the pixels, "" to keep that private.
        sources: reference pictures, in the order the model saw them, and the photos behind other shots' pictures.
        composite: pixels of a real photo stay in it; without one, references only told the model what to make.
        version: of packshot.
    """

    title: str
    model: str
    model_revision: str
    sources: tuple[Source, ...] = ()
    composite: bool = False
    version: str = ""


def manifest(
    making: Making, mime: str, edits: Sequence[Edit], training_mining: TrainingMining, now: datetime | None = None
) -> dict[str, Any]:
    """What c2pa's builder takes."""
    when = (now or datetime.now(UTC)).strftime("%Y-%m-%dT%H:%M:%SZ")
    actions = [_created(making), *(_action(edit, when) for edit in edits)]
    assertions = [_assertion("c2pa.actions.v2", {"actions": actions, "allActionsIncluded": True})]
    if training_mining != "unsaid":
        use = "allowed" if training_mining == "allowed" else "notAllowed"
        assertions.append(_assertion("cawg.training-mining", {"entries": {name: {"use": use} for name in _TRAINING}}))
    return {
        "claim_generator_info": [_named("packshot", making.version)],
        "title": making.title[:_MAX_TITLE] or UNNAMED,
        "format": mime,
        "ingredients": [
            {"title": source.title, "format": source.format, "relationship": "inputTo", "label": label}
            for label, source in _labelled(making.sources)
        ],
        "assertions": assertions,
    }


def _labelled(sources: Iterable[Source]) -> list[tuple[str, Source]]:
    return [(f"image-{number}", source) for number, source in enumerate(sources, 1)]


def _created(making: Making) -> dict[str, Any]:
    created: dict[str, Any] = {
        "action": "c2pa.created",
        "digitalSourceType": SOURCE_TYPES + (COMPOSITE if making.composite else GENERATED),
    }
    if making.model:
        created["softwareAgent"] = _named(making.model, making.model_revision)
    if making.sources:
        # c2pa keeps no hash of a picture that is itself unsigned.
        told = {label: {"role": one.role, "sha256": one.sha256} for label, one in _labelled(making.sources)}
        created["parameters"] = {"ingredientIds": list(told), "packshot.references": told}
    return created


def _named(name: str, version: str) -> dict[str, str]:
    return {"name": name, "version": version} if version else {"name": name}


def _action(edit: Edit, when: str) -> dict[str, Any]:
    parameters: Mapping[str, object] = {f"packshot.{name}": value for name, value in edit.parameters.items()}
    told = {"packshot.step": edit.step, **parameters}
    return {"action": _ACTIONS[edit.step], "when": when, "parameters": told}


def _assertion(label: str, data: Mapping[str, Any]) -> dict[str, Any]:
    return {"label": label, "data": data, "created": True}
