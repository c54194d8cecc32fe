"""Exports that nobody here made, whole, by the three commands: `python -m tests.trials.real_exports FOLDER...`.

Each folder or file is imported, its photos fetched, imported again (now with photos to look at for colours), planned
and rendered as proofs, of a large export the first looks. A server of the trial's own answers for the shops' hosts,
with photos found beside the exports: a product's own where the file is called by its id, else a stand-in. Prints a
Markdown table; ends with 1 where a count does not add up.
"""

from __future__ import annotations

import contextlib
import io
import json
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pyarrow.parquet as pq

import tasks.photos
from flows.cli import main
from tests.photo_server import PhotoServer, body, certificates, serving

RENDERED = "200"
HEAD = (
    "| export | rows read | accepted | inactive | joined | rejected | photos | nouns | colours: word, photo, none "
    "| looks planned, left out | proofs, files | import, fetch and plan | render |"
)


@dataclass
class Shop:
    """The hosts of an export, and what is served for them."""

    server: PhotoServer
    photos: Sequence[Path]

    def serve(self, products: Path) -> None:
        """A photo for each address that a catalog names: the product's own by its id, else one of the others."""
        own = {path.stem: path for path in self.photos}
        for row in pq.read_table(products).to_pylist():
            for photo in row["reference_images"] or ():
                address = urlsplit(photo["uri"])
                if address.scheme == "https":
                    path = own.get(row["product_id"]) or self.photos[len(self.server.routes) % len(self.photos)]
                    asked = f"{address.path}?{address.query}" if address.query else address.path
                    self.server.routes.setdefault(asked, body(path.read_bytes()))


def packshot(*arguments: str) -> dict[str, Any]:
    """Run a command in this process; what it answers."""
    sys.argv = ["packshot", *arguments, "--json"]
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.suppress(SystemExit):
        main()
    found: dict[str, Any] = json.loads(out.getvalue())
    return found


def tried(source: Path, folder: Path, photos: Sequence[Path]) -> tuple[str, bool]:
    """One export; its line of the table, and whether everything adds up."""
    catalog, began = folder / source.stem, time.monotonic()
    campaign = str(catalog / "campaign.yaml")
    report = packshot("import", str(source), str(catalog))
    hosts = list(report["hosts"])
    if hosts:
        server, client = certificates(folder, *hosts)
        with serving(server) as web:
            Shop(web, photos).serve(catalog / "products.parquet")
            tasks.photos.NETWORK = web.network(*hosts, tls=client)
            packshot("fetch", campaign)
        report = packshot("import", str(source), str(catalog))
    plan = packshot("plan", campaign)
    planned = time.monotonic()
    made = packshot("render", campaign, "--limit", RENDERED)
    outcome, rows = made["outcome"], report["rows"]
    line = [
        source.name,
        *(rows[name] for name in ("read", "accepted", "inactive", "joined")),
        counted(rows["rejected"]),
        counted(report["pictures"]),
        report["nouns"],
        ", ".join(str(report["colours"].get(name, 0)) for name in ("by a word", "by the photo", "none")),
        f"{plan['looks']}, {counted(codes(plan))}",
        f"{made['work']['rendered']}, {outcome['delivered']} of {outcome['planned']}",
        f"{(planned - began) / 60:.1f} min",
        f"{(time.monotonic() - planned) / 60:.1f} min",
    ]
    adds_up = rows["read"] == rows["accepted"] + rows["inactive"] + rows["joined"] + sum(rows["rejected"].values())
    return f"| {' | '.join(map(str, line))} |", bool(adds_up and made["complete"])


def codes(plan: Mapping[str, Any]) -> Counter[str]:
    """The rows that a plan left out, by code."""
    if not plan["rejected"]:
        return Counter()
    return Counter(pq.read_table(Path(plan["output"]) / plan["rejects_key"])["code"].to_pylist())


def counted(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{count} {name}" for name, count in sorted(counts.items())) or "0"


def trial(sources: Sequence[Path]) -> int:
    """The table; the exit code."""
    photos = sorted(path for source in sources for path in source.parent.parent.rglob("*.jpg"))
    print(HEAD, "|" + " --- |" * (HEAD.count("|") - 1), sep="\n")
    right = True
    with tempfile.TemporaryDirectory() as folder:
        for source in sources:
            line, is_right = tried(source, Path(folder), photos)
            right &= is_right
            print(line, flush=True)
    return 0 if right else 1


if __name__ == "__main__":
    sys.exit(trial([Path(name) for name in sys.argv[1:]]))
