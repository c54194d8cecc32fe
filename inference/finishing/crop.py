"""From a master's shape to a channel's."""

from __future__ import annotations

from PIL import Image


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
