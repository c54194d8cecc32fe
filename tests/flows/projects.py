"""Small campaigns on disk for the tests of the whole path, and the path without Prefect."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from catalogs.assets.history import read_current
from catalogs.inputs.schemas import BRANDS, PRODUCTS
from catalogs.plans.file import PlanFile
from catalogs.plans.restate import restate, retire, withdraw
from catalogs.plans.sharding import cut_shards
from catalogs.storage.store import Store
from tasks.engines import engine_factory
from tasks.prepare import Prepared, prepare
from tasks.shard import run_shard
from tasks.shard_job import ShardJob, ShardReport

SHOTS: dict[str, Any] = {
    "hero": {
        "size": "64x64",
        "references": ["product.hero"],
        "prompt": {"scene": "{{ product.title }} on {{ brand.palette[0] | bind('table') }}"},
    },
    "scene": {
        "size": "64x64",
        "references": ["shot.hero"],
        "prompt": {"scene": "a kitchen with {{ image('shot.hero') }}"},
    },
}
CHANNELS: list[Any] = [
    {"name": "square", "width": 48, "height": 48, "format": "jpeg"},
    {"name": "wide", "width": 64, "height": 32, "format": "png"},
]

HOSTED_SHOT: dict[str, Any] = {"hero": {"size": "64x64", "prompt": {"scene": "{{ product.title }} on a table"}}}
SQUARE: list[Any] = [{"name": "square", "width": 48, "height": 48, "format": "jpeg"}]


@dataclass
class Project:
    """A campaign with its catalogs below one folder; change a field and call `write`."""

    folder: Path
    products: list[dict[str, Any]] = field(default_factory=list)
    brands: list[dict[str, Any]] = field(default_factory=list)
    campaign: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, folder: Path, products: int = 4, **campaign: Any) -> Project:
        folder.mkdir(parents=True, exist_ok=True)
        draw_photo(folder / "photo.png", "#AA3344")
        made = [
            {
                "product_id": f"p{number:03}",
                "brand_id": "acme" if number % 2 == 0 else "nord",
                "title": f"Mug {number}",
                "product_group": f"g{number}",
                "colors": [{"name": "red", "hex": "#AA3344"}],
                "reference_images": [{"uri": "photo.png", "role": "hero"}],
            }
            for number in range(products)
        ]
        brands = [
            {"brand_id": name, "name": name.title(), "palette": [{"name": "grey", "hex": code}], "legal_line": "(c)"}
            for name, code in (("acme", "#808080"), ("nord", "#202020"))
        ]
        basis: dict[str, Any] = {
            "name": "spring",
            "model": "proof",
            "catalogs": {"brands": "brands.parquet", "products": "products.parquet"},
            "output": "output",
            "shots": SHOTS,
            "channels": CHANNELS,
        }
        project = cls(folder, made, brands, yaml.safe_load(yaml.safe_dump({**basis, **campaign})))
        project.write()
        return project

    @property
    def path(self) -> str:
        return str(self.folder / "campaign.yaml")

    @property
    def store(self) -> Store:
        output = self.campaign["output"]
        return Store.at(output if "://" in output else str(self.folder / output))

    def write(self) -> None:
        pq.write_table(_table(self.products, PRODUCTS), self.folder / "products.parquet")
        pq.write_table(_table(self.brands, BRANDS), self.folder / "brands.parquet")
        (self.folder / "campaign.yaml").write_text(yaml.safe_dump(self.campaign, sort_keys=False))

    def plan(self, **options: Any) -> Prepared:
        return prepare(self.path, options)

    def render(self, **options: Any) -> list[ShardReport]:
        """Plan and render without Prefect, as the flow does it."""
        return make(self.plan(**options), retiring=bool(options.get("retire")))

    def view(self, masters: bool = False) -> dict[tuple[Any, ...], dict[str, Any]]:
        """The current view by (kind, look, shot, channel, variation)."""
        names = ("kind", "look", "shot", "channel", "variation")
        return {
            tuple(row[name] for name in names): row for row in read_current(self.store, masters=masters).to_pylist()
        }


def hosted(api: Any, folder: Path, products: int = 3, **campaign: Any) -> Project:
    """A campaign on a hosted model, of one small shot; `api` is a server with a `url`."""
    options = {"base_url": api.url, **campaign.pop("hosted", {})}
    chosen = {"model": "bfl/klein-4b", "hosted": options, "shots": HOSTED_SHOT, "channels": SQUARE, **campaign}
    return Project.of(folder, products, **chosen)


def draw_photo(path: Path, colour: str | tuple[int, int, int]) -> None:
    """A photo that no plan has doubts about."""
    photo = Image.new("RGB", (96, 72), colour)
    photo.paste("#552233", (32, 24, 64, 48))
    photo.save(path)


def _table(rows: list[dict[str, Any]], schema: pa.Schema) -> pa.Table:
    loose = pa.schema([pa.field(column.name, column.type) for column in schema])
    extra = sorted({name for row in rows for name in row} - set(schema.names))
    return pa.Table.from_pylist(rows, schema=pa.schema([*loose, *(pa.field(name, pa.string()) for name in extra)]))


def make(prepared: Prepared, assets_a_shard: int = 1000, retiring: bool = False) -> list[ShardReport]:
    """Everything a plan asks for, stage by stage in this thread."""
    return [report for report in steps(prepared, assets_a_shard, retiring) if report is not None]


def steps(prepared: Prepared, assets_a_shard: int = 1000, retiring: bool = False) -> Iterator[ShardReport | None]:
    """`make` step by step, so that another run can work in between; a step that is no shard has no report."""
    plan = PlanFile(prepared.store, prepared.plan_key)
    withdraw(prepared.store, plan, prepared.run_id)
    yield None
    restate(prepared.store, plan, prepared.run_id)
    yield None
    for stage in cut_shards(plan, 1e9, assets_a_shard):
        for shard in stage:
            job = ShardJob(prepared.plan_key, prepared.store, prepared.run_id, shard)
            yield run_shard(job, engine_factory(plan.header), lambda delivered, failed: None)
    if retiring:
        retire(prepared.store, plan, prepared.run_id)
        yield None


def plan_rows(prepared: Prepared, keep: Callable[[Mapping[str, Any]], bool] = lambda row: True) -> list[dict[str, Any]]:
    """Rows of a plan."""
    tables = PlanFile(prepared.store, prepared.plan_key).tables()
    return [row for table in tables for row in table.to_pylist() if keep(row)]


def rendered(reports: list[ShardReport]) -> int:
    """Pictures the engine made."""
    return sum(report.rendered for report in reports)
