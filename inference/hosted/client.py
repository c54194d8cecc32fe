"""The protocol of Black Forest Labs' hosted FLUX.2, on httpx: submit, poll, download.

From BFL's OpenAPI and documentation as of September 2026. What this module holds to:

- The polling URL is used as it was answered: the task lives on the host it names.
- A body with a status is read whatever the HTTP code says; statuses nobody has heard of are waited out.
- The key goes to the API's own hosts only, is never sent along with a redirect or a download, and is cut out of
  every text that a server answers.
- A submit is void only where the API itself says so: 402, 422 and 429, or another 4xx or 503 with its body. Whatever
  else is answered, or nothing, a task may have been made and billed. Each submit opens a connection of its own, so
  that a kept one that died in between cannot lose an answer.
- A task that is not found is so for good only once it is old: a cluster may not know it yet, or for a while.
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any
from urllib.parse import urlsplit

import httpx

from catalogs.errors import OptionError, one_line
from catalogs.money import Micro, micro
from inference.hosted.hosts import check_base_url, may_have_key
from inference.hosted.links import Links
from inference.hosted.pace import Pace
from inference.remote.backoff import backoff
from inference.remote.key import Key

KEY_VARIABLE = "BFL_API_KEY"
CREDITS_A_USD = 100

IN_FLIGHT = frozenset(("Pending", "Reasoning", "Generating"))
FAILURES = frozenset(("Error", "Failed"))
MODERATED = frozenset(("Request Moderated", "Content Moderated"))
NOT_FOUND = "Task not found"

NOT_FOUND_TRIES = 3
TASK_LIFE = 600.0
"""Seconds for which a task that is not found may yet be: BFL's documentation gives its picture ten minutes."""
SUBMIT_SECONDS = 60.0
"""Bound of a submit and its answer as a whole; `catalogs.journal.spend.SUBMIT_GRACE` is longer."""
_TIMEOUT = httpx.Timeout(30.0, connect=15.0)
# A URL that the API answered may be none.
_NO_ANSWER = (httpx.HTTPError, httpx.InvalidURL)


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

    @property
    def is_moderated(self) -> bool:
        return self.status in MODERATED


class Gone(BflError):
    """A task or its picture is no longer to be had."""


class NotReady(BflError):
    """Still in flight at the deadline."""


class ApiKey(Key):
    """The key of an account; raises OptionError for what can be none."""

    def __init__(self, text: str) -> None:
        super().__init__(text, KEY_VARIABLE, "set it to the key from dashboard.bfl.ai")


@dataclass(frozen=True, slots=True)
class Submitted:
    """A task the API took.

    Attributes:
        cost: None where it said none that can be one; `odd_cost` is then what it said, "" for null.
    """

    id: str
    polling_url: str
    cost: Micro | None
    input_mp: float | None
    output_mp: float | None
    odd_cost: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """A finished task: where its picture is, and the prompt and seed it was really made with."""

    url: str
    prompt: str
    seed: int | None


def key_from_environment() -> ApiKey:
    """The key; raises OptionError without one."""
    return ApiKey(os.environ.get(KEY_VARIABLE, "").strip())


class BflClient:
    """One account's connection; lives in one event loop.

    Raises:
        OptionError: a base URL that may not be given the key.
    """

    def __init__(self, base_url: str, key: ApiKey) -> None:
        if problem := check_base_url(base_url):
            raise OptionError("hosted.base_url", "", problem, "use https://api.bfl.ai, api.eu.bfl.ai or api.us.bfl.ai")
        self._base, self._key = base_url.rstrip("/"), key
        self.trouble = ""  # what was last answered to a look that told nothing
        alone = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        shared = httpx.Limits(max_connections=None, max_keepalive_connections=64)
        self._submits = httpx.AsyncClient(limits=alone, timeout=httpx.Timeout(SUBMIT_SECONDS, connect=15.0))
        self._reads = httpx.AsyncClient(limits=shared, timeout=_TIMEOUT)
        # A pool looks at all its connections for each request: two short lists are quicker than a long one.
        self._downloads = httpx.AsyncClient(limits=shared, timeout=_TIMEOUT)
        self.links = Links(self._downloads, base_url)

    async def close(self) -> None:
        await self._submits.aclose()
        await self._reads.aclose()
        await self._downloads.aclose()

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
            async with asyncio.timeout(SUBMIT_SECONDS):
                answer = await self._submits.post(url, json=dict(body), headers=self._headers(url))
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            raise NotMade(f"cannot connect to {urlsplit(url).hostname} ({type(error).__name__})") from None
        except (httpx.HTTPError, TimeoutError) as error:
            raise Unanswered(f"the answer to the submit was lost ({type(error).__name__})") from None
        if answer.status_code != 200:
            raise self._refusal(answer)
        content = _json(answer)
        if not isinstance(content.get("id"), str) or not isinstance(content.get("polling_url"), str):
            raise Unanswered("the answer to the submit names no task")
        input_mp, output_mp = (_number(content.get(name)) for name in ("input_mp", "output_mp"))
        said = content.get("cost")
        cost = _cost(said)
        odd = "" if said is None or cost is not None else one_line(json.dumps(said))[:40]
        return Submitted(content["id"], content["polling_url"], cost, input_mp, output_mp, odd)

    def _refusal(self, answer: httpx.Response) -> BflError:
        code, detail = answer.status_code, self._detail(answer)
        text = f"HTTP {code}: {detail}".rstrip(": ")
        if code == 402:
            return OutOfCredits(text)
        if code == 429:
            return NotMade(text, _retry_after(answer))
        if code == 422:
            return BadKey(text) if "api key" in detail.lower() else Refused(text)
        if not _is_of_the_api(answer):
            return Unanswered(text)  # a gateway's own does not say what the API did
        if code == 503:
            return NotMade(text, _retry_after(answer))
        if code in (401, 403):
            return BadKey(text)
        return Refused(text) if 400 <= code < 500 else Unanswered(text)

    async def wait(self, polling_url: str, started: float, age: float, deadline: float, pace: Pace) -> Sample:
        """Poll a task until it ends.

        Args:
            started: `time.monotonic()` when this process began to wait for it.
            age: seconds since its submit, at that moment.
            deadline: seconds to wait for it.

        Raises:
            TaskFailed: it ended without a picture.
            Gone: the API does not know it, which is older than `TASK_LIFE`.
            NotReady: the deadline has passed.
        """
        trouble = lost = 0
        delay: float | None = None
        looked: float | None = None
        while True:
            elapsed = time.monotonic() - started
            if elapsed > deadline:
                raise NotReady(f"not done after {elapsed:.0f} s; the next run collects it")
            await asyncio.sleep(backoff(trouble - 1, delay) if trouble else pace.delay(elapsed))
            content, delay = await self._look(polling_url)
            status = content.get("status")
            is_lost = status == NOT_FOUND or content.get("http") == 404
            lost = lost + 1 if is_lost else 0
            if lost >= NOT_FOUND_TRIES and age + time.monotonic() - started > TASK_LIFE:
                raise Gone(NOT_FOUND)
            trouble = 0 if isinstance(status, str) and not is_lost else trouble + 1
            self.trouble = _trouble(content) if trouble else ""
            if status == "Ready":
                pace.took(time.monotonic() - started, looked)
                return _sample(content)
            looked = time.monotonic() - started
            if status in FAILURES or status in MODERATED:
                raise TaskFailed(status, self._key.masked(_failure(content)))

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

    async def credits(self) -> Micro | None:
        """What is left on the account; None where the API does not say.

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
        return _cost(_json(answer).get("credits"))

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


def _trouble(content: Mapping[str, Any]) -> str:
    return f"HTTP {content['http']}" if "http" in content else str(content.get("status") or "nothing")


def _is_of_the_api(answer: httpx.Response) -> bool:
    """Whether an error has a body as the API writes them, and not a gateway before it."""
    content = _json(answer)
    return any(isinstance(content.get(name), str | list) for name in ("detail", "message", "error"))


def _cost(value: object) -> Micro | None:
    """What a number of credits is worth."""
    credits = _number(value)
    return None if credits is None else micro(Decimal(repr(credits)) / CREDITS_A_USD)


def _number(value: object) -> float | None:
    """A number that can be one of something; Python's json reads NaN, and a server may write it."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 1e14:
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
