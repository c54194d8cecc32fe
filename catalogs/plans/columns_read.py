"""Which columns a campaign means: those of its looks, and those in its language."""

from __future__ import annotations

from collections.abc import Iterable

from catalogs.campaigns.campaign import Campaign
from catalogs.errors import CampaignError, nearest
from catalogs.inputs.locales import Localised, TwoColumns, languages_of


def localised_columns(
    campaign: Campaign, products: Iterable[str], brands: Iterable[str]
) -> tuple[Localised, Localised]:
    """The columns of both catalogs as the campaign's locale reads them.

    Raises:
        CampaignError: neither catalog has a column in this language, or one has two that stand for one.
    """
    columns = (list(products), list(brands))
    try:
        found = tuple(Localised(campaign.locale, names) for names in columns)
    except TwoColumns as error:
        raise campaign.problem("locale", str(error), "drop or rename one of them") from None
    if campaign.locale and not any(of.siblings for of in found):
        problem = f"neither catalog has a column in {campaign.locale!r}, such as title@{campaign.locale}"
        known = languages_of([*columns[0], *columns[1]])
        fix = f"there are {', '.join(known)}" if known else "leave the key out: no column names a language"
        raise campaign.problem("locale", problem, fix)
    return found[0], found[1]


def unknown_look_column(campaign: Campaign, columns: Iterable[str]) -> CampaignError | None:
    """`look_by` naming a column the catalog does not have."""
    known = list(columns)
    for column in campaign.look_by:
        if column not in known:
            return campaign.problem("look_by", f"there is no product column {column!r}", nearest(column, known))
    return None
