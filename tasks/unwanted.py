"""What of the record a plan takes back or out: what no right covers any more, and what nobody wants any longer."""

from __future__ import annotations

from datetime import date

from catalogs.assets.commits import UnreadCommit, identity_of
from catalogs.assets.history import History, covers_of
from catalogs.campaigns.campaign import Campaign
from catalogs.columns import Row
from catalogs.identity import Identity
from catalogs.inputs.reader import Catalog
from catalogs.inputs.reject_file import LeftOut
from catalogs.plans.comparison import Comparison
from catalogs.plans.decision import Action
from catalogs.plans.rights import ended_assets, of_record, read_rights
from catalogs.plans.rows import unwanted_row
from catalogs.references.book import ReferenceBook
from catalogs.storage.store import Store
from tasks.plan_inputs import Inputs


def unwanted(comparison: Comparison, inputs: Inputs, left_out: LeftOut) -> list[Row]:
    """The rows of what is to be withdrawn or retired; none on the ground of a record that cannot be read whole."""
    if inputs.unread:
        return []
    try:
        today = inputs.options.today
        ended = ended_of(inputs.campaign, inputs.store, inputs.history, inputs.products, inputs.book, today)
        taken_out = [] if inputs.options.partial else retired(comparison, inputs, left_out)
    except UnreadCommit as error:  # in a column that the history does not need
        inputs.unread.append(error.naming(inputs.campaign.source))
        return []
    rows = [unwanted_row(*item, inputs.model.engine, Action.WITHDRAW) for item in ended.items()]
    return [*rows, *(row for row in taken_out if identity_of(row) not in ended)]


def ended_of(
    campaign: Campaign, store: Store, history: History, products: Catalog, book: ReferenceBook, today: date
) -> dict[Identity, str]:
    """The delivered assets of a campaign that no right covers any more, with their fingerprints."""
    if not any(history.standing()):
        return {}
    territories = {channel.name: channel.territory for channel in campaign.channels}
    rights = read_rights(products, book.try_probe, territories, today, [of_record(store)])
    return ended_assets(store, history, rights)


def retired(comparison: Comparison, inputs: Inputs, left_out: LeftOut) -> list[Row]:
    """The rows of delivered assets that are certainly wanted no longer.

    Certain is one whose shot, channel or variation is gone, and one none of whose products stands in a row that was
    left out: a typing error in a catalog must retire nothing. Where such a row has no readable id, no product is.
    """
    unwanted = list(comparison.unwanted(inputs.model.kind))
    doubtful = {
        identity
        for identity, _ in unwanted
        if not comparison.is_of_a_known_look(identity) and not _is_gone(identity, inputs.campaign)
    }
    if doubtful and not left_out.nameless:
        covers = covers_of(inputs.store, inputs.history, doubtful) if left_out.products else {}
        doubtful = {identity for identity in doubtful if left_out.products.intersection(covers.get(identity, ()))}
    left_out.kept = sum(not identity.is_master for identity in doubtful)
    return [comparison.retired_row(*item) for item in unwanted if item[0] not in doubtful]


def _is_gone(identity: Identity, campaign: Campaign) -> bool:
    """Whether its shot, channel or variation left the campaign, whatever became of its product."""
    if identity.shot not in campaign.shots or identity.variation >= campaign.variations:
        return True
    names = {channel.name for channel in campaign.channels_of(identity.shot)}
    return identity.channel not in names and not identity.is_master
