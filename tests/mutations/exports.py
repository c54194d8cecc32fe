"""Shops' exports, damaged: each by its number and a seed, imported in this process, and counted by another reader."""

from __future__ import annotations

import json
import random
import resource
import shutil
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from catalogs.errors import PackshotError
from catalogs.imports.importing import ImportOptions, import_catalog
from tests.catalogs.imports.counted import rows_in
from tests.catalogs.imports.imported import imported_from
from tests.catalogs.imports.shops import SHOPS, Shop

Cells = list[dict[str, str]]
MOST_SECONDS = 10
_TEXTS = (
    *("", " ", "\0", "\ufeff", '"', "'", "\r", "\n", "\u2028", "\u202e", "=1+1", "@x", "1e400", "9" * 400, "-1", "nan"),
    *("x" * 5_000, "<p>" * 3_000, "a,b|c;d", "https://[::1", "http://", "//", "file:///etc/passwd", "../../x.jpg", "."),
    *(
        "id:1",
        "id:",
        "sku=A,color=B|sku=",
        "{name}",
        "{{ product.title }}",
        "e\u0301",
        "\U0001f600" * 300,
        "<!DOCTYPE x>",
    ),
    *(
        "1.2.3,4,5",
        "true",
        "Default Title",
        "\\,\\n",
        "a" * 400 + ".jpg",
        "\ud7ff",
        "\x1b[31m",
        "&amp;&#0;&#xd800;",
        "0x1F",
    ),
)
_BYTES = (
    b'"',
    b"\r",
    b"\n",
    b"\0",
    b"\xff",
    b"\xfe\xff",
    b"\xef\xbb\xbf",
    b",",
    b";",
    b"\t",
    b"<",
    b"&",
    b"]]>",
    b"}",
    b"[",
    b"\\",
)
_ENCODINGS = (
    "utf-16",
    "utf-16-le",
    "utf-16-be",
    "utf-32",
    "utf-8-sig",
    "cp1252",
    "latin-1",
    "cp1250",
    "shift-jis",
    "utf-7",
)
_ENDINGS = (".csv", ".tsv", ".txt", ".json", ".jsonl", ".xml", ".parquet", ".xlsx", ".pdf")


def _of_rows(rng: random.Random, rows: Cells, columns: list[str]) -> str:
    """Change rows or columns; told by name."""
    kind = rng.choice(
        ("cell", "cells", "swap", "shift", "cut", "twice", "shuffle", "rename", "drop", "double", "order")
    )
    row, (one, other) = rng.choice(rows), rng.sample(columns, 2)
    if kind == "cell":
        row[one] = rng.choice(_TEXTS)
    elif kind == "cells":
        text = rng.choice(_TEXTS)
        for each in rows:
            each[one] = text
    elif kind == "swap":
        row[one], row[other] = row.get(other, ""), row.get(one, "")
    elif kind == "shift":
        row.update(zip(columns, ["", *(row.get(name, "") for name in columns)], strict=False))
    elif kind == "cut":
        del rows[rng.randrange(len(rows)) :][: rng.randint(1, 9)]
        del rows[rng.randint(1, len(rows)) :]
    elif kind == "twice":
        rows.append(dict(row))
    elif kind == "shuffle":
        rng.shuffle(rows)
    elif kind == "rename":
        named = rng.choice((*_TEXTS, one.upper(), f" {one} ", other, f"g:{one}"))
        columns[columns.index(one)] = named
        for each in rows:
            each[named] = each.pop(one, "")
    elif kind == "drop":
        columns.remove(one)
        for each in rows:
            each.pop(one, None)
    elif kind == "double":
        columns.append(one)
    else:
        rng.shuffle(columns)
    return kind


def _of_bytes(rng: random.Random, data: bytes) -> tuple[str, bytes]:
    """Change bytes; told by name."""
    kind = rng.choice(
        ("flip", "flips", "insert", "delete", "repeat", "end", "separator", "lines", "quotes", "encoding", "mixed")
    )
    at = rng.randrange(len(data) + 1)
    until = min(len(data), at + rng.choice((1, 2, 10, 200)))
    if kind in ("flip", "flips"):
        changed = bytearray(data)
        for _ in range(1 if kind == "flip" else rng.randint(2, 30)):
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
        return kind, bytes(changed)
    if kind == "insert":
        return kind, data[:at] + rng.choice(_BYTES) * rng.choice((1, 1, 2, 5_000)) + data[at:]
    if kind == "delete":
        return kind, data[:at] + data[until:]
    if kind == "repeat":
        return kind, data[:until] + data[at:until] * rng.randint(1, 50) + data[until:]
    if kind == "end":
        return kind, data[:at]
    if kind == "separator":
        return kind, data.replace(*rng.sample((b",", b";", b"\t", b"|", b":", b"="), 2))
    if kind == "lines":
        return kind, data.replace(b"\n", rng.choice((b"\r", b"\r\n", b"\n\n", b"\n\r", b"\\n")))
    if kind == "quotes":
        return kind, data.replace(b'"', rng.choice((b"", b"'", b'""', b'\\"')), rng.choice((1, -1)))
    encoding = rng.choice(_ENCODINGS)
    other = data.decode("utf-8", "replace").encode(encoding, "replace")
    return f"{kind} {encoding}", other if kind == "encoding" else data[:at] + other[at:]


def damaged(rng: random.Random, shop: Shop) -> tuple[str, str, bytes]:
    """What was done to an export of a shop, the name of its file, and the file."""
    rows: Cells = [{name: rng.choice(of) for name, of in shop.columns.items()} for _ in range(rng.randint(3, 25))]
    columns, done = list(shop.columns), []
    if rng.random() < 0.6:
        done += [_of_rows(rng, rows, columns) for _ in range(rng.randint(1, 4))]
    data, name = shop.write(rows, columns), shop.file
    if not done or rng.random() < 0.4:
        for _ in range(rng.randint(1, 2)):
            kind, data = _of_bytes(rng, data or b"\n")
            done.append(kind)
    if rng.random() < 0.03:
        name = Path(name).with_suffix(rng.choice(_ENDINGS)).name
        done.append(name)
    return ", ".join(done), name, data


def trial(shop: str, number: int, seed: int, folder: Path) -> dict[str, object]:
    """Damage an export and import it: what came of it, `fault` empty where all is in order."""
    rng = random.Random(f"{seed} {shop} {number}")
    shutil.rmtree(folder, ignore_errors=True)
    done, name, data = damaged(rng, SHOPS[shop])
    path = folder / "source" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(data)
    language, again = rng.choice(("en", "de", "fr")), rng.random() < 0.1
    code, fault, began = 0, "", time.monotonic()
    try:
        with _limit(), warnings.catch_warnings(action="error"):
            _meet(path, folder / "catalog", language, again)
    except PackshotError as error:
        code, fault = error.exit_code, _unsaid(error, folder / "catalog")
    except BaseException:
        code, fault = -1, traceback.format_exc()[-3000:]
    seconds = round(time.monotonic() - began, 2)
    return {"subject": shop, "number": number, "done": done, "code": code, "seconds": seconds, "fault": fault}


def _meet(path: Path, into: Path, language: str, again: bool) -> None:
    found = imported_from(path, into, language=language)
    report = found.report
    assert report.read == report.accepted + report.inactive + report.joined + report.rejected.total(), report.lines()
    assert report.read == rows_in(path), (report.read, rows_in(path))
    assert len(found.rows) == report.accepted + report.inactive == len(set(found.ids)), report.lines()
    assert found.rejects == []
    if again:
        changes = import_catalog(str(path), str(into), ImportOptions(language=language), lambda line: None).changes
        assert set(changes) == {"unchanged"}, changes


def _unsaid(error: PackshotError, catalog: Path) -> str:
    """What an error lacks: one line, exit code 2, nothing half-written."""
    said = str(error)
    if error.exit_code != 2 or len(said.splitlines()) != 1 or len(said) > 2_000:
        return f"exit code {error.exit_code}: {said[:3000]}"
    return "half-written" if any(catalog.glob("*.parquet")) or any(catalog.glob("*.yaml")) else ""


class _LateError(BaseException):
    """That no `except Exception` of what is tried can take for its own."""


@contextmanager
def _limit() -> Iterator[None]:
    def late(*_: object) -> None:
        raise _LateError(f"takes longer than {MOST_SECONDS} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(MOST_SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def piece(folder: Path, results: Path, seed: int, total: int, seconds: float) -> list[dict[str, object]]:
    """Go on with what is not in the results, format by format in turn, for so many seconds at most."""
    began = time.monotonic()
    done = {(line["subject"], line["number"]) for line in read(results)}
    with results.open("a") as file:
        for place in range(total):
            number, which = divmod(place, len(SHOPS))
            shop = list(SHOPS)[which]
            if (shop, number) in done:
                continue
            if time.monotonic() - began > seconds:
                break
            line = trial(shop, number, seed, folder / "trial")
            line["mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
            file.write(json.dumps(line) + "\n")
            file.flush()
    return read(results)


def read(path: Path) -> list[dict[str, object]]:
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def table(lines: list[dict[str, object]]) -> str:
    """What came of all trials, a row a format."""
    rows = ["| export | damaged | imported | refused | longest | faults |", "| --- " * 6 + "|"]
    for shop in SHOPS:
        of = [line for line in lines if line["subject"] == shop]
        whole, refused, faults = (sum(is_so(line) for line in of) for is_so in _OUTCOMES)
        longest = max((float(str(line["seconds"])) for line in of), default=0.0)
        rows.append(f"| {shop} | {len(of):,} | {whole:,} | {refused:,} | {longest:.1f} s | {faults} |")
    most = max((int(str(line["mib"])) for line in lines), default=0)
    return "\n".join([*rows, f"{len(lines):,} in all, at most {most:,} MiB"])


_OUTCOMES: tuple[Callable[[dict[str, object]], bool], ...] = (
    lambda line: line["code"] == 0 and not line["fault"],
    lambda line: line["code"] == 2 and not line["fault"],
    lambda line: bool(line["fault"]),
)


if __name__ == "__main__":
    print(table(read(Path(sys.argv[1]))))
