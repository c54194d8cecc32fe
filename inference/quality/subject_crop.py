"""The part of a picture that is compared with a photo: its subject alone, whatever it stands before."""

from __future__ import annotations

from PIL import Image

from inference.quality.subject import Subject

LONGEST = 8
"""Times as long as it is wide, at most: of a longer strip the middle is taken."""


def subject_crop(picture: Image.Image, found: Subject | str) -> Image.Image:
    """The subject of an RGB picture on white in the middle of a square, or the picture where none could be told."""
    return _alone(picture, found) if isinstance(found, Subject) else _middle(picture)


def _alone(picture: Image.Image, subject: Subject) -> Image.Image:
    box = subject.box
    cut = (max(0, round(box.left)), max(0, round(box.top)), round(box.right), round(box.bottom))
    cut = (*cut[:2], max(min(cut[2], picture.width), cut[0] + 1), max(min(cut[3], picture.height), cut[1] + 1))
    size = (cut[2] - cut[0], cut[3] - cut[1])
    shape = Image.fromarray(subject.mask).convert("L")
    across, down = shape.width / picture.width, shape.height / picture.height
    inside = (cut[0] * across, cut[1] * down, cut[2] * across, cut[3] * down)
    mask = shape.resize(size, Image.Resampling.BILINEAR, box=inside)
    square = Image.new("RGB", (max(size), max(size)), "white")
    square.paste(picture.crop(cut), ((max(size) - size[0]) // 2, (max(size) - size[1]) // 2), mask)
    return square


def _middle(picture: Image.Image) -> Image.Image:
    longest = LONGEST * min(picture.size)
    if max(picture.size) <= longest:
        return picture
    width, height = min(picture.width, longest), min(picture.height, longest)
    left, top = (picture.width - width) // 2, (picture.height - height) // 2
    return picture.crop((left, top, left + width, top + height))
