"""What must hold of an output folder, told from its files alone: nothing here asks packshot what they mean."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.parquet as pq

PAGE = Path(__file__).parents[2] / "catalogs" / "README.md"
IDENTITY = ("campaign", "kind", "brand_id", "look", "shot", "channel", "variation")
NO_MASTERS = "WHERE NOT coalesce(master, starts_with(channel, 'master-'))"
COLUMNS = (
    *IDENTITY,
    *("master", "covers", "status", "fingerprint", "asset_key", "render_key", "sha256", "bytes", "run_id"),
    *("ordered_at", "created_at", "references", "upstream_references"),
)
Row = Mapping[str, Any]
Key = tuple[Any, ...]


def documented_query(output: Path) -> str:
    """The query of the page, with the masters: `Record` tells them apart itself."""
    page = PAGE.read_text()
    sql = page.split("```sql\n", 1)[1].split("```", 1)[0]
    assert sql.count(NO_MASTERS) == sql.count("demo/my-output") == 1
    return sql.replace(NO_MASTERS, "").replace("demo/my-output", str(output))


def is_master(row: Row) -> bool:
    return str(row["channel"]).startswith("master-")


def key_of(row: Row) -> Key:
    return tuple(row[name] for name in IDENTITY)


@dataclass
class Plan:
    """The plan of a start, and what it left out."""

    run_id: str
    rows: list[Row]
    header: Mapping[str, Any]
    rejected: set[int]
    nameless: bool

    @classmethod
    def read(cls, folder: Path) -> Plan:
        table = pq.read_table(folder / "plan.parquet")
        rejects = folder / "rejects.parquet"
        left_out = pq.read_table(rejects).to_pylist() if rejects.exists() else []
        header = json.loads(table.schema.metadata[b"packshot"])
        products = [row for row in left_out if row["file"].endswith("products.parquet")]
        nameless = any(not row["product_id"] for row in products)
        return cls(folder.name, table.to_pylist(), header, {row["row"] for row in products}, nameless)

    def wanted(self) -> Iterator[Row]:
        """Assets that are asked for."""
        return (row for row in self.rows if row["action"] not in ("retired", "withdraw") and not is_master(row))


@dataclass
class Output:
    """An output folder as somebody with Parquet and a shell sees it.

    Attributes:
        harmed: keys of files that the trial deleted or damaged since somebody wrote them.
        harmed_ever: every key that it ever did this to.
    """

    folder: Path
    harmed: set[str] = field(default_factory=set)
    harmed_ever: set[str] = field(default_factory=set)
    _files: tuple[str, ...] = ()
    _rows: list[dict[str, Any]] = field(default_factory=list)

    def record(self) -> dict[Key, dict[str, Any]]:
        """The current row of every asset, and of every master."""
        files = tuple(sorted(map(str, self.folder.glob("catalog/*/*.parquet"))))
        assert set(self._files) <= set(files), "a commit is gone"
        if files != self._files:
            names = ", ".join(f'"{name}"' for name in COLUMNS)
            with duckdb.connect(config={"threads": 1}) as connection:
                connection.execute("SET TimeZone = 'UTC'")
                query = f"SELECT {names} FROM ({documented_query(self.folder)})"
                found = connection.sql(query).to_arrow_table()
            self._rows, self._files = found.to_pylist(), files
        return {key_of(row): row for row in self._rows}

    def delivered(self, masters: bool = False) -> list[dict[str, Any]]:
        """Current rows that are called delivered."""
        rows = [row for row in self.record().values() if row["status"] == "delivered"]
        return sorted((row for row in rows if masters or not is_master(row)), key=lambda row: str(row["asset_key"]))

    def named(self) -> set[str]:
        """Every file that any commit names."""
        tables = [pq.read_table(file, columns=["asset_key", "render_key"]) for file in self.folder.glob("catalog/*/*")]
        return {key for table in tables for column in table.columns for key in column.to_pylist() if key}

    def existing(self, keys: set[str]) -> set[str]:
        return {key for key in keys if (self.folder / key).exists()}

    def plans(self) -> list[str]:
        return sorted(path.parent.name for path in self.folder.glob("runs/*/plan.parquet"))

    def plan(self, run_id: str) -> Plan:
        return Plan.read(self.folder / "runs" / run_id)

    def problem(self, row: Row) -> str:
        """What is wrong with the file that a row names."""
        path = self.folder / row["asset_key"]
        if not path.exists():
            return "gone"
        data = path.read_bytes()
        if hashlib.sha256(data).hexdigest() != row["sha256"]:
            return "of another size" if len(data) != row["bytes"] else "other bytes"
        return ""

    def harm(self, key: str) -> None:
        self.harmed.add(key)
        self.harmed_ever.add(key)

    def last_look(self) -> datetime | None:
        """What the last look at everything had read of the record."""
        looks = [json.loads(path.read_text()) for path in sorted(self.folder.glob("verifies/*.json"))]
        return datetime.fromisoformat(looks[-1]["read"]) if looks else None

    def check_files(self) -> None:
        """Bytes match: what counts as delivered is there, but for what the trial itself deleted or damaged."""
        for row in self.record().values():
            if not row["asset_key"]:
                continue
            if row["asset_key"] in self.harmed and not self.problem(row):
                self.harmed.discard(row["asset_key"])
            if row["status"] == "delivered" and row["asset_key"] not in self.harmed:
                assert not self.problem(row), f"{row['asset_key']} is {self.problem(row)}"
            if row["status"] == "missing":
                assert row["asset_key"] in self.harmed_ever, f"{row['asset_key']} was never gone"

    def check_masters(self) -> None:
        """A row of a master says that it is one."""
        for row in self.record().values():
            assert row["master"] is None or row["master"] == is_master(row), row["channel"]

    def check_accounted(self, plan: Plan, products: Path) -> None:
        """No silent row: each of the catalog is covered, or left out by name, unless only a part was asked for."""
        if plan.header["partial"]:
            return
        covered = {product for row in plan.wanted() for product in row["covers"]}
        ids = pq.read_table(products, columns=["product_id"])["product_id"].to_pylist()
        assert covered <= set(ids), f"{plan.run_id} covers {sorted(covered.difference(ids))}, which are no products"
        silent = [name for place, name in enumerate(ids, 1) if name not in covered and place not in plan.rejected]
        assert not silent, f"{silent} stand neither in the plan nor in the rejects of {plan.run_id}"

    def check_finishable(self, plan: Plan) -> None:
        """What a plan calls a finishing has its master: else it costs a render."""
        for row in plan.rows:
            if row["work"] == "finish":
                assert (self.folder / str(row["render_key"])).exists(), (
                    f"{row['render_key']} is gone, and to be finished"
                )

    def looked_at(self) -> set[str]:
        """What counts as delivered and was looked at when last everything was: a render need not look again."""
        looked = self.last_look()
        rows = self.delivered() if looked else []
        return {row["asset_key"] for row in rows if max(row["ordered_at"], row["created_at"]) <= looked}

    def check_seen(self, looked_at: set[str]) -> None:
        """A render has looked: what is called delivered and is gone was looked at before it went."""
        for row in self.delivered():
            if self.problem(row) in ("gone", "of another size"):
                assert row["asset_key"] in looked_at, (
                    f"{row['asset_key']} is {self.problem(row)}, and was not looked at"
                )

    def check_complete(self, plan: Plan) -> None:
        """What is called complete counts, is delivered, and is there."""
        record = self.record()
        for row in plan.wanted():
            found = record.get(key_of(row))
            assert found is not None, f"{key_of(row)} is not there"
            if found["status"] == "withdrawn":
                continue
            assert found["fingerprint"] == row["fingerprint"], f"{key_of(row)} is another than was asked for"
            assert found["status"] == "delivered", f"{key_of(row)} is {found['status']}"
            if found["asset_key"] not in self.harmed:
                assert not self.problem(found), found["asset_key"]

    def check_done(self, plan: Plan) -> None:
        """A run that came to its end has said something of all it had to do, and that counts now."""
        record = self.record()
        for row in plan.wanted():
            found = record.get(key_of(row), {})
            if row["work"] == "commit":
                self._check_said_again(row, found)
            elif row["work"] != "none":
                assert found.get("fingerprint") == row["fingerprint"], f"{key_of(row)} was asked for last, and left"
                assert found["status"] in ("delivered", "failed"), f"{key_of(row)} is {found['status']}"
            if found.get("fingerprint") == row["fingerprint"] and found["status"] == "delivered":
                names = f"{sorted(found['covers'])}, not {sorted(row['covers'])}"
                assert set(found["covers"]) == set(row["covers"]), f"{key_of(row)} is recorded for {names}"

    def _check_said_again(self, row: Row, found: Row) -> None:
        """What needs no pixels counts again where its file is there, and is said to be missing where it is not."""
        counts = found.get("fingerprint") == row["fingerprint"] and found["status"] == "delivered"
        if (self.folder / row["asset_key"]).exists():
            assert counts, f"{key_of(row)} was asked for last, and left"
        else:
            assert not counts, f"{row['asset_key']} is gone, and was called delivered again"
            tables = [pq.read_table(file, columns=["asset_key", "status"]) for file in self.folder.glob("catalog/*/*")]
            said = {
                again["asset_key"] for table in tables for again in table.to_pylist() if again["status"] == "missing"
            }
            assert row["asset_key"] in said, f"{row['asset_key']} is gone, and nothing says so"

    def check_rights(self, rights: Mapping[str, date | None], today: date) -> None:
        """Nothing delivered is made from a photo whose right has ended, masters included.

        Args:
            rights: what the catalog says today, by URI; what rows say counts of others.
        """
        for row in self.delivered(masters=True):
            for photo in _photos(row):
                end = rights.get(photo["uri"], photo["licence_end"])
                assert end is None or end >= today, f"{row['asset_key']} is made from {photo['uri']}, over on {end}"

    def check_withdrawn(self, run_id: str, rights: Mapping[str, date | None], today: date) -> None:
        """A start withdraws only what is over."""
        for row in self.record().values():
            if row["status"] == "withdrawn" and row["run_id"] == run_id:
                ends = [rights.get(photo["uri"], photo["licence_end"]) for photo in _photos(row)]
                assert any(end is not None and end < today for end in ends), f"{row['asset_key']} had its right"

    def check_verified(self, deep: bool) -> None:
        """After a look at everything, nothing that is gone is called delivered."""
        for row in self.delivered():
            problem = self.problem(row)
            assert not problem or (problem == "other bytes" and not deep), f"{row['asset_key']} is {problem}"


def _photos(row: Row) -> list[Mapping[str, Any]]:
    photos = [*(row["references"] or ()), *(row["upstream_references"] or ())]
    return [photo for photo in photos if not photo["uri"].startswith("render:")]
