"""What is mutated: each subject changes one thing of a small project by a seed and says which commands meet it."""

from __future__ import annotations

import copy
import io
import json
import os
import random
import shutil
from collections.abc import Callable, Mapping
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import yaml
from PIL import Image

from tests.flows.projects import CHANNELS, Project, make
from tests.mutations import drawn, expressions

Commands = list[list[str]]
Subject = Callable[[random.Random, Path, int], Commands]

SHOTS: dict[str, Any] = {
    "hero": {
        "size": "64x64",
        "references": ["product.hero", "brand.logo?"],
        "prompt": {"scene": "{{ product.title }} on {{ brand.palette[0] | bind('table') }}", "mood": "quiet"},
    },
    "scene": {"size": "64x64", "references": ["shot.hero"], "prompt": {"scene": "a kitchen"}},
}
_PLAN = ["plan", "campaign.yaml"]
_CHECK = ["check", "campaign.yaml", "--all-references"]
_MAKE = ["@make", "campaign.yaml"]
# s3:// and the like as catalog or output would be asked, and rightly
_REMOTE = ("s3:", "gs:", "az:")
_TYPES = (
    pa.string(),
    pa.large_string(),
    pa.string_view(),
    pa.dictionary(pa.int8(), pa.string()),
    pa.int8(),
    pa.int64(),
    pa.uint64(),
    pa.float16(),
    pa.float64(),
    pa.bool_(),
    pa.null(),
    pa.binary(),
    pa.date32(),
    pa.timestamp("ns"),
    pa.timestamp("us", "UTC"),
    pa.duration("ns"),
    pa.decimal128(38, 10),
    pa.decimal256(70, 0),
    pa.list_(pa.string()),
    pa.large_list(pa.string()),
    pa.list_(pa.null()),
    pa.map_(pa.string(), pa.string()),
    pa.struct([("hex", pa.string())]),
    pa.list_(pa.struct([("uri", pa.string())])),
)


def base(folder: Path) -> Project:
    """The project before anything is changed: three products, two brands, two shots, one output that is made."""
    project = Project.of(folder, 3, shots=copy.deepcopy(SHOTS), channels=CHANNELS[:1])
    Image.linear_gradient("L").save(folder / "logo.png")
    project.brands[0]["logo_uri"] = "logo.png"
    for number, product in enumerate(project.products):
        product |= {"description": "<p>A mug</p>", "materials": ["clay"], "price": Decimal(number)}
    project.write()
    make(project.plan())
    return project


def campaigns(rng: random.Random, folder: Path, port: int) -> Commands:
    path = folder / "campaign.yaml"
    if rng.random() < 0.5:
        path.write_text(drawn.text(rng, path.read_text()), errors="surrogatepass")
    elif rng.random() < 0.2:
        path.write_bytes(drawn.bytes_of(rng, path.read_bytes()))
    else:
        content = yaml.safe_load(path.read_text())
        for _ in range(rng.choice((1, 1, 1, 3))):
            _change(rng, content, lambda: rng.choice((drawn.scalar(rng), *_safe_uris(rng, port))))
        text = json.dumps(content) if rng.random() < 0.5 else yaml.dump(content, allow_unicode=True)
        path.write_text(text, errors="surrogatepass")
    return [rng.choice((_PLAN, _CHECK)), ["status", "campaign.yaml"]]


def _safe_uris(rng: random.Random, port: int) -> list[str]:
    return [uri for uri in rng.sample(drawn.uris(port), 3) if not uri.lower().startswith(_REMOTE)]


def _change(rng: random.Random, content: Any, value: Callable[[], Any]) -> None:
    """Replace, add, drop or move a value somewhere in nested dicts and lists."""
    place = content
    while True:
        keys = list(place) if isinstance(place, dict) else range(len(place))
        if not keys:
            break
        key = rng.choice(keys)
        if isinstance(place[key], dict | list) and rng.random() < 0.7:
            place = place[key]
            continue
        break
    action = rng.randrange(4)
    if not keys or action == 0:
        if isinstance(place, dict):
            place[rng.choice(("extra", "name", "shots", "<<", "", "a.b", 7, "prompt"))] = value()
        else:
            place.append(value())
    elif action == 1:
        del place[key]
    elif action == 2:
        place[key] = copy.deepcopy(content) if rng.random() < 0.3 else [value() for _ in range(rng.randint(0, 3))]
    else:
        place[key] = value()


def catalogs(rng: random.Random, folder: Path, port: int) -> Commands:
    path = folder / rng.choice(("products.parquet", "products.parquet", "brands.parquet"))
    if rng.random() < 0.4:
        path.write_bytes(drawn.bytes_of(rng, path.read_bytes()))
    else:
        table = pq.read_table(path)
        for _ in range(rng.randint(1, 3)):
            table = _other_column(rng, table, port)
        _write(table, path)
    return [rng.choice((_PLAN, _CHECK, _MAKE))]


def _write(table: pa.Table, path: Path) -> None:
    """Write a table, or its bytes cut in half where Arrow does not write such a one."""
    data = path.read_bytes()
    try:
        pq.write_table(table, path)
    except (pa.ArrowException, OSError):
        path.write_bytes(data[: len(data) // 2])


def _other_column(rng: random.Random, table: pa.Table, port: int) -> pa.Table:
    """Another type, other values, another name, a twin, or none."""
    index = rng.randrange(table.num_columns)
    name = table.schema.names[index]
    action = rng.randrange(5)
    if action == 0:
        return table.remove_column(index) if table.num_columns > 1 else table
    if action == 1:
        other = rng.choice(("Product_ID", "title ", "", "\u202e", "a.b", "product", name))
        return table.rename_columns([other if i == index else n for i, n in enumerate(table.schema.names)])
    wanted = rng.choice((table.schema.field(index).type, rng.choice(_TYPES)))
    return table.set_column(index, name, _values(rng, wanted, table.num_rows, port))


def _values(rng: random.Random, wanted: pa.DataType, rows: int, port: int) -> pa.Array:
    """Nasty values of a type, as far as it can hold them."""
    values = []
    for _ in range(rows):
        value = _value(rng, wanted, port)
        try:
            pa.array([value], wanted)
        except (pa.ArrowException, TypeError, ValueError, OverflowError):
            value = None
        values.append(value)
    return pa.array(values, wanted)


def _value(rng: random.Random, wanted: pa.DataType, port: int) -> Any:
    if pa.types.is_struct(wanted):
        return {field.name: _value(rng, field.type, port) for field in wanted if rng.random() < 0.8}
    if pa.types.is_map(wanted):
        return [(rng.choice(drawn.TEXTS), rng.choice(drawn.TEXTS)) for _ in range(rng.randint(0, 3))]
    if pa.types.is_list(wanted) or pa.types.is_large_list(wanted):
        return [_value(rng, wanted.value_type, port) for _ in range(rng.randint(0, 3))]
    if pa.types.is_binary(wanted):
        return rng.randbytes(9)
    if pa.types.is_integer(wanted) or pa.types.is_temporal(wanted):
        return rng.choice((0, 1, -1, 2**31 - 1, 2**62, 2**63 - 1, -(2**63)))
    if pa.types.is_floating(wanted):
        return rng.choice((0.5, 7.0, float("nan"), float("inf"), -1e300, np.float16(1)))
    return rng.choice((rng.choice(drawn.TEXTS), rng.choice(drawn.uris(port)), "p000", "acme", "#AABBCC", "photo.png"))


def templates(rng: random.Random, folder: Path, port: int) -> Commands:
    path = folder / "campaign.yaml"
    content = yaml.safe_load(path.read_text())
    content["shots"]["hero"]["prompt"] = {
        key: expressions.template(rng) for key in rng.choice((("scene",), ("scene", "mood"), ("scene", "style")))
    }
    path.write_text(yaml.safe_dump(content))
    return [rng.choice((_PLAN, _CHECK))]


def references(rng: random.Random, folder: Path, port: int) -> Commands:
    os.mkfifo(folder / "fifo")
    os.symlink("loop", folder / "loop")
    os.symlink("/dev/zero", folder / "zero")
    (folder / "folder").mkdir()
    with (folder / "huge").open("wb") as file:
        file.truncate(2**42)
    project = Project(folder, campaign=yaml.safe_load((folder / "campaign.yaml").read_text()))
    project.products = pq.read_table(folder / "products.parquet").to_pylist()
    project.brands = pq.read_table(folder / "brands.parquet").to_pylist()
    for product in project.products:
        product["attributes"] = dict(product["attributes"] or ())
        product["reference_images"] = [{"uri": _uri(rng, port), "role": "hero"} for _ in range(rng.randint(1, 3))]
    project.brands[0]["logo_uri"] = _uri(rng, port)
    if rng.random() < 0.3:
        roots = [uri for uri in rng.sample(drawn.uris(port), 2) if not uri.lower().startswith(_REMOTE)]
        project.campaign["reference_roots"] = [root for root in roots if root.isprintable()]
    project.write()
    return [rng.choice((_PLAN, _CHECK, _MAKE))]


def _uri(rng: random.Random, port: int) -> str:
    uri = rng.choice(drawn.uris(port))
    if rng.random() < 0.3:
        uri = drawn.text(rng, uri)
    return uri.encode("utf-8", "replace").decode()


def commits(rng: random.Random, folder: Path, port: int) -> Commands:
    paths = sorted((folder / "output" / "catalog").rglob("*.parquet"))
    for path in rng.sample(paths, rng.randint(1, len(paths))):
        _other_file(rng, path, port)
    more = rng.choice((["verify"], ["verify", "--quarantine"], ["verify", "--deep"], ["sweep"], ["sweep", "--delete"]))
    return [
        ["status", "campaign.yaml"],
        rng.choice((["report", "campaign.yaml"], _PLAN, _MAKE, _CHECK)),
        [more[0], "campaign.yaml", *more[1:]],
        rng.choice((_MAKE, ["status", "campaign.yaml"])),
    ]


def plans(rng: random.Random, folder: Path, port: int) -> Commands:
    [path] = (folder / "output" / "runs").glob("*/plan.parquet")
    if rng.random() < 0.5:
        shutil.copy(path, folder / "approved.parquet")
        _other_file(rng, folder / "approved.parquet", port)
        return [["@make", "campaign.yaml", "approved.parquet"]]
    _other_file(rng, path, port)
    return [["status", "campaign.yaml"], rng.choice((["report", "campaign.yaml"], ["verify", "campaign.yaml"], _PLAN))]


def _other_file(rng: random.Random, path: Path, port: int) -> None:
    """A Parquet file with other bytes, columns, values or words about itself, or of another kind."""
    action = rng.randrange(6)
    if action <= 1:
        path.write_bytes(drawn.bytes_of(rng, path.read_bytes()))
    elif action == 2:
        foreign = (b"", b"PAR1", b"hello", b"PAR1" + rng.randbytes(99) + b"PAR1", b"{}")
        path.write_bytes(rng.choice(foreign))
    elif action == 3:
        shutil.copy(_root(path) / "products.parquet", path)
    else:
        table = pq.read_table(path)
        if action == 4:
            for _ in range(rng.randint(1, 3)):
                table = _other_column(rng, table, port)
        else:
            table = table.replace_schema_metadata(_metadata(rng, table.schema.metadata or {}))
        _write(table, path)


def _root(path: Path) -> Path:
    """The project's folder, which alone holds a campaign."""
    return next(parent for parent in path.parents if (parent / "campaign.yaml").exists())


def _metadata(rng: random.Random, known: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
    changed = {}
    for key, value in known.items():
        if rng.random() < 0.3:
            continue
        try:
            content = json.loads(value)
        except ValueError:
            content = None
        if isinstance(content, dict) and content and rng.random() < 0.7:
            _change(rng, content, lambda: rng.choice((drawn.scalar(rng), "output", 99)))
            value = json.dumps(content, default=str).encode()
        elif rng.random() < 0.5:
            value = drawn.bytes_of(rng, value)
        changed[key] = value
    return changed or {b"packshot": b"{}"}


_FORMATS = ("PNG", "JPEG", "WEBP", "AVIF", "TIFF", "BMP", "GIF")


def pictures(rng: random.Random, folder: Path, port: int) -> Commands:
    for name in ("photo.png", "logo.png"):
        data = _picture(rng)
        (folder / name).write_bytes(drawn.bytes_of(rng, data) if rng.random() < 0.8 else data)
    return [rng.choice((_PLAN, _MAKE, _MAKE, _CHECK))]


def _picture(rng: random.Random) -> bytes:
    """A picture of any kind and size; some say that they are far larger than they are."""
    size = rng.choice(((96, 72), (64, 64), (1, 1), (3000, 40), (700, 900), (9000, 9000)))
    mode = rng.choice(("RGB", "RGBA", "L", "P", "CMYK", "I;16", "1", "LA"))
    kind = rng.choice(_FORMATS)
    picture = Image.new("RGB", size, (rng.randrange(256), 9, 200))
    options: dict[str, Any] = rng.choice(
        ({}, {"icc_profile": rng.randbytes(200)}, {"exif": b"Exif\0\0" + rng.randbytes(60)}, {"quality": 30})
    )
    buffer = io.BytesIO()
    try:
        (picture if mode == "I;16" else picture.convert(mode)).save(buffer, kind, **options)
    except Exception:  # what a writer of Pillow refuses
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
    data = bytearray(buffer.getvalue())
    if kind == "PNG" and rng.random() < 0.3:
        data[16:24] = rng.choice((b"\0\0\x27\x0f\0\0\x27\x0f", b"\x7f\xff\xff\xff" * 2, b"\0\0\0\0\0\0\0\1"))
    return bytes(data)


SUBJECTS: dict[str, Subject] = {
    subject.__name__: subject for subject in (campaigns, catalogs, templates, references, commits, plans, pictures)
}
