"""What makes the pictures of a shot one line: what they are asked for, whatever the product."""

from __future__ import annotations

import hashlib
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.identity import canonical_json
from catalogs.plans.wanted import PlanningModel

_LENGTH = 16


def shot_lines(campaign: Campaign, model: PlanningModel) -> dict[str, str]:
    """The name of every shot's line that checks can reject pictures of; {} where none can.

    It hashes the shot as the campaign spells it, the limits that reject, and the model: a change of any begins a line
    of its own. Overlays change no picture, and channels and sizes show the same line.
    """
    quality = campaign.quality
    if quality is None or model.kind != "render" or not quality.stop_line:
        return {}
    lines = {}
    for name, shot in campaign.shots.items():
        limits = {check: limit for check, limit in quality.reject_of(name) if limit is not None}
        if limits:
            asked: dict[str, Any] = {
                "shot": shot.model_dump(mode="json", exclude={"overlay", "channels", "size"}),
                "reject": limits,
                "model": [model.name, model.revision, model.weight_precision, list(model.lora), model.options],
                "prompt_style": campaign.prompt_style,
            }
            if "embedding" in limits:
                asked["likeness_model"] = quality.likeness_model
            lines[name] = hashlib.sha256(canonical_json(asked).encode()).hexdigest()[:_LENGTH]
    return lines
