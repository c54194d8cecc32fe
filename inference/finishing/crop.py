"""From a master's shape to a channel's."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.quality.box import Box
from inference.quality.placement import Product, place
from inference.quality.subject import Subject, find_subject

Fill = tuple[float, float]
ProductOf = Callable[[], Product | None]
"""Loads the product of the picture's reference photo, None where there is none that can be cut out."""

WHOLE = (0.0, 0.96)
"""Fill where a channel has no rule: the subject is whole, with a little air."""

MOST_ENLARGED = 2.0
"""A subject is enlarged at most so much beyond what the centre crop would show: more is blur."""


@dataclass(frozen=True, slots=True)
class Cropped:
    """A picture of a channel's size.

    Attributes:
        part: width and height of what is shown, in pixels of the master; larger than it where the ground is carried on.
        fill: share of it that the subject takes, by its longer side; None where that is the centre.
        problem: why it is the centre and not the subject that was asked for, "" where it is that.
    """

    picture: Image.Image
    part: tuple[int, int] | None
    fill: float | None = None
    problem: str = ""


def cropped(image: Image.Image, width: int, height: int) -> Image.Image:
    """The largest centre part of the target's ratio, at exactly the target's size."""
    if image.size == (width, height):
        return image
    scale = min(image.width / width, image.height / height)
    across, down = width * scale, height * scale
    left, top = (image.width - across) / 2, (image.height - down) / 2
    if scale == 1:
        # Whole pixels are kept as they are: resampling by half a pixel would only blur.
        left, top = int(left), int(top)
        return image.crop((left, top, left + width, top + height))
    # Float sums can pass the edge by an ulp, which resize refuses.
    box = (max(left, 0), max(top, 0), min(left + across, image.width), min(top + down, image.height))
    return image.resize((width, height), Image.Resampling.LANCZOS, box=box)


def no_product() -> None:
    """Of a picture that was made without a photo."""


def cropped_to_subject(
    image: Image.Image, width: int, height: int, fill: Fill | None, product: ProductOf = no_product
) -> Cropped:
    """The part of the target's ratio in which the subject is whole and takes its share, else the centre.

    The ground is carried on where that part is larger than the picture. In a scene, and where the subject touches an
    edge, it is where the product of the reference photo fits, and nothing is carried on.

    Args:
        image: RGB.
        fill: least and most share that the subject takes, by its longer side; None asks only that it is whole.
        product: called there alone; what it raises goes to the caller.
    """
    found = find_subject(image)
    if isinstance(found, str):
        return _cropped_by_photo(image, (width, height), fill, found, product())
    window = _window(found.box, image.size, width / height, fill or WHOLE)
    if problem := _cannot_carry_on(found, window, image.size):
        return _cropped_by_photo(image, (width, height), fill, problem, product())
    if window.width == width and window.height == height:
        # Whole pixels are kept as they are, as above.
        left, top = round(window.left), round(window.top)
        window = Box(left, top, left + width, top + height)
    part, fill_now = (round(window.width), round(window.height)), _fill_of(found.box, window)
    image, window = _carried_on(image, found, window)
    box = (window.left, window.top, min(window.right, image.width), min(window.bottom, image.height))
    return Cropped(image.resize((width, height), Image.Resampling.LANCZOS, box=box), part, fill_now)


def _cropped_by_photo(
    image: Image.Image, size: tuple[int, int], fill: Fill | None, problem: str, product: Product | None
) -> Cropped:
    """The part in which the product of the photo is whole; `problem` is why no subject was found without one."""
    placed = None if product is None else place(image, product)
    if product is not None and (placed is None or not placed.fits):
        problem = f"{problem}, and the product of its photo fits nowhere as it is there"
    elif placed is not None:
        window = _window(placed.box, image.size, size[0] / size[1], fill or WHOLE)
        if window.width <= image.width + 0.5 and window.height <= image.height + 0.5:
            box = (
                max(window.left, 0),
                max(window.top, 0),
                min(window.right, image.width),
                min(window.bottom, image.height),
            )
            part = (round(window.width), round(window.height))
            fill_now = _fill_of(placed.box, window)
            return Cropped(image.resize(size, Image.Resampling.LANCZOS, box=box), part, fill_now)
        problem = "the product takes more of the scene than it may, and a scene is not carried on"
    return Cropped(cropped(image, *size), None, problem=problem)


def _fill_of(box: Box, window: Box) -> float:
    return max(box.width / window.width, box.height / window.height)


def cut_by_centre(box: Box, size: tuple[int, int], width: int, height: int) -> float:
    """The share of a subject's longer side that the centre of the target's ratio cuts off, 0 where it is whole.

    Args:
        box: of the subject in a picture of that size.
    """
    scale = min(size[0] / width, size[1] / height)
    beside, above = (size[0] - width * scale) / 2, (size[1] - height * scale) / 2
    across = max(0.0, beside - box.left) + max(0.0, box.right - (size[0] - beside))
    down = max(0.0, above - box.top) + max(0.0, box.bottom - (size[1] - above))
    return min(1.0, max(across, down) / max(box.width, box.height))


def _window(box: Box, size: tuple[int, int], ratio: float, fill: Fill) -> Box:
    """The part to show, in pixels of the picture: about the subject, and inside the picture where it fits in."""
    most = min(size[1], size[0] / ratio)  # the centre crop's height
    subject = max(box.width / ratio, box.height)  # the height of a part that the subject would take whole
    least_fill, most_fill = fill
    if least_fill <= subject / most <= most_fill:
        height = most
    elif subject / most > most_fill:
        height = subject / most_fill if least_fill == 0 else subject / _aim(fill)
    else:
        height = max(subject / _aim(fill), most / MOST_ENLARGED)
    left = _placed((box.left + box.right) / 2, height * ratio, size[0])
    top = _placed((box.top + box.bottom) / 2, height, size[1])
    return Box(left, top, left + height * ratio, top + height)


def _aim(fill: Fill) -> float:
    return (fill[0] + min(fill[1], 0.96)) / 2


def _placed(centre: float, length: float, whole: int) -> float:
    """Where a part starts that is centred there, moved into the picture if it is no longer than that."""
    start = centre - length / 2
    return start if length > whole else min(max(start, 0.0), whole - length)


def _cannot_carry_on(found: Subject, window: Box, size: tuple[int, int]) -> str:
    """Why the picture cannot be made larger, "" where it need not or can be: a subject that is cut off stays so."""
    mask = found.mask
    beyond = (
        (window.left < -0.5, mask[:, 0], "left"),
        (window.top < -0.5, mask[0], "upper"),
        (window.right > size[0] + 0.5, mask[:, -1], "right"),
        (window.bottom > size[1] + 0.5, mask[-1], "lower"),
    )
    for is_beyond, edge, name in beyond:
        if is_beyond and edge.any():
            return f"the subject touches the {name} edge"
    return ""


def _carried_on(image: Image.Image, found: Subject, window: Box) -> tuple[Image.Image, Box]:
    """The picture with as much more ground on each side as the window shows, and the window in it."""
    left, top = max(0, int(np.ceil(-window.left))), max(0, int(np.ceil(-window.top)))
    right = max(0, int(np.ceil(window.right - image.width)))
    bottom = max(0, int(np.ceil(window.bottom - image.height)))
    if not (left or top or right or bottom):
        # Float sums can pass the edge by an ulp, which resize refuses.
        return image, Box(max(window.left, 0), max(window.top, 0), window.right, window.bottom)
    around = np.pad(found.ground_of(image.size), ((top, bottom), (left, right), (0, 0)), mode="edge")
    # Half a level of noise, always the same: rounded without it a slow gradient has stripes.
    around += np.random.default_rng(0).random(around.shape[:2], np.float32)[..., None] - np.float32(0.5)
    canvas = Image.fromarray(np.clip(np.rint(around), 0, 255).astype(np.uint8))
    canvas.paste(image, (left, top), _seam(image.size, found.box))
    return canvas, Box(window.left + left, window.top + top, window.right + left, window.bottom + top)


def _seam(size: tuple[int, int], box: Box) -> Image.Image:
    """How much of the picture is shown where it meets the carried-on ground: all of it from the subject on."""
    width, height = size
    deep = [box.left, box.top, width - box.right, height - box.bottom]
    left, top, right, bottom = (max(1.0, min(room, 0.04 * min(size))) for room in deep)
    across, down = np.arange(width) + 0.5, np.arange(height) + 0.5
    by_column = np.minimum(np.minimum(across / left, (width - across) / right), 1)
    by_row = np.minimum(np.minimum(down / top, (height - down) / bottom), 1)
    return Image.fromarray(np.rint(np.minimum(by_row[:, None], by_column[None]) * 255).astype(np.uint8))
