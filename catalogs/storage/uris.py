"""Paths and URIs of stores and references: made absolute, split and joined."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote

from catalogs.errors import UserError

SCHEMES = {"s3": "s3", "s3a": "s3", "s3n": "s3", "gs": "gs", "gcs": "gs", "az": "az"}
"""The protocols of object stores that are read and written, and the name each goes by here."""

_WINDOWS = re.compile(r"\s*([A-Za-z]:[\\/]|\\\\)")
_SCHEME = re.compile(r"[a-z][a-z0-9+.-]*")
_LONGEST_KEY = 1024  # bytes, of S3 and Google; others take no more
# With one slash or none it would become a folder of that name.
_NEARLY_A_URI = re.compile(
    r"\s*([a-z][a-z0-9+.-]*:/(?!/)|(s3[an]?|gs|gcs|az|abfss?|file|https?):(?!//))", re.IGNORECASE
)


def split_uri(uri: str) -> tuple[str, str]:
    """Folder and file name of a path or URI, as `Store.at` and a key take them."""
    scheme, mark, rest = uri.rpartition("://")
    folder, slash, name = rest.rpartition("/")
    if mark:
        return (f"{scheme}{mark}{folder}", name) if slash else (uri, "")
    return folder or slash or ".", name


def join_uri(folder: str, relative: str) -> str:
    """`relative` below an absolute folder or URI, with its `.` and `..` parts resolved."""
    scheme, mark, rest = folder.rpartition("://")
    joined = posixpath.normpath(posixpath.join(rest or "/", relative))
    return f"{scheme}{mark}{joined}"


def resolve_uri(base: str, uri: str) -> str:
    """An absolute path or URI for `uri` as written in the file `base` (or in a folder, with a slash at
    its end): a relative one starts at the folder of `base`. Raises UserError."""

    def refuse(problem: str, fix: str) -> UserError:
        return UserError(masked(base), masked(uri), problem, fix)

    if not uri.strip():
        raise refuse("the path is empty", "give a path or an s3:// URI")
    if uri.strip().lower().startswith("data:"):
        raise refuse("a picture inside the text is not read", "save it as a file and give its path")
    if _WINDOWS.match(uri):
        raise refuse("a path of Windows is not read", "write it with / and relative to the catalog")
    if "://" in uri or _NEARLY_A_URI.match(uri) or uri.startswith(("/", "~")):
        return absolute_uri(uri, refuse)
    folder = absolute_uri(base if base.endswith("/") else split_uri(base)[0], refuse)
    resolved = join_uri(folder, uri)
    if bucket_of(resolved) != bucket_of(folder):
        raise refuse("the path leads out of the bucket", "give an absolute s3:// URI")
    return absolute_uri(resolved, refuse)


def absolute_uri(uri: str, refuse: Callable[[str, str], UserError]) -> str:
    """A path made absolute (`file://` too) or a URI without its last slash; raises what `refuse` makes of a
    problem and its fix."""
    if not uri.strip():
        raise refuse("the path is empty", "give a folder or an s3:// URI")
    if not _is_writable(uri):
        raise refuse("the path holds a character that no path can have", "correct it")
    if _NEARLY_A_URI.match(uri):
        raise refuse("a URI has two slashes after its colon", "write s3://BUCKET/PREFIX, or ./NAME for a folder")
    if "://" not in uri:
        return _absolute_path(uri)
    uri = uri.strip()
    scheme, _, rest = uri.partition("://")
    scheme = scheme.lower()
    if not _SCHEME.fullmatch(scheme):
        raise refuse("a URI starts with its protocol", "write s3://BUCKET/PREFIX")
    if "@" in rest.partition("/")[0]:
        raise refuse("a URI must not carry secrets", "put credentials into the environment")
    if scheme in {"http", "https"}:
        raise refuse(f"{scheme}:// is read of photos alone", "download the file and give its path")
    if "::" in uri or "://" in rest:
        # fsspec would follow the second one, to a server or into an archive
        raise refuse("a URI inside another is not followed", "copy the file and give its path")
    if scheme == "file":
        return _path_of(rest, refuse)
    if scheme not in SCHEMES:
        raise refuse(f"{scheme}:// is not read", "give a path or an s3:// URI (gs:// and az:// with their packages)")
    return f"{SCHEMES[scheme]}://{_checked_place(rest, refuse)}"


def _is_writable(uri: str) -> bool:
    try:
        return b"\0" not in uri.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False


def _absolute_path(path: str) -> str:
    absolute = os.path.abspath(os.path.expanduser(path))
    return absolute[1:] if absolute.startswith("//") else absolute  # POSIX leaves two slashes


def _path_of(rest: str, refuse: Callable[[str, str], UserError]) -> str:
    """The path in a file URI."""
    host, slash, path = rest.partition("/")
    path = unquote(path, errors="surrogateescape")
    if host not in {"", "localhost"} or not slash:
        raise refuse("a file URI must hold an absolute path", "write file:///folder/name")
    if "\0" in path:
        raise refuse("the path holds a character that no path can have", "correct it")
    return _absolute_path(f"/{path}")


def _checked_place(rest: str, refuse: Callable[[str, str], UserError]) -> str:
    """Bucket and key of a URI, without the last slash."""
    bucket, _, key = rest.partition("/")
    if not bucket:
        raise refuse("the bucket is missing", "write s3://BUCKET/PREFIX")
    if {".", ".."}.intersection(key.split("/")):
        raise refuse("a URI has no '.' and '..' parts", "write where the file really is")
    if len(key.encode()) > _LONGEST_KEY:
        raise refuse(f"the key is longer than {_LONGEST_KEY} bytes", "give it a shorter one")
    return rest.rstrip("/")


def bucket_of(uri: str) -> str:
    """Protocol and bucket of an absolute URI, "" for a path on a disk."""
    scheme, mark, rest = uri.partition("://")
    return f"{scheme}://{rest.partition('/')[0]}" if mark else ""


def masked(uri: str) -> str:
    """The URI for a message, without user name and password."""
    return re.sub(r"://[^/]*@", "://***@", uri)
