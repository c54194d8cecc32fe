"""Planning speed and memory, beside a plain loop in the same run.

    python tests/benchmarks/plan.py [PRODUCTS ...]

Each size runs in a process of its own: two shots on two channels, klein-4b, no look grouping, one shared photo. The
plain loop does only the expanding: pandas rows, a Jinja2 template parsed per asset, json.dumps, SHA-256.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from catalogs.inputs.schemas import BRANDS, PRODUCTS

SCENE = "studio photograph of the {{ product.title }}, {{ product.colors[0] | bind('body') }}"
PROMPT = {"scene": SCENE, "background": "{{ brand.background }}", "lighting": "soft daylight from the left"}
CAMPAIGN: dict[str, Any] = {
    "name": "bench",
    "model": "klein-4b",
    "catalogs": {"brands": "brands.parquet", "products": "products.parquet"},
    "output": "output",
    "shots": {
        "packshot": {"references": ["product.hero"], "prompt": PROMPT},
        "lifestyle": {"references": ["product.hero"], "prompt": {**PROMPT, "mood": "calm"}},
    },
    "channels": ["shopify", "instagram-portrait"],
}
ASSETS_A_PRODUCT = 4
LOOP_PRODUCTS = 2_000


def write(folder: Path, products: int) -> Path:
    Image.new("RGB", (800, 600), "#2F6F62").save(folder / "photo.jpg")
    brand = {"brand_id": "acme", "name": "Acme", "background": "seamless warm grey"}
    loose = [pa.schema([pa.field(f.name, f.type) for f in schema]) for schema in (BRANDS, PRODUCTS)]
    pq.write_table(pa.Table.from_pylist([brand], schema=loose[0]), folder / "brands.parquet")
    with pq.ParquetWriter(folder / "products.parquet", loose[1]) as writer:
        for start in range(0, products, 10_000):
            rows = [_product(number) for number in range(start, min(start + 10_000, products))]
            writer.write_table(pa.Table.from_pylist(rows, schema=loose[1]))
    path = folder / "campaign.yaml"
    path.write_text(yaml.safe_dump(CAMPAIGN, sort_keys=False))
    return path


def _product(number: int) -> dict[str, Any]:
    return {
        "product_id": f"SKU-{number:07}",
        "brand_id": "acme",
        "title": f"Stoneware Mug No. {number}",
        "description": "A mug fired twice, glazed by hand. " * 10,
        "colors": [{"name": "deep green", "hex": "#2F6F62"}],
        "reference_images": [{"uri": "photo.jpg", "role": "hero"}],
    }


def plan(products: int) -> tuple[float, float]:
    """Seconds and peak MiB of planning into an empty output."""
    from tasks.prepare import prepare

    with tempfile.TemporaryDirectory() as folder:
        path = write(Path(folder), products)
        started = time.perf_counter()
        summary = prepare(str(path), {}).summary
        seconds = time.perf_counter() - started
        assert summary["assets"] == products * ASSETS_A_PRODUCT, summary
    return seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def plain_loop(products: int) -> float:
    """Seconds of the plain loop."""
    import jinja2
    import pandas as pd

    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), products)
        started = time.perf_counter()
        frame = pd.read_parquet(Path(folder) / "products.parquet")
        brand = pd.read_parquet(Path(folder) / "brands.parquet").iloc[0].to_dict()
        environment = jinja2.Environment()
        environment.filters["bind"] = lambda colour, part: f"{part} in color {colour['hex']} {colour['name']}"
        rows = []
        for _, product in frame.iterrows():
            for shot in CAMPAIGN["shots"].values():
                for channel in CAMPAIGN["channels"]:
                    texts = {k: environment.from_string(v) for k, v in shot["prompt"].items()}
                    prompt = json.dumps({k: t.render(product=product, brand=brand) for k, t in texts.items()})
                    photo = (Path(folder) / "photo.jpg").read_bytes()
                    digest = hashlib.sha256(prompt.encode() + hashlib.sha256(photo).digest()).hexdigest()
                    rows.append({"product": product["product_id"], "channel": channel, "prompt": prompt, "key": digest})
        pd.DataFrame(rows).to_parquet(Path(folder) / "plan.parquet")
        return time.perf_counter() - started


def main() -> None:
    sizes = [int(size) for size in sys.argv[1:]] or [50_000, 100_000, 200_000]
    context = multiprocessing.get_context("spawn")
    with context.Pool(1, maxtasksperchild=1) as pool:
        loop = LOOP_PRODUCTS * ASSETS_A_PRODUCT / pool.apply(plain_loop, (LOOP_PRODUCTS,))
        print(f"| plain loop, {LOOP_PRODUCTS:,} products | {loop:,.0f} | 1.0 | - |", flush=True)
        for size in sizes:
            seconds, memory = pool.apply(plan, (size,))
            rate = size * ASSETS_A_PRODUCT / seconds
            print(f"| packshot, {size:,} products | {rate:,.0f} | {rate / loop:.1f} | {memory:,.0f} |", flush=True)


if __name__ == "__main__":
    main()
