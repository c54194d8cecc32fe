"""Paths and URIs of stores and references: made absolute, split and joined."""

from __future__ import annotations

import os
import posixpath
import re
from collections.abc import Callable
from urllib.parse import unquote, urlsplit

from catalogs.errors import UserError

_S3_PROTOCOLS = frozenset({"s3", "s3a", "s3n"})
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
    if "://" in uri or _NEARLY_A_URI.match(uri) or uri.startswith(("/", "~")):
        return absolute_uri(uri, refuse)
    folder = absolute_uri(base if base.endswith("/") else split_uri(base)[0], refuse)
    resolved = join_uri(folder, uri)
    if "://" in folder and _bucket(resolved) != _bucket(folder):
        raise refuse("the path leads out of the bucket", "give an absolute s3:// URI")
    return resolved


def absolute_uri(uri: str, refuse: Callable[[str, str], UserError]) -> str:
    """A path made absolute (`file://` too) or a URI without its last slash; raises what `refuse` makes of a
    problem and its fix."""
    if not uri.strip():
        raise refuse("the path is empty", "give a folder or an s3:// URI")
    if _NEARLY_A_URI.match(uri):
        raise refuse("a URI has two slashes after its colon", "write s3://BUCKET/PREFIX, or ./NAME for a folder")
    if "://" not in uri:
        return os.path.abspath(os.path.expanduser(uri))
    uri = uri.strip()
    parts = urlsplit(uri)
    if not parts.scheme:
        raise refuse("a URI starts with its protocol", "write s3://BUCKET/PREFIX")
    if parts.scheme in {"http", "https"}:
        raise refuse(f"{parts.scheme} references are not read yet", "download the file and give its path")
    if parts.password is not None or (parts.scheme in _S3_PROTOCOLS and "@" in parts.netloc):
        raise refuse("a URI must not carry secrets", "put credentials into the environment")
    if parts.scheme == "file":
        if parts.netloc not in {"", "localhost"} or not parts.path:
            raise refuse("a file URI must hold an absolute path", "write file:///folder/name")
        return os.path.abspath(unquote(parts.path))
    scheme, rest = parts.scheme, uri.partition("://")[2]
    if scheme in _S3_PROTOCOLS:
        if not rest.strip("/") or rest.startswith("/"):
            raise refuse("the bucket is missing", "write s3://BUCKET/PREFIX")
        scheme = "s3"
    return f"{scheme}://{rest.rstrip('/')}"


def _bucket(uri: str) -> str:
    return uri.partition("://")[2].partition("/")[0]


def masked(uri: str) -> str:
    """The URI for a message, without user name and password."""
    return re.sub(r"://[^/]*@", "://***@", uri)
