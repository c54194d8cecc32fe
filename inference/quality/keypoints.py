"""What is on a product (seams, prints, letters of any script), by the keypoints that a picture has again of its photo.

Keypoints are ORB's (Rublee, Rabaud, Konolige and Bradski, "ORB: an efficient alternative to SIFT or SURF", 2011), found
and described by OpenCV. Those count that have one clear partner (Lowe's ratio) and lie where one affine map of all of
them lays them (RANSAC).
"""

from __future__ import annotations

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from inference.quality.box import Box

EXTRA = "packshot[keypoints]"

_SIDE = 256  # px of the longer side of a product
_RIM = 32  # px around it, where ORB finds nothing
_POINTS = 300
_LEAST_POINTS = 30  # a plain product has nothing on it to tell it by
_SCENE_SIDE, _SCENE_POINTS = 512, 1000  # of a picture in which the product may be anywhere
_CLEAR = 0.8  # times the distance of the second nearest
_NEAR = 5.0  # px that a keypoint may lie off
_ROUNDS = 1000
_LEAST_SCALE, _LARGEST_SCALE = 0.25, 4.0  # of a product in a scene to its frame: beyond, the map is of chance

Grey = NDArray[np.uint8]
Map = NDArray[np.float64]


class Keypoints(NamedTuple):
    """Those of a product in a frame of its own.

    Attributes:
        size: width and height of the frame.
        places: float32 of shape (number, 2), x and y in it.
        marks: uint8 of shape (number, 32), what each looks like.
    """

    size: tuple[int, int]
    places: NDArray[np.float32]
    marks: NDArray[np.uint8]


def can_find_keypoints() -> bool:
    """Whether what finds them is installed."""
    return _cv2() is not None


def keypoints_of(photo: Image.Image, box: Box) -> Keypoints | None:
    """Those of the product in an RGB photo; None where it is too plain."""
    found = _found(_framed(photo, box), _POINTS)
    return found if len(found.places) >= _LEAST_POINTS else None


def found_again(product: Keypoints, picture: Image.Image, box: Box | None) -> float:
    """The share of a product's keypoints that an RGB picture has again, in [0, 1].

    Args:
        box: of its subject; None where that cannot be told: then it is looked for everywhere.
    """
    if box is not None:
        return _shared(product, _found(_framed(picture, box), _POINTS))[0]
    share, laid = _shared(product, _found(_grey(picture, _SCENE_SIDE), _SCENE_POINTS))
    scale = 0.0 if laid is None else float(np.sqrt(abs(np.linalg.det(laid[:, :2]))))
    if laid is None or not _LEAST_SCALE <= scale <= _LARGEST_SCALE:
        return share
    straight = _found(_straightened(picture, laid, scale, product.size), _POINTS)
    return max(share, _shared(product, straight)[0])


@cache
def _cv2() -> Any:
    try:
        import cv2  # an extra
    except ImportError:  # also where a library of the system is missing that another build of it needs
        return None
    cv2.setNumThreads(1)  # pictures are judged side by side
    return cv2


def _grey(picture: Image.Image, side: int, box: Box | None = None) -> Grey:
    part = box or Box(0, 0, picture.width, picture.height)
    scale = side / max(part.width, part.height)
    size = (max(1, round(part.width * scale)), max(1, round(part.height * scale)))
    inside = (part.left, part.top, min(part.right, picture.width), min(part.bottom, picture.height))
    return np.asarray(picture.convert("L").resize(size, Image.Resampling.LANCZOS, box=inside))


def _framed(picture: Image.Image, box: Box) -> Grey:
    return np.pad(_grey(picture, _SIDE, box), _RIM, mode="edge")


def _straightened(picture: Image.Image, laid: Map, scale: float, size: tuple[int, int]) -> Grey:
    """The place where a product lies, as its frame would show it."""
    side = _SCENE_SIDE / scale
    seen = _grey(picture, round(side))
    cv2 = _cv2()
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    straight: Grey = cv2.warpAffine(seen, laid / scale, size, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return straight


def _found(grey: Grey, most: int) -> Keypoints:
    orb = _cv2().ORB_create(nfeatures=most, fastThreshold=10)
    points, marks = orb.detectAndCompute(grey, None)
    places = np.array([point.pt for point in points], np.float32).reshape(-1, 2)
    size = (grey.shape[1], grey.shape[0])
    return Keypoints(size, places, np.zeros((0, 32), np.uint8) if marks is None else marks)


def _shared(product: Keypoints, seen: Keypoints) -> tuple[float, Map | None]:
    """The share of a product's keypoints that are there again, and how they are laid there; None where they are not."""
    cv2 = _cv2()
    if len(seen.places) < 2:
        return 0.0, None
    pairs = cv2.BFMatcher(cv2.NORM_HAMMING).knnMatch(product.marks, seen.marks, k=2)
    clear = [first for first, second in pairs if first.distance < _CLEAR * second.distance]
    if len(clear) < 4:  # three make a map by themselves
        return 0.0, None
    here = product.places[[pair.queryIdx for pair in clear]]
    there = seen.places[[pair.trainIdx for pair in clear]]
    laid, fits = cv2.estimateAffine2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=_NEAR, maxIters=_ROUNDS)
    return (0.0, None) if laid is None else (int(fits.sum()) / len(product.places), laid)
