"""Lineage in Prefect: the asset catalog of an output comes from a campaign's input catalogs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from prefect.assets import Asset, AssetProperties, materialize
from prefect.cache_policies import NO_CACHE

from catalogs.campaigns.campaign import Campaign
from catalogs.storage.store import Store

_REFUSED = str.maketrans(dict.fromkeys("\n\r\t\x00 #?&%\"'<>[]{}|\\^`", "-"))
_LONGEST = 512


def asset_of(uri: str, name: str, description: str) -> Asset:
    """A stored place as a Prefect asset; characters that its keys cannot hold become dashes."""
    key = uri if "://" in uri else f"file://{uri}"
    return Asset(key=key.translate(_REFUSED)[:_LONGEST], properties=AssetProperties(name=name, description=description))


def record_lineage(campaign: Campaign, store: Store, run_id: str, outcome: Mapping[str, Any]) -> None:
    """Record, as a task of the running flow, that this run has written to the asset catalog."""
    made = asset_of(store.uri("catalog"), f"assets of {campaign.name}", "Every delivered asset, a row each (Parquet)")
    sources: list[str | Asset] = [
        asset_of(campaign.catalogs.products, "products", "Product catalog"),
        asset_of(campaign.catalogs.brands, "brands", "Brand catalog"),
    ]

    @materialize(
        made,
        by="packshot",
        asset_deps=sources,
        name="asset-catalog",
        task_run_name="asset catalog",
        cache_policy=NO_CACHE,
        persist_result=False,
    )
    def publish() -> None:
        counts = {name: outcome[name] for name in ("planned", "delivered", "failed", "missing")}
        made.add_metadata({"run_id": run_id, "campaign": campaign.name, **counts})

    publish()
