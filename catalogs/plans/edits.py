"""A plan that was changed after it was planned is refused.

Whoever edits a row asks for another picture under the fingerprint of the first, and the record would call it unchanged
for ever. So fingerprints are computed again from what header and row ask for.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from pydantic import ValidationError

from catalogs.assets.commits import identity_of
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.metadata import Metadata
from catalogs.campaigns.watermark import Mark
from catalogs.columns import Row, value_of
from catalogs.errors import CampaignError
from catalogs.identity import MASTER_CHANNEL, lora_marks, render_fingerprint
from catalogs.plans.decision import UNWANTED, Work
from catalogs.plans.file import PlanFile, PlanHeader
from catalogs.plans.finished import finished_fingerprint
from catalogs.plans.rows import request_of

_OF_THE_HEADER = ("campaign", "kind", "engine", "model", "model_revision", "weight_precision")
_SECTIONS = {Credentials.__name__: "credentials", Metadata.__name__: "metadata", Mark.__name__: "watermark"}


def refuse_edits(plan: PlanFile, rows: Iterable[Row]) -> None:
    """Check rows of a plan, also those of which nothing is to be done.

    Raises:
        CampaignError: the first row that is not what was planned.
    """
    try:
        rules = _Rules.of(plan.header)
    except ValidationError as error:
        what = _SECTIONS.get(error.title, "channels")
        raise _edited(plan, "its header", f"{what}: {error.errors()[0]['msg'].lower()}") from None
    except (AttributeError, KeyError, TypeError, ValueError):
        raise _edited(plan, "its header", "channels or LoRA files are none") from None
    seen: set[bytes] = set()
    for row in rows:
        problem = "" if _is_not_made(row) else _problem(row, plan.header, rules)
        digest = identity_of(row).digest()
        if digest in seen and row["action"] not in UNWANTED:
            problem = "it stands in the plan twice"
        seen.add(digest)
        if problem:
            where = "/".join(str(value_of(row, name)) for name in ("brand_id", "look", "shot", "channel", "variation"))
            raise _edited(plan, where, problem)


def _is_not_made(row: Row) -> bool:
    """Rows that ask for no picture: what is wanted no longer, and a look whose photo could not be read."""
    return row["action"] in UNWANTED or (not row["render_fingerprint"] and row["work"] in (Work.NONE, Work.COMMIT))


def _edited(plan: PlanFile, where: str, problem: str) -> CampaignError:
    return CampaignError(plan.uri, where, f"{problem}: it was changed after it was planned", "plan again")


@dataclass(frozen=True)
class _Rules:
    """What of a plan's header enters the fingerprints of its rows."""

    lora: tuple[str, ...]
    channels: Mapping[str, Channel]
    signing: Credentials | None
    telling: Metadata
    mark: Mark | None

    @classmethod
    def of(cls, header: PlanHeader) -> _Rules:
        channels = {name: Channel.model_validate(spec) for name, spec in header.channels.items()}
        return cls(lora_marks(header.lora), channels, header.signing, header.telling, header.mark)

    def finished(self, render: str, channel: Channel | None, row: Row) -> str:
        drawn = row.get("overlay")
        legal_line = row["legal_line"] or ""
        return finished_fingerprint(render, channel, legal_line, self.signing, drawn, self.telling, self.mark)


def _problem(row: Row, header: PlanHeader, rules: _Rules) -> str:
    for name in _OF_THE_HEADER:
        if value_of(row, name) != getattr(header, name):
            return f"its {name} is not the plan's"
    try:
        request = replace(request_of(row), lora=rules.lora)
        if request.seed_device != header.seed_device:
            return "its seed_device is not the plan's"
        render = render_fingerprint(request)
        if render != row["render_fingerprint"]:
            return "its render fingerprint is not that of what it asks for"
        if bool(row["take"]) != bool(row["take_of"]):
            return "it names no first take, or is that itself"
        channel = rules.channels.get(row["channel"])
        if channel is None and not row["channel"].startswith(MASTER_CHANNEL):
            return "its channel is not the plan's"
        if rules.finished(render, channel, row) != row["fingerprint"]:
            return "its fingerprint is not that of how it is finished"
    except (TypeError, ValueError, KeyError, AttributeError):
        return "it lacks what a picture is made from"
    return ""
