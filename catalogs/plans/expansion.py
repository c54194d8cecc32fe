"""From one look to the assets it needs: prompts, references, requests, fingerprints."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import date
from functools import partial
from typing import Any, NamedTuple

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.credentials import of_kind
from catalogs.campaigns.metadata import of_kind as metadata_of_kind
from catalogs.campaigns.shot_links import ShotReference
from catalogs.campaigns.templates import EmptyField, PromptTemplate
from catalogs.campaigns.watermark import Mark
from catalogs.columns import ReferenceRow
from catalogs.identity import (
    Identity,
    master_channel,
    render_fingerprint,
    seed_for,
)
from catalogs.inputs.reject_file import Code
from catalogs.plans.columns_read import localised_columns
from catalogs.plans.finished import finished_fingerprint
from catalogs.plans.overlays import Overlays
from catalogs.plans.prompt_doubts import PromptDoubts
from catalogs.plans.shot_sizes import ShotSizes, Size
from catalogs.plans.wanted import Member, Photos, Planned, PlanningModel, Probe, Resolved, RowProblem
from catalogs.references.book import ReferenceProbe, pick, rights_problem
from catalogs.references.fitness import Doubts
from catalogs.references.overlay_files import OverlayFiles
from catalogs.requests import RENDER_SCHEME, Reference, RenderRequest

# (shot, variation, size) -> the render fingerprint and the photos its children build on
_MadeKey = tuple[str, int, Size]
_MadeValue = tuple[str, Photos]


class _Render(NamedTuple):
    """A picture that assets are finished from."""

    request: RenderRequest
    fingerprint: str
    take_of: str | None
    resolved: tuple[Resolved, ...]


class Expander:
    """Expands looks of one campaign. Built once; raises CampaignError for what no row can mend.

    Args:
        probe: (base URI, reference URI) to the measured reference; raises ReferenceImageError.
        today: the day rights are judged on.
        files: the fonts and logos of overlays.
        standing: from the render fingerprint of a request at take 0 to the take that is asked for.
        mark: the watermark of files, None without one.

    Attributes:
        doubts: of the photos met so far.
        prompt_doubts: of the prompts met so far.
        localised: the product columns as the campaign's locale reads them.
        localised_brands: the brand columns likewise.
    """

    def __init__(
        self,
        campaign: Campaign,
        model: PlanningModel,
        probe: Probe,
        product_columns: Collection[str],
        brand_columns: Collection[str],
        today: date,
        files: OverlayFiles,
        standing: Callable[[str], int],
        mark: Mark | None = None,
    ) -> None:
        self._standing = standing
        self._campaign, self._model, self._probe, self._today = campaign, model, probe, today
        self._finished = partial(
            finished_fingerprint,
            credentials=of_kind(campaign.credentials, model.kind),
            metadata=metadata_of_kind(campaign.metadata, model.kind),
            mark=mark,
        )
        self._stage_of = {shot: i for i, stage in enumerate(campaign.stages) for shot in stage}
        self._order = [shot for stage in campaign.stages for shot in stage]
        self.doubts = Doubts()
        self.localised, self.localised_brands = localised_columns(campaign, list(product_columns), list(brand_columns))
        self._templates = self._compile(
            self.localised.known(product_columns), self.localised_brands.known(brand_columns)
        )
        self._overlays = Overlays(campaign, files, list(product_columns), list(brand_columns))
        self.prompt_doubts = PromptDoubts(campaign)
        self._sizes = ShotSizes(campaign)
        for shot in self._order:
            self._refuse_early(shot)

    @property
    def columns(self) -> frozenset[str]:
        """Product columns that must agree inside a look: what templates and references read."""
        read = {c for t in self._templates.values() for scope, c in t.columns if scope == "product"}
        roles = any(r.source == "product" for refs in self._campaign.references.values() for r in refs)
        return frozenset(read | self._overlays.columns | ({"reference_images"} if roles else set()) | {"brand_id"})

    @property
    def brand_columns(self) -> frozenset[str] | None:
        """Brand columns that pictures are made of and marked with; None where a template reads the whole row."""
        read = {c for t in self._templates.values() for scope, c in t.columns if scope == "brand"}
        logos = any(r.source == "brand" for refs in self._campaign.references.values() for r in refs)
        drawn = self._overlays.brand_columns
        if "*" in read | drawn:
            return None
        return self.localised_brands.with_siblings(read) | drawn | {"legal_line"} | ({"logo_uri"} if logos else set())

    def expand(self, member: Member) -> list[Planned]:
        """Every asset of a look, shots that others build on first.

        Raises:
            RowProblem: this look cannot be planned.
        """
        planned: list[Planned] = []
        made: dict[_MadeKey, _MadeValue] = {}
        for shot in self._order:
            self._expand_shot(member, shot, planned, made)
        return _without_idle_masters(planned)

    def identities(self, member: Member) -> list[Identity]:
        """Which assets a look needs, without a look at its references."""
        return [
            self._identity(member, shot, name, variation)
            for shot in self._order
            for variation in range(self._campaign.variations)
            for name in self._sizes.names(shot)
        ]

    def photos(self, member: Member) -> set[tuple[str, str]]:
        """The photos that a look's shots are made from: the catalog that names each, and its URI there."""
        found = set()
        for reference in {each for shot in self._order for each in self._campaign.references[shot]}:
            if reference.source == "product":
                row = pick(member.row.get("reference_images") or (), reference.role)
                found.add((self._campaign.catalogs.products, row["uri"] if row else ""))
            elif reference.source == "brand":
                found.add((self._campaign.catalogs.brands, member.brand.get("logo_uri") or ""))
        return {(catalog, uri) for catalog, uri in found if uri}

    def _compile(self, product_columns: list[str], brand_columns: list[str]) -> dict[str, PromptTemplate]:
        templates = {}
        for name, shot in self._campaign.shots.items():
            where = f"shots.{name}.prompt"
            self._model.compiler.validate(shot.prompt, self._campaign.source, where)
            template = PromptTemplate(shot.prompt, self._campaign.source, where)
            template.check_columns(product_columns, brand_columns)
            templates[name] = template
        return templates

    def _steps(self, shot: str) -> int:
        return self._campaign.shots[shot].steps or self._model.steps

    def _guidance(self, shot: str) -> float | None:
        asked = self._campaign.shots[shot].guidance
        return self._model.guidance if asked is None else asked

    def _refuse_early(self, shot: str) -> None:
        """What the model refuses whatever the product: found before a single row is read."""
        count = len(self._campaign.references[shot])
        references = tuple(Reference("", "", "", 64, 64) for _ in range(count))
        for size in self._sizes.of(shot):
            problem = self._model.compiler.refuse(self._request(shot, "", references, size, 0, 0))
            if problem:
                raise self._campaign.problem(f"shots.{shot}", problem)

    def _request(
        self,
        shot: str,
        prompt: str,
        references: tuple[Reference, ...],
        size: Size,
        seed: int,
        take: int,
        label: str = "",
    ) -> RenderRequest:
        return RenderRequest(
            prompt=prompt,
            references=references,
            width=size[0],
            height=size[1],
            seed=seed,
            take=take,
            steps=self._steps(shot),
            guidance=self._guidance(shot),
            model=self._model.name,
            model_revision=self._model.revision,
            weight_precision=self._model.weight_precision,
            lora=self._model.lora,
            options=self._model.options,
            seed_device=self._model.seed_device,
            label=label,
        )

    def _expand_shot(
        self,
        member: Member,
        shot: str,
        planned: list[Planned],
        made: dict[_MadeKey, _MadeValue],
    ) -> None:
        named = self._outside_references(member, shot)
        prompt = self._prompt(member, shot, named)
        for variation in range(self._campaign.variations):
            seed = seed_for(self._campaign.seed, member.look, shot, variation, 0)
            for size in self._sizes.of(shot):
                resolved = self._with_parents(named, variation, size, made)
                for item in resolved:
                    if item.probe is not None:
                        self.doubts.look(item.probe, *size)
                references = tuple(item.reference for item in resolved)
                label = f"{member.brand['brand_id']}/{member.look}/{shot}"
                request = self._request(shot, prompt, references, size, seed, 0, label)
                if problem := self._model.compiler.refuse(request):
                    raise RowProblem(
                        f"shots.{shot}.prompt", prompt[:200], f"shot {shot}: {problem}", Code.PROMPT_REFUSED
                    )
                request, take_of = self._taken(request, member.look, shot, variation)
                fingerprint = render_fingerprint(request)
                made[shot, variation, size] = (fingerprint, _photos(resolved))
                planned.extend(self._assets(member, shot, variation, _Render(request, fingerprint, take_of, resolved)))

    def _taken(self, request: RenderRequest, look: str, shot: str, variation: int) -> tuple[RenderRequest, str | None]:
        """The take of a request that is asked for, and the fingerprint at take 0 of one that is another."""
        first = render_fingerprint(request)
        take = self._standing(first)
        if not take:
            return request, None
        return replace(request, take=take, seed=seed_for(self._campaign.seed, look, shot, variation, take)), first

    def _outside_references(self, member: Member, shot: str) -> list[tuple[ShotReference, Resolved | None]]:
        """References in order; None stands for another shot's picture, filled in per variation."""
        named: list[tuple[ShotReference, Resolved | None]] = []
        for reference in self._campaign.references[shot]:
            if reference.source == "shot":
                named.append((reference, None))
                continue
            resolved = self._product(member, shot, reference) if reference.source == "product" else self._logo(member)
            if resolved is not None:
                named.append((reference, resolved))
            elif not reference.optional:
                column = "reference_images" if reference.source == "product" else "brand.logo_uri"
                problem = f"shot {shot} needs {reference.name}, which this row does not have"
                raise RowProblem(column, "", problem, Code.NO_REFERENCE)
        return named

    def _product(self, member: Member, shot: str, reference: ShotReference) -> Resolved | None:
        row = pick(member.row.get("reference_images") or (), reference.role)
        if row is None:
            return None
        probe = self._probe(self._campaign.catalogs.products, row["uri"])
        return _resolved(probe, reference.role, row)

    def _logo(self, member: Member) -> Resolved | None:
        uri = member.brand.get("logo_uri")
        if not uri:
            return None
        return _resolved(self._probe(self._campaign.catalogs.brands, uri), "logo", {})

    def _prompt(self, member: Member, shot: str, named: Sequence[tuple[ShotReference, Resolved | None]]) -> str:
        names = [reference.name for reference, _ in named]
        optional = {reference.name for reference in self._campaign.references[shot] if reference.optional}
        roles = [
            resolved.reference if resolved else Reference(RENDER_SCHEME, "", "shot", 0, 0) for _, resolved in named
        ]
        try:
            product, brand = self.localised.row(member.row), self.localised_brands.row(member.brand)
            expanded = self._templates[shot].expand(product, brand, names, optional)
            self.prompt_doubts.look(str(member.row["product_id"]), shot, expanded)
            return self._model.compiler.compile(expanded, roles)
        except EmptyField as error:
            raise RowProblem(error.field, "", f"shot {shot}: {error.reason}", Code.EMPTY_FIELD) from None
        except ValueError as error:
            raise RowProblem(f"shots.{shot}.prompt", "", f"shot {shot}: {error}", Code.PROMPT_REFUSED) from None

    def _with_parents(
        self,
        named: Sequence[tuple[ShotReference, Resolved | None]],
        variation: int,
        child: Size,
        made: Mapping[_MadeKey, _MadeValue],
    ) -> tuple[Resolved, ...]:
        resolved = []
        for reference, outside in named:
            if outside is not None:
                resolved.append(outside)
                continue
            size = self._sizes.of_parent(reference, child)
            fingerprint, photos = made[reference.role, variation, size]
            uri = RENDER_SCHEME + fingerprint
            resolved.append(Resolved(Reference(uri, fingerprint, "shot", *size), photos))
        return tuple(resolved)

    def _assets(self, member: Member, shot: str, variation: int, render: _Render) -> list[Planned]:
        size = (render.request.width, render.request.height)
        assets = [
            self._asset(member, shot, variation, render, channel)
            for channel in self._campaign.channels_of(shot)
            if self._sizes.of_channel(shot, channel.name) == size
        ]
        if self._sizes.is_built_on(shot, size):
            assets.append(self._asset(member, shot, variation, render, None))
        return assets

    def _asset(self, member: Member, shot: str, variation: int, render: _Render, channel: Channel | None) -> Planned:
        legal_line, size = str(member.brand.get("legal_line") or ""), (render.request.width, render.request.height)
        overlay = None if channel is None else self._overlays.of(member, shot, channel)
        name = master_channel(*size) if channel is None else channel.name
        return Planned(
            identity=self._identity(member, shot, name, variation),
            member=member,
            request=render.request,
            render_fingerprint=render.fingerprint,
            take_of=render.take_of,
            fingerprint=self._finished(render.fingerprint, channel, legal_line, overlay=overlay),
            stage=self._stage_of[shot],
            format="png" if channel is None else channel.format,
            width=size[0] if channel is None else channel.width,
            height=size[1] if channel is None else channel.height,
            legal_line=legal_line,
            resolved=render.resolved,
            territory=None if channel is None else channel.territory,
            refused=self._refused(_photos(render.resolved), channel),
            overlay=overlay,
        )

    def _identity(self, member: Member, shot: str, channel: str, variation: int) -> Identity:
        brand_id = str(member.brand["brand_id"])
        return Identity(self._campaign.name, self._model.kind, brand_id, member.look, shot, channel, variation)

    def _refused(self, photos: Photos, channel: Channel | None) -> str:
        for photo in photos:
            territory = None if channel is None else channel.territory
            if problem := photo_problem(photo, channel is None, territory, self._today):
                return f"{photo['uri']}: {problem}"
        return ""


def photo_problem(photo: Mapping[str, Any], of_master: bool, territory: str | None, on: date) -> str | None:
    """Why no right covers a photo where it is to be shown; a master goes nowhere by itself: only the term counts."""
    return rights_problem({**photo, "territories": None} if of_master else photo, territory, on)


def _without_idle_masters(planned: Sequence[Planned]) -> list[Planned]:
    """The assets of a look without the masters of their own on which nothing builds that may be made."""
    built_on: set[str] = set()
    kept: list[Planned] = []
    for asset in reversed(planned):  # what builds on a shot comes after it
        if asset.is_master and not asset.refused and asset.render_fingerprint not in built_on:
            continue
        kept.append(asset)
        if not asset.refused:
            built_on.update(reference.sha256 for reference in asset.request.references if reference.is_render)
    return kept[::-1]


def _photos(resolved: Iterable[Resolved]) -> Photos:
    return tuple(photo for item in resolved for photo in item.photos)


def _resolved(probe: ReferenceProbe, role: str, rights: Mapping[str, Any]) -> Resolved:
    photo: ReferenceRow = {
        "uri": probe.uri,
        "sha256": probe.sha256,
        "role": role,
        "width": probe.width,
        "height": probe.height,
        "licence": rights.get("licence"),
        "licence_end": rights.get("licence_end"),
        "territories": rights.get("territories"),
    }
    return Resolved(Reference(probe.uri, probe.sha256, role, probe.width, probe.height), (photo,), probe)
