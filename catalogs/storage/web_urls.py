"""URLs of photos on web servers, and the hosts that a campaign lists for them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import quote, urljoin

KEY = "reference_hosts"

_WEB = re.compile(r"\s*https?://", re.IGNORECASE)
_PORTS = {"http": 80, "https": 443}
_LABEL = re.compile(r"[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?")
_NUMBER = re.compile(r"[0-9]+|0x[0-9a-f]*")
_PARTS = re.compile(r"(https?)://([^/?#]*)([^#]*)", re.IGNORECASE)
_AS_WRITTEN = "%/:=&?~#+!$,;'@()*[]|"
_LONGEST_URL, _LONGEST_HOST = 4096, 253
_DOWNLOAD = "download the file and give its path"


class BadUrl(Exception):
    """A URL or host that is not taken: what is wrong, and what to do."""

    def __init__(self, problem: str, fix: str) -> None:
        self.problem, self.fix = problem, fix
        super().__init__(f"{problem}; {fix}")


@dataclass(frozen=True, slots=True)
class WebUrl:
    """An http or https URL in parts.

    Attributes:
        host: a name in lower case, its letters as DNS has them (IDNA).
        target: path and query, in ASCII.
    """

    scheme: str
    host: str
    port: int
    target: str

    @property
    def entry(self) -> str:
        """How a campaign lists its host."""
        scheme = "" if self.scheme == "https" else f"{self.scheme}://"
        return f"{scheme}{self.host}" + ("" if self.port == _PORTS[self.scheme] else f":{self.port}")

    @classmethod
    def of(cls, text: str) -> WebUrl:
        """Raises BadUrl for what no browser would send either, and for secrets and addresses in the host's place."""
        text = text.strip()
        found = _PARTS.fullmatch(text.partition("#")[0])
        if found is None or "\\" in text or not text.isprintable() or not _is_unicode(text):
            raise BadUrl("is no URL that can be asked for", "correct it")
        if len(text) > _LONGEST_URL:
            raise BadUrl(f"is longer than {_LONGEST_URL} characters", _DOWNLOAD)
        if "@" in found[2]:
            raise BadUrl("a URI must not carry secrets", _DOWNLOAD)
        scheme, (name, port) = found[1].lower(), _split_port(found[2])
        target = quote(found[3], safe=_AS_WRITTEN)
        return cls(scheme, _host(name), port or _PORTS[scheme], target if target.startswith("/") else f"/{target}")

    def joined(self, location: str) -> WebUrl:
        """Where a redirect from here leads; raises BadUrl."""
        try:
            return WebUrl.of(urljoin(str(self), location))
        except ValueError:
            raise BadUrl("is no URL that can be asked for", "correct it") from None

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}{self.target}"


def is_web(uri: str) -> bool:
    """Whether a reference is on a web server."""
    return _WEB.match(uri) is not None


def host_entry(text: str) -> str:
    """An entry of `reference_hosts` as it is compared: NAME, *.NAME, http://NAME, each with :PORT or without.

    Raises:
        BadUrl: it names no host, or more than one.
    """
    text = text.strip()
    scheme, mark, rest = text.rpartition("://")
    if scheme.lower() not in ("", "http") or (mark and not scheme):
        raise BadUrl("a host is listed without https://", "write its name alone")
    if set(rest) & set("/?#@\\"):
        raise BadUrl("a host has no path and no user name", "write its name alone")
    name, port = _split_port(rest)
    star = "*." if name.startswith("*.") else ""
    host = _host(name.removeprefix(star))
    if star and host.count(".") < 1:
        raise BadUrl("stands for too many hosts", "write at least two names after *.")
    prefix = "http://" if mark else ""
    return f"{prefix}{star}{host}" + ("" if port in (None, _PORTS["http" if mark else "https"]) else f":{port}")


@dataclass(frozen=True)
class Hosts:
    """The hosts that photos are fetched from.

    Attributes:
        entries: as `host_entry` gives them; one without a scheme stands for https alone.
        source: the campaign file that lists them, for messages.
    """

    entries: tuple[str, ...] = ()
    source: str = "the campaign"

    def refusal(self, url: WebUrl) -> tuple[str, str] | None:
        """Problem and fix of a URL on another host, or on another port of a listed one."""
        if any(_covers(entry, url) for entry in self.entries):
            return None
        fix = f"add {url.entry} to {KEY} in {self.source}, or {_DOWNLOAD}"
        return f"{url.entry} is no host of this campaign", fix


def _covers(entry: str, url: WebUrl) -> bool:
    scheme, mark, rest = entry.rpartition("://")
    name, _, port = rest.partition(":")
    doors = {(scheme or "https", int(port) if port else _PORTS[scheme or "https"])}
    if mark and not port:
        doors.add(("https", 443))
    if (url.scheme, url.port) not in doors:
        return False
    return url.host.endswith(name[1:]) if name.startswith("*.") else url.host == name


def _split_port(authority: str) -> tuple[str, int | None]:
    name, colon, port = authority.rpartition(":")
    if not colon or authority.endswith("]"):
        return authority, None
    if not port:
        return name, None
    if not (port.isascii() and port.isdigit() and 0 < int(port[:6]) < 65536 and len(port) < 6):
        raise BadUrl(f"{port[:20]!r} is no port", "correct it")
    return name, int(port)


def _host(name: str) -> str:
    """A host's name as DNS has it."""
    text = name.removesuffix(".").lower()
    if not text.isascii():
        text = _encoded(text)
    labels = text.split(".")
    if text.startswith("[") or _NUMBER.fullmatch(labels[-1]):
        raise BadUrl("names an address, not a host", _DOWNLOAD)
    if len(text) > _LONGEST_HOST or not all(map(_LABEL.fullmatch, labels)):
        raise BadUrl("names no host", "correct it")
    if len(labels) < 2:
        raise BadUrl(f"{text!r} is no host of the internet", _DOWNLOAD)
    return text


def _encoded(name: str) -> str:
    import idna  # tables of some megabytes, for few hosts

    try:
        return idna.encode(name, uts46=True).decode().lower()
    except idna.IDNAError:
        raise BadUrl("names no host", "correct it") from None


def _is_unicode(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:  # half of a surrogate pair
        return False
    return True
