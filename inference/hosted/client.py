"""The protocol of Black Forest Labs' hosted FLUX.2, on httpx: submit, poll, download.

From BFL's OpenAPI and documentation as of September 2026. What this module holds to:

- The polling URL is used as it was answered: the task lives on the host it names.
- A body with a status is read whatever the HTTP code says; statuses nobody has heard of are waited out.
- The key goes to the API's own hosts only, is never sent along with a redirect or a download, and is cut out of
  every text that a server answers.
- A submit whose answer is lost is not sent again: a task may have been made and billed. Each submit opens a
  connection of its own, so that a kept one that died in between cannot lose an answer.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import os
import random
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import httpx

from catalogs.errors import OptionError
from inference.hosted.hosts import check_base_url, may_have_key

KEY_VARIABLE = "BFL_API_KEY"
CREDIT = 0.01
"""USD."""

IN_FLIGHT = frozenset(("Pending", "Reasoning", "Generating"))
FAILURES = frozenset(("Error", "Failed"))
MODERATED = frozenset(("Request Moderated", "Content Moderated"))
NOT_FOUND = "Task not found"

BACKOFF_FIRST, BACKOFF_MOST = 1.0, 30.0
NOT_FOUND_TRIES = 3
DOWNLOAD_TRIES = 6
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
_SUBMIT_TIMEOUT = httpx.Timeout(60.0, connect=15.0)
# A URL that the API answered may be none.
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL)
_MAGIC = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"RIFF")


class BflError(Exception):
    """Base of what the API or the way to it may do to one request."""


class NotMade(BflError):
    """No task was made, and the same submit may be sent again after `delay` seconds."""

    def __init__(self, detail: str, delay: float | None = None) -> None:
        self.delay = delay
        super().__init__(detail)


class Unanswered(BflError):
    """A submit without a readable answer: a task may have been made and billed."""


class Refused(BflError):
    """The API does not take this request."""


class OutOfCredits(BflError):
    """402: nothing more can be bought."""


class BadKey(BflError):
    """401 or 403: the key is not known."""


class TaskFailed(BflError):
    """A task ended without a picture; `status` is the API's word."""

    def __init__(self, status: str, detail: str) -> None:
        self.status = status
        super().__init__(detail)


class Gone(BflError):
    """A task or its picture is no longer to be had."""


class NotReady(BflError):
    """Still in flight at the deadline."""


@dataclass(frozen=True)
class ApiKey:
    """The key, which never shows.

    Raises:
        OptionError: it is empty or cannot stand in a header.
    """

    text: str = field(repr=False)

    def __post_init__(self) -> None:
        # httpx would quote a bad header value, and with it the key, in its error.
        if not self.text or not self.text.isascii() or not self.text.isprintable() or " " in self.text:
            problem = "is not set" if not self.text else "holds characters that no key has"
            raise OptionError(KEY_VARIABLE, "", problem, "set it to the key from dashboard.bfl.ai")

    def masked(self, text: str) -> str:
        return text.replace(self.text, "***")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task the API took; `cost` in credits, None where it said none."""

    id: str
    polling_url: str
    cost: float | None
    input_mp: float | None
    output_mp: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished task: where its picture is, and the prompt and seed it was really made with."""

    url: str
    prompt: str
    seed: int | None


def key_from_environment() -> ApiKey:
    """The key; raises OptionError without one."""
    return ApiKey(os.environ.get(KEY_VARIABLE, "").strip())


class Pace:
    """When to look at a task: seldom before the usual time of its model, closely around it, then ever less.

    Args:
        first: seconds before the first look while nothing is known yet.
    """

    def __init__(self, first: float) -> None:
        self._first = first
        self._took: deque[float] = deque(maxlen=48)

    def took(self, seconds: float) -> None:
        self._took.append(seconds)

    def delay(self, elapsed: float) -> float:
        """Seconds to wait before the next look at a task submitted `elapsed` seconds ago."""
        early = sorted(self._took)[len(self._took) // 10] * 0.96 if self._took else self._first
        if elapsed < early:
            return early - elapsed
        usual = max(early, 0.2)
        step = min(2.0, max(0.05, usual * 0.03))
        return min(5.0, step if elapsed < 2 * usual else elapsed * 0.1) * random.uniform(0.9, 1.1)


def backoff(tries: int, asked: float | None = None) -> float:
    """Seconds before try number `tries` + 1, with jitter; at least what the server asked for."""
    delay = min(BACKOFF_MOST, BACKOFF_FIRST * 2.0**tries) * random.uniform(0.5, 1.0)
    return max(delay, min(asked or 0.0, BACKOFF_MOST))


class BflClient:
    """One account's connection; lives in one event loop.

    Raises:
        OptionError: a base URL that may not be given the key.
    """

    def __init__(self, base_url: str, key: ApiKey) -> None:
        if problem := check_base_url(base_url):
            raise OptionError("hosted.base_url", "", problem, "use https://api.bfl.ai, api.eu.bfl.ai or api.us.bfl.ai")
        self._base, self._key = base_url.rstrip("/"), key
        alone = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        shared = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._submits = httpx.AsyncClient(limits=alone, timeout=_SUBMIT_TIMEOUT)
        self._reads = httpx.AsyncClient(limits=shared, timeout=_TIMEOUT)

    async def close(self) -> None:
        await self._submits.aclose()
        await self._reads.aclose()

    def _headers(self, url: str) -> dict[str, str]:
        """The key for the API's own hosts, nothing for any other."""
        if may_have_key(url, self._base):
            return {"x-key": self._key.text, "accept": "application/json"}
        return {"accept": "application/json"}

    async def submit(self, path: str, body: Mapping[str, Any]) -> Submitted:
        """Ask for one picture, once.

        Raises:
            NotMade: no task was made; later it may be.
            Unanswered: nobody knows.
            Refused, OutOfCredits, BadKey: it will not be.
        """
        url = f"{self._base}/v1/{path}"
        try:
            answer = await self._submits.post(url, json=dict(body), headers=self._headers(url))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotMade(f"cannot connect to {urlsplit(url).hostname} ({type(error).__name__})") from None
        except httpx.HTTPError as error:
            raise Unanswered(f"the answer to the submit was lost ({type(error).__name__})") from None
        if answer.status_code != 200:
            raise self._refusal(answer)
        content = _json(answer)
        if not isinstance(content.get("id"), str) or not isinstance(content.get("polling_url"), str):
            raise Unanswered("the answer to the submit names no task")
        numbers = (_number(content.get(name)) for name in ("cost", "input_mp", "output_mp"))
        return Submitted(content["id"], content["polling_url"], *numbers)

    def _refusal(self, answer: httpx.Response) -> BflError:
        code, detail = answer.status_code, self._detail(answer)
        text = f"HTTP {code}: {detail}"
        if code == 402:
            return OutOfCredits(text)
        if code in (401, 403) or (code == 422 and "api key" in detail.lower()):
            return BadKey(text)
        # Documented as answers to try again after. A gateway's 502 and 504 do not say what the API did.
        if code in (429, 500, 503):
            return NotMade(text, _retry_after(answer))
        if 400 <= code < 500:
            return Refused(text)
        return Unanswered(text)

    async def wait(self, polling_url: str, submitted: float, deadline: float, pace: Pace) -> Sample:
        """Poll a task until it ends.

        Args:
            submitted: `time.monotonic()` of its submit; a task of an earlier start counts from now.
            deadline: seconds from then.

        Raises:
            TaskFailed: it ended without a picture.
            Gone: the API does not know it any more.
            NotReady: the deadline has passed.
        """
        trouble = lost = 0
        while True:
            elapsed = time.monotonic() - submitted
            if elapsed > deadline:
                raise NotReady(f"not done after {elapsed:.0f} s; the next run collects it")
            await asyncio.sleep(backoff(trouble - 1) if trouble else pace.delay(elapsed))
            content, delay = await self._look(polling_url)
            status = content.get("status")
            if status == NOT_FOUND or content.get("http") == 404:
                lost += 1
                if lost >= NOT_FOUND_TRIES:
                    raise Gone(NOT_FOUND)
            trouble = 0 if isinstance(status, str) and status != NOT_FOUND else trouble + 1
            if status == "Ready":
                pace.took(time.monotonic() - submitted)
                return _sample(content)
            if status in FAILURES or status in MODERATED:
                raise TaskFailed(status, self._key.masked(_failure(content)))
            if delay and trouble:
                await asyncio.sleep(min(delay, BACKOFF_MOST))

    async def _look(self, url: str) -> tuple[Mapping[str, Any], float | None]:
        """A task's body; without one, {} or the HTTP code, and how long to stay away."""
        try:
            answer = await self._reads.get(url, headers=self._headers(url))
        except _NO_ANSWER:
            return {}, None
        content = _json(answer)
        if isinstance(content.get("status"), str):
            return content, None
        return {"http": answer.status_code}, _retry_after(answer)

    async def download(self, url: str) -> bytes:
        """The bytes of a picture, whole and of a known format. No key is sent.

        Raises:
            Gone: the link has expired.
            NotReady: it cannot be had now.
        """
        problem = ""
        for tries in range(DOWNLOAD_TRIES):
            if tries:
                await asyncio.sleep(min(5.0, backoff(tries - 1)))
            try:
                answer = await self._reads.get(url, follow_redirects=True)
            except _NO_ANSWER as error:
                problem = type(error).__name__
                continue
            if answer.status_code in (401, 403, 404, 410):
                raise Gone(f"HTTP {answer.status_code}")
            if answer.status_code == 200 and _is_whole(answer):
                return answer.content
            problem = f"HTTP {answer.status_code}, {len(answer.content)} bytes"
        raise NotReady(f"the picture could not be downloaded ({problem})")

    async def credits(self) -> float | None:
        """What is left on the account, in credits; None where the API does not say.

        Raises:
            BadKey: the key is not known.
        """
        url = f"{self._base}/v1/credits"
        try:
            answer = await self._reads.get(url, headers=self._headers(url))
        except httpx.HTTPError as error:
            raise NotMade(f"cannot connect to {urlsplit(url).hostname} ({type(error).__name__})") from None
        if answer.status_code in (401, 403):
            raise BadKey(f"HTTP {answer.status_code}: {self._detail(answer)}")
        return _number(_json(answer).get("credits"))

    def _detail(self, answer: httpx.Response) -> str:
        content = _json(answer)
        detail = content.get("detail") or content.get("message") or content.get("error")
        if isinstance(detail, list):
            detail = "; ".join(f"{_place(item)}: {item.get('msg', '')}" for item in detail if isinstance(item, dict))
        text = str(detail) if detail else answer.text
        return self._key.masked(" ".join(text.split())[:300])


def _place(item: Mapping[str, Any]) -> str:
    return ".".join(map(str, item.get("loc", ())))


def _json(answer: httpx.Response) -> dict[str, Any]:
    try:
        content = answer.json()
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _number(value: object) -> float | None:
    """A number that can be one of something; Python's json reads NaN, and a server may write it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e15:
        return None
    return float(value)


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        return _number(float(answer.headers.get("retry-after", "")))
    except ValueError:
        return None


def _sample(content: Mapping[str, Any]) -> Sample:
    result = content.get("result")
    if not isinstance(result, dict) or not isinstance(result.get("sample"), str):
        raise TaskFailed("Error", "Ready, but without a picture")
    seed = _number(result.get("seed"))
    return Sample(result["sample"], str(result.get("prompt") or ""), None if seed is None else int(seed))


def _failure(content: Mapping[str, Any]) -> str:
    """The API's word and its reasons, in one line."""
    details, result = content.get("details"), content.get("result")
    said: list[str] = []
    if isinstance(details, dict):
        reasons = details.get("Moderation Reasons") or details.get("error")
        said = [str(reason) for reason in reasons] if isinstance(reasons, list) else [str(reasons)] * bool(reasons)
    if not said and isinstance(result, dict) and result.get("error"):
        said = [str(result["error"])]
    return ": ".join(filter(None, (str(content["status"]), ", ".join(said)[:300])))


def _is_whole(answer: httpx.Response) -> bool:
    """Known magic bytes, and the server's MD5 where it sends one."""
    data = answer.content
    if not data.startswith(_MAGIC):
        return False
    md5 = answer.headers.get("content-md5")
    return not md5 or base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest()).decode() == md5
