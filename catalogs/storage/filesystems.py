"""How bytes are kept: in a local folder, and in a bucket or any other fsspec filesystem.

Errors are raw here; `catalogs.storage.store` translates them.
"""

from __future__ import annotations

import errno
import os
import posixpath
import random
import shutil
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

import fsspec

from catalogs.errors import OptionError
from catalogs.storage.errors import answer_of, reason_of, secrets_of
from catalogs.storage.local_files import NotAFile, file_status, is_folder, open_file

TEMPORARY = ".tmp-"

_CONFLICT_TRIES = 7  # a conditional PUT that races another is answered 409: 0.1 s doubling, 6 s in all
_SETTLE_S = 0.25
_ENTERED_AT_MOST = 100_000  # of an output with millions of folders not all are remembered
_DELETE_BATCH = 1000  # the most keys S3 takes in one DeleteObjects
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EOPNOTSUPP})


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored file: size in bytes, time of its last change, and a tag that changes with its bytes."""

    size: int
    modified: datetime
    tag: str


class Files(Protocol):
    """What a kind of storage can do; keys are checked, errors are raw."""

    def read(self, key: str) -> bytes: ...
    def write(self, key: str, data: bytes, content_type: str | None) -> None: ...
    def write_file(self, key: str, source: str, content_type: str | None) -> None: ...
    def create(self, key: str, data: bytes, content_type: str | None) -> bool: ...
    def stat(self, key: str) -> Entry: ...
    def delete(self, keys: Sequence[str]) -> None: ...
    def list(self, prefix: str) -> dict[str, Entry]: ...
    def list_names(self, prefix: str) -> dict[str, Entry]: ...
    def folders(self, prefix: str) -> Sequence[str]: ...


@dataclass(frozen=True)
class Folder:
    """A local folder, without fsspec: its local files are written in place and tear when killed."""

    root: str

    def read(self, key: str) -> bytes:
        with _as_missing(), open_file(join_key(self.root, key)) as file:
            return file.read()

    def write(self, key: str, data: bytes, content_type: str | None) -> None:
        target = join_key(self.root, key)
        with _temporary(self.root, target, lambda name: _write_new(name, data)) as temporary:
            os.replace(temporary, target)

    def write_file(self, key: str, source: str, content_type: str | None) -> None:
        target = join_key(self.root, key)
        with _temporary(self.root, target, lambda name: _copy_new(name, source)) as temporary:
            os.replace(temporary, target)

    def create(self, key: str, data: bytes, content_type: str | None) -> bool:
        # Unlike a rename, a link is both atomic and refused when the name is taken.
        target = join_key(self.root, key)
        with _temporary(self.root, target, lambda name: _write_new(name, data)) as temporary:
            try:
                os.link(temporary, target)
            except FileExistsError:
                # NFS may answer a link that it made with "exists"
                return os.path.samefile(temporary, target)
            except OSError as error:
                if error.errno not in _NO_HARD_LINKS:
                    raise
                problem = "this file system has no hard links, which exclusive commits need"
                raise OptionError(self.root, "", problem, "choose a folder on another disk") from error
        return True

    def stat(self, key: str) -> Entry:
        with _as_missing():
            return _local_entry(file_status(join_key(self.root, key)))

    def delete(self, keys: Sequence[str]) -> None:
        for key in keys:
            with suppress(FileNotFoundError, NotADirectoryError, IsADirectoryError):
                os.unlink(join_key(self.root, key))

    def list(self, prefix: str, temporary: bool = False) -> dict[str, Entry]:
        found: dict[str, Entry] = {}
        pending = [prefix]
        while pending:
            folder = pending.pop()
            try:
                entries = list(os.scandir(join_key(self.root, folder)))
            except FileNotFoundError:
                continue
            except NotADirectoryError:
                if folder:
                    continue
                raise
            for entry in entries:
                key = posixpath.join(folder, entry.name)
                if is_folder(entry):
                    pending.append(key)
                elif entry.name.startswith(TEMPORARY) == temporary:
                    with suppress(FileNotFoundError, NotAFile):
                        found[key] = _local_entry(file_status(entry.path))
        return found

    def list_names(self, prefix: str) -> dict[str, Entry]:
        folder, name = posixpath.split(prefix)
        found: dict[str, Entry] = {}
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(join_key(self.root, folder)) as entries:
            for entry in entries:
                if entry.name.startswith(name) and not entry.name.startswith(TEMPORARY) and not is_folder(entry):
                    with suppress(FileNotFoundError, NotAFile):
                        found[posixpath.join(folder, entry.name)] = _local_entry(file_status(entry.path))
        return found

    def folders(self, prefix: str) -> Sequence[str]:
        with suppress(FileNotFoundError, NotADirectoryError), os.scandir(join_key(self.root, prefix)) as entries:
            return [entry.name for entry in entries if is_folder(entry)]
        return []


@dataclass(frozen=True)
class Objects:
    """A bucket or other fsspec filesystem, below `base`."""

    fs: Any
    base: str

    def read(self, key: str) -> bytes:
        return bytes(self.fs.cat_file(join_key(self.base, key)))

    def write(self, key: str, data: bytes, content_type: str | None) -> None:
        self.fs.pipe_file(join_key(self.base, key), data, **self._headers(content_type))

    def write_file(self, key: str, source: str, content_type: str | None) -> None:
        self.fs.put_file(source, join_key(self.base, key), **self._headers(content_type))

    def create(self, key: str, data: bytes, content_type: str | None) -> bool:
        headers = self._headers(content_type)
        attempt = 1
        while True:
            started = time.monotonic()
            try:
                answer = self.fs.pipe_file(join_key(self.base, key), data, mode="create", **headers)
                return not _is_swift(answer) or self._settled(key, data, time.monotonic() - started)
            except OSError as error:
                status = answer_of(error).status
                # s3fs raises FileExistsError only where the server names the failed condition
                if isinstance(error, FileExistsError) or status == 412:
                    return False
                if status != 409 or attempt == _CONFLICT_TRIES:
                    raise
            time.sleep(0.05 * 2**attempt * random.uniform(0.5, 1.0))
            attempt += 1

    def _settled(self, key: str, data: bytes, seconds: float) -> bool:
        """Whether our bytes stay, once every PUT that was under way with ours is through.

        Swift checks the condition before it takes the bytes and again at no later time, so two creators at
        the same moment are both told 200 and the later one remains (seen in 40 of 40 races).
        """
        time.sleep(_SETTLE_S + 4 * seconds)
        return self.read(key) == data

    def stat(self, key: str) -> Entry:
        self.fs.invalidate_cache()
        info = self.fs.info(join_key(self.base, key))
        if info["type"] != "file":
            raise FileNotFoundError(key)
        return _remote_entry(info)

    def delete(self, keys: Sequence[str]) -> None:
        if not self._is_s3:
            for key in keys:
                with suppress(FileNotFoundError):
                    self.fs.rm_file(join_key(self.base, key))
            return
        for start in range(0, len(keys), _DELETE_BATCH):
            self._delete_batch(keys[start : start + _DELETE_BATCH])

    def _delete_batch(self, keys: Sequence[str]) -> None:
        # not fs.rm: it expands wildcards in the names and drops the errors of the answer
        paths = [self.fs.split_path(join_key(self.base, key)) for key in keys]
        wanted = {"Objects": [{"Key": name} for _, name, _ in paths], "Quiet": True}
        answer = self.fs.call_s3("delete_objects", Bucket=paths[0][0], Delete=wanted)
        kept = [error for error in answer.get("Errors", ()) if error.get("Code") != "NoSuchKey"]
        if kept:
            kind = PermissionError if kept[0].get("Code") == "AccessDenied" else OSError
            raise kind(errno.EIO, f"not deleted: {kept[0].get('Key')} ({kept[0].get('Code')}), {len(kept)} in all")

    def list_names(self, prefix: str) -> dict[str, Entry]:
        folder, name = posixpath.split(prefix)
        # only s3fs lets the store filter by name; elsewhere the folder is listed whole
        found = self.list(folder, {"prefix": name} if self._is_s3 else {})
        return {key: entry for key, entry in found.items() if key.startswith(prefix)}

    def list(self, prefix: str, options: Mapping[str, str] | None = None) -> dict[str, Entry]:
        folder = join_key(self.base, prefix) if prefix else self.base
        self.fs.invalidate_cache()
        try:
            found = self.fs.find(folder, detail=True, **(options or {}))
        except FileNotFoundError as error:
            if answer_of(error).code == "NoSuchBucket":
                raise
            return {}
        # when the first key of a folder arrives during the call, s3fs lists the folder itself
        files = {name: info for name, info in found.items() if info["type"] == "file"}
        start = len(self.base) + 1
        return {name[start:]: _remote_entry(info) for name, info in files.items() if len(name) > len(folder)}

    def folders(self, prefix: str) -> Sequence[str]:
        self.fs.invalidate_cache()
        try:
            found = self.fs.ls(join_key(self.base, prefix) if prefix else self.base, detail=True)
        except FileNotFoundError as error:
            if answer_of(error).code == "NoSuchBucket":
                raise
            return []
        return [posixpath.basename(info["name"].rstrip("/")) for info in found if info["type"] == "directory"]

    @property
    def _is_s3(self) -> bool:
        return hasattr(self.fs, "call_s3")

    def _headers(self, content_type: str | None) -> dict[str, str]:
        return {"ContentType": content_type} if content_type and self._is_s3 else {}


@contextmanager
def _temporary(root: str, target: str, fill: Callable[[str], None]) -> Iterator[str]:
    """A filled and synced temporary file beside `target`; it is gone, and the folder synced, afterwards."""
    folder = os.path.dirname(target)
    _make_folder(folder, root)
    name = os.path.join(folder, f"{TEMPORARY}{os.getpid()}-{uuid.uuid4().hex}")
    try:
        fill(name)
        yield name
    finally:
        with suppress(FileNotFoundError):
            os.unlink(name)
    _sync(folder)


def _write_new(name: str, data: bytes) -> None:
    with open(name, "xb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _copy_new(name: str, source: str) -> None:
    with open(source, "rb") as origin, open(name, "xb") as file:
        shutil.copyfileobj(origin, file, 1 << 20)
        file.flush()
        os.fsync(file.fileno())


_entered: set[str] = set()  # folders whose entries this process has seen onto the disk


def _make_folder(folder: str, root: str) -> None:
    """`makedirs` that also syncs what it made: a commit must not outlive its folder's entry.

    One below the root that is there already is synced for once too: another thread may have made it just now, or a
    process that was killed before it came to that.
    """
    exists = os.path.isdir(folder)
    if exists and (folder in _entered or not folder.startswith(f"{root}/")):
        return
    parent = os.path.dirname(folder)
    if parent != folder:
        _make_folder(parent, root)
    if not exists:
        try:
            os.mkdir(folder)
        except FileExistsError:
            if not os.path.isdir(folder):
                raise NotADirectoryError(errno.ENOTDIR, os.strerror(errno.ENOTDIR), folder) from None
    _sync(parent)
    if len(_entered) >= _ENTERED_AT_MOST:
        _entered.clear()
    _entered.add(folder)


def _sync(folder: str) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def _as_missing() -> Iterator[None]:
    """A folder, or a name below a file, is a missing key, as it is in an object store."""
    try:
        yield
    except (IsADirectoryError, NotADirectoryError) as error:
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)) from error


def _local_entry(status: os.stat_result) -> Entry:
    modified = datetime.fromtimestamp(status.st_mtime, UTC)
    return Entry(status.st_size, modified, str(status.st_mtime_ns))


def _is_swift(answer: object) -> bool:
    """Whether OpenStack Swift gave this answer to a PUT."""
    metadata = answer.get("ResponseMetadata", {}) if isinstance(answer, Mapping) else {}
    return "x-openstack-request-id" in metadata.get("HTTPHeaders", {})


_CONNECTIONS: dict[tuple[Any, ...], tuple[Any, str]] = {}


def connect(root: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    """This process's filesystem for a root, and the root's path in it.

    Kept by process id, because no S3 client survives a fork, and by the environment that configures it.
    """
    environment = tuple(sorted((k, v) for k, v in os.environ.items() if k.startswith(("AWS_", "FSSPEC_"))))
    is_s3 = root.startswith("s3://")
    slot = (os.getpid(), "s3" if is_s3 else root, repr(sorted(options.items())), environment)
    if slot not in _CONNECTIONS:
        _CONNECTIONS.setdefault(slot, _open_s3(options) if is_s3 else _open_other(root, options))
    fs, base = _CONNECTIONS[slot]
    return fs, root.removeprefix("s3://") if is_s3 else base


def _open_s3(options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        return fsspec.filesystem("s3", skip_instance_cache=True, **_s3_options(options)), ""
    except ImportError as error:
        problem, fix = "s3:// needs s3fs, which is not installed", "run: pip install packshot[s3]"
        raise OptionError("s3", "", problem, fix) from error


def _open_other(root: str, options: Mapping[str, Any]) -> tuple[Any, str]:
    try:
        fs, base = fsspec.core.url_to_fs(root, skip_instance_cache=True, **options)
    except (ImportError, ValueError) as error:
        problem = reason_of(error, secrets_of(options))
        raise OptionError(root, "", problem, "install what it names, or use a local path or s3://") from error
    return fs, str(base).rstrip("/")


def _s3_options(options: Mapping[str, Any]) -> dict[str, Any]:
    """Storage options with what packshot needs filled in; botocore reads AWS_* by itself."""
    merged = {**fsspec.config.conf.get("s3", {}), **options}
    client = merged.get("client_kwargs", {})
    given = (merged.get("endpoint_url"), client.get("endpoint_url"))
    endpoints = (*given, os.environ.get("AWS_ENDPOINT_URL_S3"), os.environ.get("AWS_ENDPOINT_URL"))
    # Retries stay at botocore's default: s3fs multiplies them for SlowDown.
    config = {"connect_timeout": 10, "read_timeout": 60, **merged.get("config_kwargs", {})}
    if any(endpoints):  # a server of one's own seldom has a DNS name per bucket
        config["s3"] = {"addressing_style": "path", **config.get("s3", {})}
    # A cached listing hides what other workers wrote; smaller blocks than 50 MB bound a reader's memory.
    defaults = {"use_listings_cache": False, "default_block_size": 8 * 2**20}
    return {**defaults, **merged, "config_kwargs": config}


def _remote_entry(info: Mapping[str, Any]) -> Entry:
    names = ("LastModified", "last_modified", "mtime", "updated", "modified", "created")
    changed = next((info[name] for name in names if info.get(name)), None)
    if isinstance(changed, int | float):
        modified = datetime.fromtimestamp(changed, UTC)
    elif isinstance(changed, datetime):
        modified = changed if changed.tzinfo else changed.replace(tzinfo=UTC)
    else:  # unknown counts as new, so that no sweep takes it
        modified = datetime.now(UTC)
    tag = info.get("ETag") or info.get("etag") or modified.isoformat()
    return Entry(int(info["size"] or 0), modified, str(tag).strip('"'))


def join_key(base: str, key: str) -> str:
    """`base/key`, or the base itself for the empty key."""
    return f"{base.rstrip('/')}/{key}" if key else base
