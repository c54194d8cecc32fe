"""Downloads: the bytes behind a link that the API answered, which may be any link.

At most two redirects, over https, never to a private address, bounded in size, and of a known format. No key is sent.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urljoin, urlsplit

import httpx

from inference.hosted.hosts import why_not_fetched

REDIRECTS = 2
MOST_BYTES = 64 * 2**20
DOWNLOAD_SECONDS = 120.0
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")
_REFUSED = (401, 403, 404, 410)


class LinkTrouble(Exception):
    """The bytes cannot be had now."""


class LinkRefused(LinkTrouble):
    """The host does not give them; `at` is the time by its own clock, where it said so."""

    def __init__(self, detail: str, at: datetime) -> None:
        self.at = at
        super().__init__(detail)


class Links:
    """Downloads from links; `base_url` says whether this machine may be one of their hosts."""

    def __init__(self, client: httpx.AsyncClient, base_url: str) -> None:
        self._client, self._base = client, base_url

    async def download(self, url: str) -> bytes:
        """The bytes of a picture, whole and of a known format.

        Raises:
            LinkRefused: the host answered 401, 403, 404 or 410.
            LinkTrouble: whatever else kept them from coming.
        """
        try:
            async with asyncio.timeout(DOWNLOAD_SECONDS):
                return _picture(await self._followed(url))
        except (httpx.HTTPError, httpx.InvalidURL, ValueError, TimeoutError) as error:
            raise LinkTrouble(type(error).__name__) from None

    async def _followed(self, url: str) -> httpx.Response:
        for _ in range(REDIRECTS + 1):
            if problem := await why_not_fetched(url, self._base):
                raise LinkTrouble(f"the link {problem}")
            answer = await self._get(url)
            if not answer.has_redirect_location:
                return answer
            url = urljoin(url, answer.headers["location"])
        raise LinkTrouble(f"more than {REDIRECTS} redirects")

    async def _get(self, url: str) -> httpx.Response:
        async with self._client.stream("GET", url, follow_redirects=False) as answer:
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise LinkTrouble(f"more than {MOST_BYTES // 2**20} MiB")
            # What has been read of a stream is handed on as an answer of its own.
            headers = {name: value for name, value in answer.headers.items() if name in _KEPT_HEADERS}
            return httpx.Response(answer.status_code, headers=headers, content=bytes(data), request=answer.request)


_KEPT_HEADERS = frozenset(("content-md5", "date", "location"))


def _picture(answer: httpx.Response) -> bytes:
    if answer.status_code in _REFUSED:
        raise LinkRefused(f"HTTP {answer.status_code}", _time_of(answer))
    if answer.status_code != 200 or not _is_whole(answer):
        raise LinkTrouble(f"HTTP {answer.status_code}, {len(answer.content)} bytes")
    return answer.content


def _is_whole(answer: httpx.Response) -> bool:
    """Known magic bytes, and the server's MD5 where it sends one."""
    data = answer.content
    if not data.startswith(_MAGIC):
        return False
    md5 = answer.headers.get("content-md5")
    return not md5 or base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode() == md5


def _time_of(answer: httpx.Response) -> datetime:
    try:
        return parsedate_to_datetime(answer.headers["date"]).astimezone(UTC)
    except (KeyError, ValueError):
        return datetime.now(UTC)


def expiry_of(url: str) -> datetime | None:
    """When a link says that it ends: `se` in its query, as Azure writes it or in seconds since 1970; else None."""
    try:
        said = parse_qs(urlsplit(url).query).get("se", [""])[0]
    except ValueError:
        return None
    try:
        return datetime.fromtimestamp(float(said), UTC)
    except (ValueError, OverflowError, OSError):
        pass
    try:
        moment = datetime.fromisoformat(said)
    except ValueError:
        return None
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)
