"""The Parquet files of a catalog: finding them, their partition folders, and what is wrong with them."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
import pyarrow.parquet as pq
import pyarrow.types as pt

from catalogs.errors import CatalogError, OptionError
from catalogs.inputs.schemas import CatalogKind, conform, fits_column
from catalogs.storage.local_files import file_status
from catalogs.storage.store import MissingKey, Store

FORMAT = ds.ParquetFileFormat()

_EXTENSIONS = (".parquet", ".parq", ".pq")
_MAGIC = b"PAR1"
_AGAIN = "write or copy it again"
_HIVE_NULL = "__HIVE_DEFAULT_PARTITION__"
_WHOLE_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,17}")


@dataclass(frozen=True, slots=True)
class CatalogFile:
    """One Parquet file; its footer is read once and kept in `fragment`.

    Attributes:
        name: for people and rejects.
        keys: values of the partition folders it lies in.
        empty: columns of the contract that hold nothing but null or NaN, and are not read: their type says nothing.
    """

    path: str
    name: str
    keys: Mapping[str, Any]
    fragment: Any
    empty: frozenset[str] = frozenset()


def find_files(store: Store, uri: str) -> list[CatalogFile]:
    """The catalog's Parquet files in path order."""
    with readable(uri, store):
        root = store.path()
        found = store.filesystem.info(root)
        if found["type"] != "directory":
            if store.is_local:
                file_status(root)  # raises where it is no file
            return [_file(store, root, uri, {})]
        paths = [str(path) for path in sorted(store.filesystem.find(root))]
        if store.is_local:
            paths = [path for path in paths if os.path.isfile(path)]
    relative = [path[len(root) :].strip("/") for path in paths]
    names = [name for name in relative if name.lower().endswith(_EXTENSIONS) and not _is_hidden(name)]
    if not names:
        fix = "give a Parquet file, or a folder that holds *.parquet files"
        raise CatalogError(uri, "", "the folder holds no Parquet file", fix)
    keys = _typed_keys([_partition_keys(name) for name in names])
    prefix, place = root.rstrip("/"), uri.rstrip("/")
    return [
        _file(store, f"{prefix}/{name}", f"{place}/{name}", values) for name, values in zip(names, keys, strict=True)
    ]


def _file(store: Store, path: str, name: str, keys: Mapping[str, Any]) -> CatalogFile:
    guarantee = None
    for key, value in keys.items():
        known = ds.field(key).is_null() if value is None else ds.field(key) == value
        guarantee = known if guarantee is None else guarantee & known
    fragment = FORMAT.make_fragment(path, arrow_filesystem(store), partition_expression=guarantee)
    return CatalogFile(path, name, keys, fragment)


def _is_hidden(name: str) -> bool:
    # Spark and others keep _temporary, _delta_log and .crc files beside the data.
    return any(part.startswith(("_", ".")) for part in name.split("/") if "=" not in part)


def _partition_keys(name: str) -> dict[str, str | None]:
    pairs = [part.partition("=") for part in name.split("/")[:-1] if "=" in part]
    return {unquote(key): None if value == _HIVE_NULL else unquote(value) for key, _, value in pairs}


def _typed_keys(keys: list[dict[str, str | None]]) -> list[dict[str, Any]]:
    """Whole numbers become int, except in columns of the contracts: brand 007 is no 7."""
    known = {*CatalogKind.BRANDS.schema.names, *CatalogKind.PRODUCTS.schema.names}
    names = {name for values in keys for name in values} - known
    numeric = {
        name
        for name in names
        if all(value is None or _WHOLE_NUMBER.fullmatch(value) for v in keys for value in [v.get(name)])
    }
    return [{name: int(v) if name in numeric and v is not None else v for name, v in values.items()} for values in keys]


def read_footer(store: Store, file: CatalogFile, kind: CatalogKind) -> tuple[CatalogFile, pa.Schema]:
    """The columns of a file and of the folders it lies in, checked; the file with its empty columns."""
    with readable(file.name, store):
        try:
            file.fragment.ensure_complete_metadata()
            physical = file.fragment.physical_schema
        except (pa.ArrowException, OSError) as error:
            if not _is_damage(error):
                raise
            raise _not_parquet(store, file) from error
    keys = [pa.field(name, pa.int64() if isinstance(value, int) else pa.string()) for name, value in file.keys.items()]
    empty = frozenset(_empty_columns(store, file, physical, kind.schema))
    columns = [kind.schema.field(column.name) if column.name in empty else column for column in physical]
    schema = pa.schema([*(column for column in columns if column.name not in file.keys), *keys])
    conform(schema, kind.schema, file.name)
    return replace(file, empty=empty), schema


def _empty_columns(store: Store, file: CatalogFile, physical: pa.Schema, contract: pa.Schema) -> Iterator[str]:
    """Columns that have another type than the contract's because there is nothing in them, as pandas writes them."""
    for wanted in contract:
        name = wanted.name
        if name in file.keys or physical.names.count(name) != 1 or fits_column(physical.field(name), wanted):
            continue
        with (
            readable(file.name, store),
            open_stream(store, file.path) as stream,
            pq.ParquetFile(stream, metadata=file.fragment.metadata) as parquet,
        ):
            if all(_is_empty(batch.column(0)) for batch in parquet.iter_batches(columns=[name], use_threads=False)):
                yield name


def _is_empty(values: pa.Array) -> bool:
    if pt.is_floating(values.type) and not pt.is_float16(values.type):
        return bool(pc.all(pc.is_null(values, nan_is_null=True)).as_py() is not False)
    return bool(values.null_count == len(values))


def _not_parquet(store: Store, file: CatalogFile) -> CatalogError:
    with store.filesystem.open(file.path, "rb") as stream:
        head = stream.read(len(_MAGIC))
    if not head:
        return CatalogError(file.name, "", "the file is empty", "write it again")
    if head == _MAGIC:
        return CatalogError(file.name, "", "the Parquet file is cut short or damaged", _AGAIN)
    return CatalogError(
        file.name,
        "",
        "is not a Parquet file",
        "write it as one, for example with pandas: read_csv(...).to_parquet(...)",
    )


def arrow_filesystem(store: Store) -> pafs.FileSystem:
    """The store's filesystem as Arrow takes it."""
    if store.is_local:
        return pafs.LocalFileSystem()
    return pafs.PyFileSystem(pafs.FSSpecHandler(store.filesystem))


def open_stream(store: Store, path: str) -> pa.NativeFile:
    """A file for reading stretches of it in any order."""
    if store.is_local:
        return pa.OSFile(path)
    # Columns are read in turn: fsspec's read-ahead would fetch each stretch several times.
    return pa.PythonFile(store.filesystem.open(path, "rb", cache_type="none"), mode="r")


@contextmanager
def readable(name: str, store: Store | None = None) -> Iterator[None]:
    """Translate what storage and pyarrow raise while a file is read: the only place where that is done."""
    try:
        if store is None:
            yield
        else:
            with store.seam("read"), _undamaged(name):
                yield
    except MissingKey:
        raise CatalogError(name, "", "there is no such file or folder", "correct the path") from None
    except OptionError as error:
        raise CatalogError(name, "", error.problem, error.fix) from None


@contextmanager
def _undamaged(name: str) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        if not _is_damage(error):
            raise
        reason = str(error).splitlines()[0]
        raise CatalogError(name, "", f"the Parquet file is damaged ({reason})", _AGAIN) from error


def _is_damage(error: Exception) -> bool:
    """Arrow's word for bytes that make no sense is a bare OSError; a disk's or a store's says more."""
    bare = type(error) is OSError and error.errno is None and error.__cause__ is None
    return bare or isinstance(error, pa.ArrowException)
