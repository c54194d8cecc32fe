"""A commit that cannot be read is raised by whoever needs the whole record, and told by whoever only reads on."""

from __future__ import annotations

import io
import os
import pickle
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from catalogs.assets.commits import (
    Step,
    UnreadCommit,
    commit,
    commit_keys,
    decode_commit,
    named_keys,
    read_commit,
    read_commits,
    unread_commits,
)
from catalogs.assets.delivered import Delivered
from catalogs.assets.history import History, read_current, rows_at
from catalogs.assets.quarantine import held_by_quarantine, move_aside
from catalogs.assets.shapes import NoCommit
from catalogs.assets.verification import current_files
from catalogs.columns import ASSETS
from catalogs.storage.store import MissingKey, Store
from tests.catalogs.assets.test_commits import IDENTITY, ONE, RUN, TWO, asset, put, row
from tests.flows.drawn import ROOT
from tests.flows.projects import Project

BAD = "catalog/r2/bad.parquet"
GOOD = pa.Table.from_pylist([row(TWO, run_id="r2")], schema=ASSETS)


def encoded(table: pa.Table) -> bytes:
    buffer = io.BytesIO()
    pq.write_table(table, buffer)
    return buffer.getvalue()


def flipped(data: bytes) -> bytes:
    """Every seventh byte of the pages is another one; the footer is whole."""
    changed = bytearray(data)
    for place in range(100, len(data) // 3, 7):
        changed[place] ^= 0x55
    return bytes(changed)


def with_format(data: bytes, format: bytes) -> bytes:
    return encoded(pq.read_table(pa.BufferReader(data)).replace_schema_metadata({b"packshot.format": format}))


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "empty": lambda data: b"",
    "torn": lambda data: b"PAR1 torn",
    "cut": lambda data: data[:-20],
    "flipped": flipped,
    "foreign": lambda data: encoded(pa.table({"campaign": ["spring"]})),
    "another type": lambda data: encoded(GOOD.set_column(1, "kind", pa.array([7]))),
    "newer": lambda data: with_format(data, b"2"),
}
READERS: dict[str, Callable[..., Any]] = {
    "history": lambda store, **told: History.read(store, **told),
    "view": lambda store, **told: read_current(store, **told),
    "index": lambda store, **told: Delivered(store, "spring").refresh(**told),
    "commits": lambda store, **told: list(read_commits(store, **told)),
}


@pytest.fixture
def output(tmp_path: Path) -> Store:
    store = Store.at(str(tmp_path))
    put(store, row())
    return store


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("damage", DAMAGES)
def test_it_is_raised_or_told(output: Store, damage: str, reader: str) -> None:
    output.write(BAD, DAMAGES[damage](encoded(GOOD)))
    with pytest.raises(UnreadCommit) as raised:
        READERS[reader](output)
    assert raised.value.exit_code == 2
    assert (raised.value.key, raised.value.is_newer) == (BAD, damage == "newer")
    advice = "upgrade packshot" if damage == "newer" else "move it aside with `packshot verify CAMPAIGN --quarantine`"
    assert str(raised.value).startswith(f"{output.uri(BAD)}: ")
    assert str(raised.value).endswith(f"; {advice}")
    unread: list[UnreadCommit] = []
    READERS[reader](output, unread=unread)
    assert [error.key for error in unread] == [BAD]
    assert [error.key for error in unread_commits(output)] == [BAD]


def test_what_stands_beside_it_counts(output: Store) -> None:
    output.write(BAD, b"")
    unread: list[UnreadCommit] = []
    assert read_current(output, unread=unread)["fingerprint"].to_pylist() == [ONE]
    history = History.read(output, "spring", unread)
    assert history.has(IDENTITY.digest(), ONE)
    assert len(unread) == 1  # told once
    assert [file.key for file in current_files_of(output, history)] == ["assets/11.jpg"]


def current_files_of(store: Store, history: History) -> list[Any]:
    keys = [key for key in commit_keys(store) if key != BAD]
    files = Store.at(store.uri("copy"))
    for key in keys:
        files.write(key, store.read(key))
    return list(current_files(files, history))


def test_a_column_that_only_whole_rows_need_is_told_too(output: Store) -> None:
    """The history does not read prompts: the row counts in it, and is passed over where whole rows are wanted."""
    bad = GOOD.set_column(ASSETS.get_field_index("prompt"), "prompt", pa.array([b"\xff"], pa.binary()))
    output.write(BAD, encoded(bad))
    history = History.read(output)
    known = history.known(IDENTITY.digest(), bytes.fromhex(TWO))
    assert known is not None
    with pytest.raises(UnreadCommit, match="'prompt'"):
        list(rows_at(output, {(IDENTITY.digest(), bytes.fromhex(TWO)): known.order}))
    unread: list[UnreadCommit] = []
    assert read_current(output, unread=unread)["fingerprint"].to_pylist() == [ONE]
    assert [error.key for error in unread] == [BAD]


def test_one_bit_in_its_pages_is_enough(output: Store) -> None:
    """No value is ever taken for another one: pages carry checksums."""
    key = commit(output, RUN, Step.RENDER, [asset(TWO, prompt="a mug on a table")])
    data, rows = output.read(key), decode_commit(output.read(key)).to_pylist()
    pages = pq.ParquetFile(pa.BufferReader(data)).metadata.row_group(0)
    end = pages.column(pages.num_columns - 1)
    found = 0
    for place in range(4, end.data_page_offset + end.total_compressed_size, 11):
        flipped_bit = bytearray(data)
        flipped_bit[place] ^= 0x08
        try:
            assert decode_commit(bytes(flipped_bit)).to_pylist() == rows
        except NoCommit:
            found += 1
    assert found > 100


def test_the_index_takes_it_up_once_it_is_mended(output: Store) -> None:
    index = Delivered(output, "spring")
    output.write(BAD, b"PAR1")
    index.refresh(unread=[])
    assert not index.known(IDENTITY.digest(), bytes.fromhex(TWO))
    output.write(BAD, encoded(GOOD))
    index.refresh()
    assert index.known(IDENTITY.digest(), bytes.fromhex(TWO))


def test_one_that_is_gone_is_no_bad_one(output: Store) -> None:
    with pytest.raises(MissingKey):
        list(read_commits(output, keys=[BAD], unread=[]))


def test_nobody_knows_what_is_left_over(output: Store) -> None:
    output.write(BAD, b"")
    with pytest.raises(UnreadCommit):
        named_keys(output)


def test_it_travels_between_processes(output: Store) -> None:
    error = UnreadCommit(output.uri(BAD), BAD, "is bad", False).naming("my campaign.yaml")
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.key, again.is_newer) == (str(error), BAD, False)
    assert str(again).endswith("`packshot verify 'my campaign.yaml' --quarantine`")


def test_the_same_outcome_can_be_committed_again_once_it_was_moved(store: Store) -> None:
    key = commit(store, RUN, Step.RENDER, [asset(TWO)])
    store.write(key, b"PAR1")
    assert commit(store, RUN, Step.RENDER, [asset(TWO)]) == key
    (error,) = unread_commits(store)  # a name is taken by what lies there
    assert move_aside(store, error, {}) == key.replace("catalog/", "quarantine/")
    assert commit(store, RUN, Step.RENDER, [asset(TWO)]) == key
    assert unread_commits(store) == []
    assert held_by_quarantine(store).before is not None


def test_two_may_move_it_at_once(output: Store) -> None:
    output.write(BAD, b"PAR1")
    (error,) = unread_commits(output)
    with ThreadPoolExecutor(4) as pool:
        moved = set(pool.map(lambda _: move_aside(output, error, {}), range(4)))
    assert moved <= {BAD.replace("catalog/", "quarantine/"), None}
    assert unread_commits(output) == []


def test_one_that_was_mended_meanwhile_stays(output: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    output.write(BAD, b"PAR1")
    (error,) = unread_commits(output)
    written = Store.write

    def mended(store: Store, key: str, data: bytes, content_type: str | None = None) -> None:
        written(store, key, data, content_type)
        if key.startswith("quarantine/") and key.endswith(".parquet"):
            written(store, BAD, encoded(GOOD))

    monkeypatch.setattr(Store, "write", mended)
    move_aside(output, error, {})
    assert unread_commits(output) == []
    assert output.exists(BAD)


ENDS = """
import os, sys, time
import pyarrow.parquet

def name(task):
    try:
        return open(f"/proc/self/task/{task}/comm").read()
    except OSError:
        return "jemalloc"  # just gone

def threads():
    return sum(not name(task).startswith("jemalloc") for task in os.listdir("/proc/self/task"))

before, code = threads(), 0
from flows.cli import main
try:
    main()
except SystemExit as ended:
    code = ended.code
until = time.monotonic() + 5
while threads() > before and time.monotonic() < until:  # those that were joined just now may still be on their way
    time.sleep(0.05)
print(threads() - before, file=sys.stderr)
sys.exit(code)
"""


def ends(path: str, command: str) -> tuple[int, str]:
    """How a command ends, and how many more threads it has then than before."""
    done = subprocess.run(
        [sys.executable, "-c", ENDS, command, path],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    return done.returncode, done.stderr.splitlines()[-1]


@pytest.fixture
def campaign(tmp_path: Path) -> str:
    """A rendered one, with some commits more, and a bad one among them."""
    project = Project.of(tmp_path / "shop", products=2)
    project.render()
    for number in range(30):
        put(project.store, *(row(look=f"l{number}-{n}") for n in range(10)))
    project.store.write(BAD, b"PAR1 torn")
    return project.path


@pytest.mark.skipif(sys.platform != "linux", reason="threads are counted in /proc")
@pytest.mark.parametrize(("command", "code"), [("report", 0), ("verify", 2), ("sweep", 2)])
def test_a_command_that_meets_it_leaves_no_thread_of_arrow(campaign: str, command: str, code: int) -> None:
    """Those free Python's bytes while the interpreter ends, which aborts it: "terminate called ..."."""
    assert ends(campaign, command) == (code, "0")


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_hundred_reports_end_in_order(campaign: str) -> None:
    assert {ends(campaign, "report") for _ in range(200)} == {(0, "0")}


def test_damage_is_told_whatever_is_read(tmp_path: Path) -> None:
    """A byte that flips in a column nobody reads now is told by a digest of all, not by that column's own checksum."""
    project = Project.of(tmp_path, 3)
    project.render()
    key = commit_keys(project.store)[0]
    data = project.store.read(key)
    with pq.ParquetFile(io.BytesIO(data)) as file:
        columns = [file.metadata.row_group(0).column(number) for number in range(file.metadata.num_columns)]
    for column in columns:
        start = column.dictionary_page_offset or column.data_page_offset
        damaged = bytearray(data)
        damaged[start + column.total_compressed_size // 2] ^= 0x10
        project.store.write(key, bytes(damaged))
        with pytest.raises(UnreadCommit, match="changed or damaged"):
            read_commit(project.store, key, ["status"])
    project.store.write(key, data)
    assert read_commit(project.store, key, ["status"]).num_rows > 0
