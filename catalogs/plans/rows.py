"""The rows of a plan: an asset that is wanted, or one that is wanted no longer."""

from __future__ import annotations

from collections.abc import Sequence, Set
from typing import cast

from catalogs.assets.commits import Status
from catalogs.assets.history import History, Known
from catalogs.columns import PLAN, ReferenceRow, Row
from catalogs.identity import Identity
from catalogs.plans.decision import Action, Decision, Work
from catalogs.plans.wanted import Member, Planned, PlanningModel
from catalogs.requests import Reference, RenderRequest


def plan_row(planned: Planned, decision: Decision, history: History, engine: str) -> Row:
    """A wanted asset and the decision about it as a row of the plan."""
    request, known = planned.request, decision.known
    done = decision.work in (Work.NONE, Work.COMMIT)
    return {
        **_identified(planned.identity),
        "product_id": planned.member.row["product_id"],
        "covers": list(planned.member.covers),
        "take": request.take,
        "status": known.status if known and done else None,
        "reason": known.reason if known else None,
        "attempts": known.attempts if known else 0,
        "final": bool(known and known.final and done),
        "asset_key": known.asset_key if known else None,
        "render_key": history.master(planned.render_fingerprint),
        "render_fingerprint": planned.render_fingerprint,
        "fingerprint": planned.fingerprint,
        "format": planned.format,
        "width": planned.width,
        "height": planned.height,
        "prompt": request.prompt,
        "references": reference_rows(planned),
        "engine": engine,
        "model": request.model,
        "model_revision": request.model_revision,
        "seed": request.seed,
        "steps": request.steps,
        "guidance": request.guidance,
        "ai_label_required": planned.identity.kind == "render",
        "action": decision.action.value,
        "work": decision.work.value,
        "stage": planned.stage,
        "master_width": request.width,
        "master_height": request.height,
        "weight_precision": request.weight_precision,
        "options": request.options,
        "legal_line": planned.legal_line,
        "bucket": bucket_of(planned),
        "estimated_seconds": 0.0,
        "estimated_cost_low": 0.0,
        "estimated_cost_high": 0.0,
        "look_rows": None,
        "look_marks": None,
    }


def _identified(identity: Identity) -> Row:
    return {
        "campaign": identity.campaign,
        "kind": identity.kind,
        "brand_id": identity.brand_id,
        "look": identity.look,
        "shot": identity.shot,
        "channel": identity.channel,
        "variation": identity.variation,
    }


def reference_rows(planned: Planned) -> list[ReferenceRow]:
    """References of a request with the rights that travel with them."""
    rows: list[ReferenceRow] = []
    for resolved in planned.resolved:
        reference = resolved.reference
        right = resolved.rights[0] if resolved.rights and not reference.is_render else {}
        rows.append(
            {
                "uri": reference.uri,
                "sha256": reference.sha256,
                "role": reference.role,
                "width": reference.width,
                "height": reference.height,
                "licence": right.get("licence"),
                "licence_end": right.get("licence_end"),
                "territories": right.get("territories"),
            }
        )
    return rows


def bucket_of(planned: Planned) -> str:
    """Sorts renders so that one geometry, and inside it one set of references, lies together."""
    request = planned.request
    sizes = ",".join(f"{r.width}x{r.height}" for r in request.references)
    contents = ",".join(r.sha256[:8] for r in request.references)
    return f"{request.width}x{request.height}/{request.steps}/{request.guidance}/{sizes}/{contents}"


def kept_row(identity: Identity, member: Member, fingerprint: str, known: Known, engine: str) -> Row:
    """A delivered asset that stays as it is recorded, since what it is made from cannot be read now."""
    return {
        **cast(Row, dict.fromkeys(PLAN.names)),
        **_identified(identity),
        "product_id": member.row["product_id"],
        "covers": list(member.covers),
        "take": 0,
        "fingerprint": fingerprint,
        "engine": engine,
        "status": known.status,
        "attempts": known.attempts,
        "final": known.final,
        "asset_key": known.asset_key,
        "action": Action.UNCHANGED.value,
        "work": Work.NONE.value,
        "stage": 0,
        "estimated_seconds": 0.0,
        "estimated_cost_low": 0.0,
        "estimated_cost_high": 0.0,
    }


def unwanted_row(identity: Identity, fingerprint: str, engine: str, action: Action) -> Row:
    """A delivered asset that the campaign no longer wants, or may no longer show."""
    return {
        **cast(Row, dict.fromkeys(PLAN.names)),
        **_identified(identity),
        "covers": [],
        "take": 0,
        "fingerprint": fingerprint,
        "engine": engine,
        "status": Status.DELIVERED.value,
        "attempts": 0,
        "final": False,
        "action": action.value,
        "work": Work.NONE.value,
        "stage": 0,
    }


def add_estimates(rows: Sequence[Row], look: Sequence[Planned], model: PlanningModel, paid: Set[str]) -> None:
    """Write a render's estimate on the first of its rows that must be rendered, so that sums are true.

    Args:
        look: the assets the rows are about.
        paid: render fingerprints of pictures that cost nothing more.
    """
    requests = {planned.render_fingerprint: planned.request for planned in look}
    for fingerprint, row in _first_rows(rows).items():
        if fingerprint not in paid:
            request = requests[fingerprint]
            pixels = [reference.width * reference.height for reference in request.references]
            row["estimated_seconds"] = model.seconds(request.width, request.height, len(pixels))
            row["estimated_cost_low"], row["estimated_cost_high"] = model.cost(request.width, request.height, pixels)


def _first_rows(rows: Sequence[Row]) -> dict[str, Row]:
    """The first row of each render that must be made."""
    first: dict[str, Row] = {}
    for row in rows:
        if row["work"] == Work.RENDER:
            first.setdefault(row["render_fingerprint"], row)
    return first


def request_of(row: Row) -> RenderRequest:
    """The request that a plan row stands for."""
    return RenderRequest(
        prompt=row["prompt"],
        references=tuple(
            Reference(uri=r["uri"], sha256=r["sha256"], role=r["role"], width=r["width"], height=r["height"])
            for r in row["references"]
        ),
        width=row["master_width"],
        height=row["master_height"],
        seed=row["seed"],
        take=row["take"],
        steps=row["steps"],
        guidance=row["guidance"],
        model=row["model"],
        model_revision=row["model_revision"],
        weight_precision=row["weight_precision"],
        options=row.get("options") or "",
        label=f"{row['brand_id']}/{row['look']}/{row['shot']}",
    )
