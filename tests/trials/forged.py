"""A kept plan that somebody changed by hand."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq


def write_forged(kept: Path, forged: Path) -> bool:
    """Write a plan with another prompt in a row that asks for work; False where no row does."""
    table = pq.read_table(kept)
    places = [
        place
        for place, row in enumerate(table.to_pylist())
        if row["work"] != "none" and row["action"] not in ("retired", "withdraw")
    ]
    if not places:
        return False
    prompts = table["prompt"].to_pylist()
    prompts[places[0]] = "a cat"
    column = pa.array(prompts, pa.string())
    pq.write_table(table.set_column(table.schema.names.index("prompt"), "prompt", column), forged)
    return True
