"""The overlays of a look: texts written out, colours and files found, so that finishing only has to draw."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from catalogs.campaigns.campaign import Campaign
from catalogs.campaigns.channels import Channel
from catalogs.campaigns.drawn_overlay import Drawn, DrawnBadge, DrawnFile, DrawnLogo, DrawnText, written
from catalogs.campaigns.overlay_places import align_of, level_of, side_of
from catalogs.campaigns.overlay_texts import columns_of
from catalogs.campaigns.overlays import BRAND, HEX, OverlayElement
from catalogs.campaigns.shot_overlays import PlacedElement
from catalogs.campaigns.templates import EmptyField, PromptTemplate
from catalogs.errors import ReferenceImageError, nearest
from catalogs.inputs.locales import Localised, TwoColumns
from catalogs.inputs.reject_file import Code
from catalogs.plans.wanted import Member, RowProblem
from catalogs.references.overlay_files import CheckedFile, OverlayFiles
from catalogs.references.problems import MissingReference

Row = Mapping[str, Any]
_SHOWN = 5  # of the characters that a font lacks


class Overlays:
    """Writes out the overlays of one campaign. Built once.

    Args:
        files: fonts and logos.

    Attributes:
        columns: product columns that texts read; "*" among them for whole rows.
        brand_columns: the same of brands, and what fonts, logos and colours are taken from.

    Raises:
        CampaignError: a text reads what no catalog has, or a font or logo that the campaign names cannot be used.
    """

    def __init__(self, campaign: Campaign, files: OverlayFiles, products: Sequence[str], brands: Sequence[str]) -> None:
        self._campaign, self._files = campaign, files
        self._rows: dict[str | None, tuple[Localised, Localised]] = {}
        self.columns: set[str] = set()
        self.brand_columns: set[str] = set()
        channels = {channel.name: channel for channel in campaign.channels}
        for (_, name), elements in campaign.overlays.items():
            locale = channels[name].locale or campaign.locale
            localised = self._localised(locale, products, brands)
            for placed in elements:
                self._check_files(placed)
                self._look(placed, name, locale, localised, products, brands)

    def of(self, member: Member, shot: str, channel: Channel) -> str | None:
        """What is drawn on the file of a look, see `catalogs.campaigns.drawn_overlay`; None where nothing is.

        Raises:
            RowProblem: the row lacks what a text needs, or its brand a font, a logo or a colour.
        """
        elements = self._campaign.overlays.get((shot, channel.name), ())
        if not elements:
            return None
        locale = channel.locale or self._campaign.locale
        drawn = (self._drawn(placed, member, channel.name, locale) for placed in elements)
        return written(element for element in drawn if element is not None)

    def _localised(
        self, locale: str | None, products: Sequence[str], brands: Sequence[str]
    ) -> tuple[Localised, Localised]:
        if locale not in self._rows:
            try:
                self._rows[locale] = Localised(locale, products), Localised(locale, brands)
            except TwoColumns as error:
                raise self._campaign.problem(f"locale {locale}", str(error), "drop or rename one of them") from None
        return self._rows[locale]

    def _look(
        self,
        placed: PlacedElement,
        channel: str,
        locale: str | None,
        localised: tuple[Localised, Localised],
        products: Sequence[str],
        brands: Sequence[str],
    ) -> None:
        """Note what columns an element reads; raises CampaignError for what no catalog has."""
        self.brand_columns |= _brand_columns(placed.element)
        if placed.text is None:
            return
        of_products, of_brands = localised
        templates: list[PromptTemplate] = list(placed.text.templates(locale, channel).values())
        for template in templates:
            template.check_columns(of_products.known(products), of_brands.known(brands))
        self.columns |= of_products.with_siblings(columns_of(templates, "product"))
        self.brand_columns |= of_brands.with_siblings(columns_of(templates, "brand"))

    def _check_files(self, placed: PlacedElement) -> None:
        """What the campaign itself names is looked at before any row."""
        element = placed.element
        named = [(self._files.font, uri, "font") for uri in element.font if uri != BRAND and element.logo is None]
        if element.logo not in (None, BRAND):
            named.append((self._files.logo, str(element.logo), "logo"))
        for load, uri, key in named:
            try:
                load(self._campaign.source, uri)
            except ReferenceImageError as error:
                where, problem = f"{placed.where}.{key}", f"{error.source} {error.problem}"
                raise self._campaign.problem(where, problem, error.fix) from None

    def _drawn(self, placed: PlacedElement, member: Member, channel: str, locale: str | None) -> Drawn | None:
        element = placed.element
        if placed.text is None:
            logo = self._file(element.logo or "", "logo", member, placed.where)
            return DrawnLogo(DrawnFile(logo.uri, logo.sha256), side_of(element), level_of(element), placed.room)
        text = self._text(placed, member, channel, locale)
        if not text:
            return None
        font = self._font(element, text, member, placed.where)
        return DrawnText(
            text=text,
            language=locale or "",
            font=DrawnFile(font.uri, font.sha256),
            size=element.size,
            min_size=element.least_size,
            colours=tuple(_colour(colour, member, placed.where) for colour in element.colour),
            lines=element.lines,
            align=align_of(element),
            level=level_of(element),
            room=placed.room,
            badge=_badge(element, member, placed.where),
            scrim=element.scrim,
        )

    def _text(self, placed: PlacedElement, member: Member, channel: str, locale: str | None) -> str:
        assert placed.text is not None
        products, brands = self._rows[locale]
        try:
            return placed.text.expand(products.row(member.row), brands.row(member.brand), locale, channel)
        except EmptyField as error:
            raise RowProblem(error.field, "", error.reason, Code.EMPTY_FIELD) from None
        except ValueError as error:
            raise RowProblem(placed.where, "", str(error), Code.BAD_VALUE) from None

    def _font(self, element: OverlayElement, text: str, member: Member, where: str) -> CheckedFile:
        """The first font that has every character of a text; a brand's that there is not is passed over."""
        tried: list[str] = []
        for uri in element.font:
            if uri == BRAND and not member.brand.get("font_uri") and len(element.font) > 1:
                continue
            found = self._file(uri, "font", member, where)
            assert found.font is not None
            lacking = found.font.lacking(text)
            if not lacking:
                return found
            tried.append(f"{found.font.family} has no {_named(lacking)}")
        said = f"{where}: {'; '.join(tried)}. Add a font that has them to `font:`"
        raise RowProblem(f"{where}.text", text[:200], said, Code.BAD_VALUE)

    def _file(self, uri: str, kind: str, member: Member, where: str) -> CheckedFile:
        """A font or logo of the campaign's or the brand's."""
        load = self._files.font if kind == "font" else self._files.logo
        if uri != BRAND:
            return load(self._campaign.source, uri)
        column = f"{kind}_uri"
        given = member.brand.get(column)
        if not given:
            brand = member.brand["brand_id"]
            raise RowProblem(f"brand.{column}", "", f"{where} needs the {kind} of brand {brand}", Code.EMPTY_FIELD)
        try:
            return load(self._campaign.catalogs.brands, given)
        except ReferenceImageError as error:
            code = Code.REFERENCE_MISSING if isinstance(error, MissingReference) else Code.REFERENCE_INVALID
            raise RowProblem(f"brand.{column}", given, str(error), code) from None


def _named(marks: Sequence[str]) -> str:
    shown = ", ".join(f"{mark!r} (U+{ord(mark):04X})" for mark in marks[:_SHOWN])
    return shown + (f" and {len(marks) - _SHOWN} more" if len(marks) > _SHOWN else "")


def _colour(said: str, member: Member, where: str) -> str:
    """A colour as #RRGGBB: itself, or the one of the brand's palette with this role or name."""
    if HEX.fullmatch(said):
        return said.upper()
    palette = member.brand.get("palette") or ()
    for key in ("role", "name"):
        for colour in palette:
            if (colour.get(key) or "").casefold() == said.casefold() and colour.get("hex"):
                return str(colour["hex"]).upper()
    known = [str(name) for colour in palette if colour.get("hex") for name in (colour["role"], colour["name"]) if name]
    fix = nearest(said, known) if known else "write it as #RRGGBB"
    problem = f"{where}: brand {member.brand['brand_id']} has no colour {said!r} with a code; {fix}"
    raise RowProblem("brand.palette", said, problem, Code.BAD_VALUE)


def _badge(element: OverlayElement, member: Member, where: str) -> DrawnBadge | None:
    if element.badge is None:
        return None
    badge = element.badge
    return DrawnBadge(_colour(badge.colour, member, where), badge.opacity, badge.radius, badge.padding)


def _brand_columns(element: OverlayElement) -> set[str]:
    if element.logo is not None:
        return {"logo_uri"} if element.logo == BRAND else set()
    colours = [*element.colour, *([element.badge.colour] if element.badge else [])]
    palette = {"palette"} if any(not HEX.fullmatch(colour) for colour in colours) else set()
    return palette | ({"font_uri"} if BRAND in element.font else set())
