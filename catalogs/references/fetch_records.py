"""Which bytes a URL gave: append-only records in the output, so that nothing is asked for twice.

    references/photos/<sha256[:2]>/<sha256>.<ext>    a photo, once, whatever URLs gave it
    references/records/<start>.parquet               what some URLs gave; of a URL the last record counts

A file of records holds what a run fetched in some seconds, so that there are few of them; their names sort as history
does (catalogs/assets/starts.py). One that cannot be read is passed over: its URLs are asked once more.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from datetime import datetime

import pyarrow as pa
import pyarrow.parquet as pq

from catalogs.errors import NewerFormat, StorageError, UserError
from catalogs.identity import photo_prefix
from catalogs.storage.store import Store

RECORDS = "references/records"
RECORD_FORMAT = 1
_FORMAT_KEY = b"packshot.format"
_READERS = 8
_SCHEMA = pa.schema(
    [
        ("url", pa.string()),
        ("sha256", pa.string()),
        ("extension", pa.string()),
        ("bytes", pa.int64()),
        ("width", pa.int32()),
        ("height", pa.int32()),
        ("format", pa.string()),
        ("mode", pa.string()),
        ("is_clear", pa.bool_()),
        ("is_blank", pa.bool_()),
        ("etag", pa.string()),
        ("last_modified", pa.string()),
        ("fetched_at", pa.timestamp("us", tz="UTC")),
    ]
)


@dataclass(frozen=True, slots=True)
class PhotoRecord:
    """What a URL gave.

    Attributes:
        url: as the catalog has it.
        extension: of the photo's key.
        width: pixels, after EXIF transposition; so is the height.
        etag: "" where the server gave none; so is `last_modified`.

    `format`, `mode`, `is_clear` and `is_blank` are as in `catalogs.references.pictures.Measures`.
    """

    url: str
    sha256: str
    extension: str
    bytes: int
    width: int
    height: int
    format: str
    mode: str
    is_clear: bool
    is_blank: bool
    etag: str
    last_modified: str
    fetched_at: datetime

    @property
    def key(self) -> str:
        """Where its bytes are."""
        return f"{photo_prefix(self.sha256)}{self.extension}"


_NAMES = [column.name for column in fields(PhotoRecord)]


@dataclass
class FetchRecords:
    """The records of an output, as they were read.

    Attributes:
        latest: the record that counts, by URL.
        replaced: when a URL last gave other bytes than these, by the key of a photo.
        names: of the files of records, in order.
        unread: keys of those that could not be read, each with the reason.
    """

    latest: dict[str, PhotoRecord] = field(default_factory=dict)
    replaced: dict[str, datetime] = field(default_factory=dict)
    names: list[str] = field(default_factory=list)
    unread: dict[str, str] = field(default_factory=dict)

    @classmethod
    def read(cls, store: Store) -> FetchRecords:
        """All records; raises UserError for those of a newer packshot."""
        records = cls()
        keys = sorted(key for key in store.list(RECORDS) if key.endswith(".parquet"))
        records.names = [_name(key) for key in keys]
        with ThreadPoolExecutor(_READERS) as pool:
            for start in range(0, len(keys), 4 * _READERS):  # memory holds a few files, not all
                window = keys[start : start + 4 * _READERS]
                for key, data in zip(window, pool.map(store.read_or_none, window), strict=True):
                    records._take(store.uri(key), key, data)
        return records

    def _take(self, uri: str, key: str, data: bytes | None) -> None:
        if data is None:
            return
        try:
            found = _decoded(data)
        except NewerFormat as error:
            raise UserError(uri, "", str(error), "upgrade packshot") from None
        except (pa.ArrowException, OSError, ValueError, KeyError, TypeError) as error:
            self.unread[key] = " ".join(str(error).split())[:200]
            return
        self._add(found)

    def _add(self, records: Iterable[PhotoRecord]) -> None:
        for record in records:
            before = self.latest.get(record.url)
            if before is not None and before.key != record.key:
                self.replaced[before.key] = max(record.fetched_at, self.replaced.get(before.key, record.fetched_at))
            self.latest[record.url] = record

    def append(self, store: Store, name: str, rows: Sequence[PhotoRecord]) -> None:
        """Add a file of records; their bytes must be stored already.

        Args:
            name: later than every other that was read.

        Raises:
            StorageError: the store did not take it, or a file of this name is there.
        """
        key = f"{RECORDS}/{name}.parquet"
        if store.commit(key, _encoded(rows)) == "exists-other":
            raise StorageError(f"{store.uri(key)}: another run has written it")
        self.names.append(name)
        self._add(rows)


def _name(key: str) -> str:
    return key.rpartition("/")[2].removesuffix(".parquet")


def _encoded(rows: Iterable[PhotoRecord]) -> bytes:
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=_SCHEMA)
    buffer = io.BytesIO()
    pq.write_table(
        table.replace_schema_metadata({_FORMAT_KEY: str(RECORD_FORMAT).encode()}),
        buffer,
        compression="zstd",
        write_page_checksum=True,
    )
    return buffer.getvalue()


def _decoded(data: bytes) -> list[PhotoRecord]:
    # From memory and in this thread, see catalogs/assets/commits.py: decode_commit.
    with pq.ParquetFile(pa.BufferReader(data), page_checksum_verification=True) as file:
        told = (file.schema_arrow.metadata or {}).get(_FORMAT_KEY, b"1")
        if told.isdigit() and int(told) > RECORD_FORMAT:
            raise NewerFormat("record of photos", int(told), RECORD_FORMAT)
        table = file.read(columns=_NAMES, use_threads=False)
    return [PhotoRecord(**row) for row in table.select(_NAMES).cast(_SCHEMA).to_pylist()]
