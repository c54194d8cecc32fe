"""What a server does of what it is asked, found out with six small pictures: seed, steps, order of references.

Whether it cuts long prompts cannot be told from outside.
"""

from __future__ import annotations

import io
from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from inference.remote.pictures import OtherPicture, pixels_of
from inference.servers.client import Ask, BadAnswer, Busy, Client, Refused
from inference.servers.served import Served

SIDE = 256
_PROMPT = "a white ceramic mug and a red book on a light grey table, soft daylight from the left"
_IN_ORDER = "image 1 on the left and image 2 on the right, side by side on a white table"
DIFFERENT = 4.0
"""Times the difference of two answers to one request, that answers to two must differ."""
LEAST = 0.25
"""Levels of 255 that answers to two requests must differ in any case."""

HONOURED, IGNORED, UNKNOWN = "honoured", "ignored", "not told"


@dataclass(frozen=True)
class Verdicts:
    """One server's.

    Attributes:
        seed: `honoured`, `ignored`, or `not told` with why.
        steps: the same.
        references: `honoured` where another order makes another picture.
    """

    seed: str
    steps: str
    references: str

    def as_dict(self) -> dict[str, str]:
        return asdict(self)


Pictures = npt.NDArray[np.float32]


async def judge(client: Client, served: Served, model: str, steps: int, guidance: float | None, many: bool) -> Verdicts:
    """Ask a server for six pictures and compare them.

    Args:
        steps: that the model is made for.
        many: whether the model takes two references.

    Raises:
        ServerTrouble: it answers no picture at all.
    """
    probe = _Probe(client, served, model, guidance)
    first = await probe.picture(seed=1, steps=steps)
    again, other = await probe.picture(seed=1, steps=steps), await probe.picture(seed=2, steps=steps)
    noise = _difference(first, again)
    seed = HONOURED if _differs(first, other, noise) else IGNORED
    if seed == HONOURED and noise > _difference(first, other) / DIFFERENT:
        seed = IGNORED
    if seed == IGNORED:
        told = f"{UNKNOWN}: no two pictures can be compared"
        return Verdicts(seed, told, told if many else _too_few())
    fewer = await probe.perhaps(seed=1, steps=steps - 1 if steps > 1 else steps + 1)
    return Verdicts(
        seed,
        fewer if isinstance(fewer, str) else HONOURED if _differs(first, fewer, noise) else IGNORED,
        await _order(probe, steps, noise) if many else _too_few(),
    )


def _too_few() -> str:
    return f"{UNKNOWN}: the model takes no two references"


async def _order(probe: _Probe, steps: int, noise: float) -> str:
    photos = (_photo("#B02020", 0), _photo("#2040B0", 1))
    one = await probe.perhaps(seed=1, steps=steps, prompt=_IN_ORDER, references=photos)
    two = await probe.perhaps(seed=1, steps=steps, prompt=_IN_ORDER, references=photos[::-1])
    if isinstance(one, str) or isinstance(two, str):
        return one if isinstance(one, str) else str(two)
    return HONOURED if _differs(one, two, noise) else IGNORED


@dataclass
class _Probe:
    client: Client
    served: Served
    model: str
    guidance: float | None

    async def picture(
        self, seed: int, steps: int, prompt: str = _PROMPT, references: tuple[bytes, ...] = ()
    ) -> Pictures:
        ask = Ask(prompt, SIDE, SIDE, seed, steps, self.guidance, references)
        data = await self.client.picture(ask, self.served, self.model)
        try:
            pixels, _ = pixels_of(data, SIDE, SIDE)
        except OtherPicture as error:
            raise BadAnswer(str(error)) from None
        return pixels.astype(np.float32)

    async def perhaps(self, **asked: Any) -> Pictures | str:
        """A picture, or why there is none: a server may refuse what it would else ignore."""
        try:
            return await self.picture(**asked)
        except (Refused, BadAnswer) as error:
            return f"{UNKNOWN}: {error}"
        except Busy:
            raise


def _difference(one: Pictures, other: Pictures) -> float:
    """Mean difference in levels of 255."""
    return float(np.abs(one - other).mean())


def _differs(one: Pictures, other: Pictures, noise: float) -> bool:
    return _difference(one, other) > max(LEAST, DIFFERENT * noise)


def _photo(colour: str, place: int) -> bytes:
    """A photo of one colour with a mark that tells it from the other."""
    picture = Image.new("RGB", (SIDE, SIDE), colour)
    edges = [SIDE // 4 * n for n in range(5)]
    for number, (low, high) in enumerate(pairwise(edges)):
        if number % 2 == place:
            picture.paste("#FFFFFF", (low, SIDE // 3, high, 2 * SIDE // 3))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()
