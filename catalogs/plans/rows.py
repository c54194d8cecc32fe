"""The rows of a plan: an asset that is wanted, or one that is wanted no longer."""

from __future__ import annotations

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from typing import cast

from catalogs.assets.commits import Status, covers_hash, identity_of
from catalogs.assets.history import History, Known
from catalogs.assets.takes import Takes
from catalogs.columns import PLAN, ReferenceRow, Row, is_master, parents_of
from catalogs.identity import Identity
from catalogs.plans.decision import Action, Decision, Wanted, Work
from catalogs.plans.wanted import Estimator, Member, Planned
from catalogs.requests import Reference, RenderRequest


@dataclass(frozen=True, slots=True)
class Geometry:
    """What of a render its cost depends on.

    Attributes:
        references: (width, height) of each, in pixels of the file.
    """

    width: int
    height: int
    guidance: float | None
    references: tuple[tuple[int, int], ...]


def plan_row(planned: Planned, decision: Decision, history: History, engine: str) -> Row:
    """A wanted asset and the decision about it as a row of the plan."""
    request = planned.request
    row: Row = {
        **_identified(planned.identity),
        "master": planned.is_master,
        "product_id": planned.member.row["product_id"],
        "title": planned.member.row["title"],
        "covers": list(planned.member.covers),
        "take": request.take,
        "take_of": planned.take_of,
        "render_fingerprint": planned.render_fingerprint,
        "fingerprint": planned.fingerprint,
        "format": planned.format,
        "width": planned.width,
        "height": planned.height,
        "prompt": request.prompt,
        "references": reference_rows(planned),
        "upstream_references": planned.upstream,
        "territory": planned.territory,
        "engine": engine,
        "model": request.model,
        "model_revision": request.model_revision,
        "seed": request.seed,
        "seed_device": None if request.seed_device == "cpu" else request.seed_device,
        "steps": request.steps,
        "guidance": request.guidance,
        "ai_label_required": planned.identity.kind == "render",
        "stage": planned.stage,
        "master_width": request.width,
        "master_height": request.height,
        "weight_precision": request.weight_precision,
        "options": request.options,
        "legal_line": planned.legal_line,
        "overlay": planned.overlay,
        "bucket": bucket_of(planned),
        "look_rows": None,
        "look_marks": None,
    }
    return {**row, **decided(decision, history.master(planned.render_fingerprint))}


def decided(decision: Decision, master: str | None) -> Row:
    """The columns of a row that a decision sets.

    Args:
        master: key of the committed master of its render.
    """
    known, done = decision.known, decision.work in (Work.NONE, Work.COMMIT)
    return {
        "status": known.status if known and done else None,
        "reason": decision.reason.value if decision.reason else known.reason if known else None,
        "attempts": known.attempts if known else 0,
        "final": bool(known and known.final and done),
        "asset_key": known.asset_key if known else None,
        "render_key": master,
        "action": decision.action.value,
        "work": decision.work.value,
        "estimated_seconds": 0.0,
        "estimated_cost_low": 0.0,
        "estimated_cost_high": 0.0,
    }


def wanted_of(planned: Planned) -> Wanted:
    """A wanted asset as a decision needs it."""
    return Wanted(
        identity=planned.identity.digest(),
        fingerprint=planned.fingerprint,
        render_fingerprint=planned.render_fingerprint,
        covers=planned.member.covers,
        shot=planned.identity.shot,
        is_master=planned.is_master,
        parents=tuple(reference.sha256 for reference in planned.request.references if reference.is_render),
    )


def wanted_of_row(row: Row) -> Wanted:
    """The row of a plan as a decision needs it."""
    return Wanted(
        identity=identity_of(row).digest(),
        fingerprint=row["fingerprint"],
        render_fingerprint=row["render_fingerprint"],
        covers=row["covers"] or (),
        shot=row["shot"],
        is_master=is_master(row),
        parents=tuple(parents_of(row)),
    )


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
    return [
        _shot_row(resolved.reference) if resolved.reference.is_render else resolved.photos[0]
        for resolved in planned.resolved
    ]


def _shot_row(reference: Reference) -> ReferenceRow:
    """Another shot's picture, whose rights are those of the photos behind it."""
    return {
        "uri": reference.uri,
        "sha256": reference.sha256,
        "role": reference.role,
        "width": reference.width,
        "height": reference.height,
        "licence": None,
        "licence_end": None,
        "territories": None,
    }


def bucket_of(planned: Planned) -> str:
    """Sorts renders so that one geometry, and inside it one set of references, lies together."""
    request = planned.request
    sizes = ",".join(f"{r.width}x{r.height}" for r in request.references)
    contents = ",".join(r.sha256[:8] for r in request.references)
    return f"{request.width}x{request.height}/{request.steps}/{request.guidance}/{sizes}/{contents}"


def geometry_of(bucket: str) -> Geometry | None:
    """What `bucket_of` says of sizes; None for a text that it did not write."""
    try:
        size, _, guidance, references, _ = bucket.split("/")
        sizes = tuple(_size(reference) for reference in references.split(",") if reference)
        return Geometry(*_size(size), None if guidance == "None" else float(guidance), sizes)
    except ValueError:
        return None


def _size(text: str) -> tuple[int, int]:
    width, height = map(int, text.split("x"))
    return width, height


def kept_row(identity: Identity, member: Member, fingerprint: str, known: Known, engine: str) -> Row:
    """A delivered asset that stays as it is recorded, since what it is made from cannot be read now.

    Only which products it covers is said anew.
    """
    is_same = known.covers == covers_hash(member.covers)
    return {
        **cast(Row, dict.fromkeys(PLAN.names)),
        **_identified(identity),
        "master": identity.is_master,
        "product_id": member.row["product_id"],
        "title": member.row["title"],
        "covers": list(member.covers),
        "take": 0,
        "fingerprint": fingerprint,
        "engine": engine,
        "status": known.status,
        "attempts": known.attempts,
        "final": known.final,
        "asset_key": known.asset_key,
        "action": (Action.UNCHANGED if is_same else Action.CHANGED).value,
        "work": (Work.NONE if is_same else Work.COMMIT).value,
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
        "master": identity.is_master,
        "covers": [],
        "take": 0,
        "fingerprint": fingerprint,
        "engine": engine,
        "status": Status.DELIVERED.value,
        "attempts": 0,
        "final": False,
        "action": action.value,
        "work": (Work.COMMIT if action is Action.WITHDRAW else Work.NONE).value,
        "stage": 0,
    }


Estimates = Callable[[Row], tuple[float, float, float]]
"""Seconds, and the lowest and highest cost in USD, of the render that a row asks for."""


def add_estimates(rows: Sequence[Row], estimates: Estimates, paid: Set[str], buys_lost: bool) -> None:
    """Write a render's estimate on the first of its rows that must be rendered, so that sums are true.

    Args:
        paid: render fingerprints of pictures that cost nothing more.
        buys_lost: pictures that were delivered and are gone are bought again where they are not to be had.
    """
    for fingerprint, row in _first_rows(rows).items():
        was_lost = row["asset_key"] is not None
        if fingerprint not in paid or (was_lost and buys_lost):
            row["estimated_seconds"], row["estimated_cost_low"], row["estimated_cost_high"] = estimates(row)


def estimates_of(model: Estimator) -> Estimates:
    """What a model makes of the requests of rows."""

    def estimate(row: Row) -> tuple[float, float, float]:
        pixels = [reference["width"] * reference["height"] for reference in row["references"]]
        size = (row["master_width"], row["master_height"])
        return (model.seconds(*size, len(pixels)), *model.cost(*size, pixels))

    return estimate


def with_attempts(estimates: Estimates, takes: Takes, attempts: int) -> Estimates:
    """Estimates that count the takes to be expected, by what was judged so far; the lowest cost is that of one.

    Args:
        attempts: how many takes of a picture there may be.
    """

    def estimate(row: Row) -> tuple[float, float, float]:
        seconds, low, high = estimates(row)
        expected = takes.expected(row["shot"], attempts - row["take"])
        return (seconds * expected, low, high * expected)

    return estimates if attempts == 1 else estimate


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
        seed_device=row.get("seed_device") or "cpu",
        label=f"{row['brand_id']}/{row['look']}/{row['shot']}",
        brand_id=row["brand_id"],
        shot=row["shot"],
    )
