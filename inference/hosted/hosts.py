"""Which hosts may be given the key of the hosted API; without httpx, as every plan asks."""

from __future__ import annotations

from urllib.parse import urlsplit

_LOOPBACK = frozenset(("127.0.0.1", "localhost", "::1"))


def check_base_url(url: str) -> str | None:
    """Why a base URL may not be given the key, or None."""
    if may_have_key(url, url):
        return None
    return "the key goes to https://*.bfl.ai only (or to this machine, for tests)"


def may_have_key(url: str, base_url: str) -> bool:
    """Whether a URL is the API's own: https below bfl.ai, or this machine where the base URL is."""
    try:
        parts, base = urlsplit(url), urlsplit(base_url)
    except ValueError:  # no URL at all
        return False
    host = parts.hostname or ""
    if base.hostname in _LOOPBACK:
        return parts.scheme in ("http", "https") and host in _LOOPBACK
    return parts.scheme == "https" and (host == "bfl.ai" or host.endswith(".bfl.ai"))
