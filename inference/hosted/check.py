"""One small paid picture: does a key work, and does the hosted API still answer as this client expects?"""

from __future__ import annotations

import asyncio
import io
import time
from typing import Any

from PIL import Image

from catalogs.errors import EngineError, ModelError, OptionError, SpendError
from catalogs.money import Micro, shown, usd
from inference.hosted.client import KEY_VARIABLE, ApiKey, BadKey, BflClient, BflError, OutOfCredits
from inference.hosted.links import LinkTrouble
from inference.hosted.pace import Pace
from inference.models.estimates import estimate_cost
from inference.models.specs import ModelSpec
from inference.models.table import MODELS

SIDE = 256
PROMPT = "a white ceramic mug on a light grey table, soft daylight from the left"


def price_of_check(name: str) -> tuple[float, float]:
    """USD, low and high; raises ModelError for what is no hosted model."""
    return estimate_cost(_spec(name), SIDE, SIDE, [])


def _spec(name: str) -> ModelSpec:
    spec = MODELS.get(name if name.startswith("bfl/") else f"bfl/{name}")
    if spec is None:
        hosted = ", ".join(spec.name for spec in MODELS.values() if spec.engine == "bfl")
        raise ModelError("--check", "", f"there is no hosted model {name!r}", f"use one of {hosted}")
    return spec


def check_model(name: str, base_url: str, key: ApiKey) -> dict[str, Any]:
    """Make the picture and say what came back.

    Raises:
        OptionError: the key or the base URL cannot be used.
        SpendError: the account is out of credits.
        EngineError: no picture came; it may have been paid for.
    """
    try:
        return asyncio.run(_check(_spec(name), base_url, key))
    except BadKey as error:
        raise OptionError(KEY_VARIABLE, "", f"the API does not accept the key ({error})", "correct it") from None
    except OutOfCredits as error:
        raise SpendError("bfl", "credits", f"the account is out of credits ({error})", "buy credits") from None
    except (BflError, LinkTrouble) as error:
        raise EngineError(f"{name}: {type(error).__name__}: {error}") from None


async def _check(spec: ModelSpec, base_url: str, key: ApiKey) -> dict[str, Any]:
    client = BflClient(base_url, key)
    try:
        before = await client.credits()
        started = time.monotonic()
        task = await client.submit(spec.repository, _body(spec))
        sample = await client.wait(task.polling_url, started, 0.0, spec.deadline, Pace(spec.first_look))
        seconds = time.monotonic() - started
        data = await client.links.download(sample.url)
        after = await client.credits()
    finally:
        await client.close()
    with Image.open(io.BytesIO(data)) as image:
        picture = f"{image.format} {image.width}x{image.height}, {len(data)} bytes"
    return {
        "model": spec.name,
        "task": task.id,
        "seconds": round(seconds, 2),
        "cost_usd": None if task.cost is None else usd(task.cost),
        "megapixels": task.output_mp,
        "picture": picture,
        "seed": sample.seed,
        "rewritten": bool(sample.prompt) and sample.prompt != PROMPT,
        "account_usd": _account(before, after),
    }


def _account(before: Micro | None, after: Micro | None) -> str | None:
    return None if before is None or after is None else f"{shown(before)} before, {shown(after)} after"


def _body(spec: ModelSpec) -> dict[str, Any]:
    body: dict[str, Any] = {"prompt": PROMPT, "seed": 1, "width": SIDE, "height": SIDE, "output_format": "png"}
    if "disable_pup" in spec.fields:
        body["disable_pup"] = True
    if "prompt_upsampling" in spec.fields:
        body["prompt_upsampling"] = False
    return body
