"""OpenAI's images API on httpx, as SGLang Diffusion and vLLM-Omni document it: one server.

- https://docs.sglang.io/diffusion/api/openai_api: `GET /models`; edits take `image`.
- https://docs.vllm.ai/projects/vllm-omni, serving, images: `GET /v1/models`; edits take `image`, repeated.
- https://platform.openai.com/docs/api-reference/images: edits take `image[]`.

Seed, steps and guidance are no part of OpenAI's API; both servers name them as diffusers does. Whether a server does
what they say is found out by `inference.servers.verdicts`.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urljoin, urlsplit

import httpx

from catalogs.errors import one_line
from inference.remote.key import Key
from inference.servers.served import SGLANG, VLLM, Served, of_openai, of_sglang

KEY_VARIABLE = "PACKSHOT_SERVER_KEY"
MOST_BYTES = 128 * 2**20
REDIRECTS = 3
LOOK_SECONDS = 15.0
PICTURE_SECONDS = 900.0
_IMAGE_FIELD = {SGLANG: "image", VLLM: "image"}


class ServerKey(Key):
    """The key of image servers; raises OptionError for what can be none."""

    def __init__(self, text: str) -> None:
        super().__init__(text, KEY_VARIABLE, "set it to the key that the servers were started with, or unset it")


class ServerTrouble(Exception):
    """Base of what a server may do to one request."""


class Unreachable(ServerTrouble):
    """There is no connection, or it broke before the answer was whole."""


class Busy(ServerTrouble):
    """The server takes no more now, or is warming up; `delay` is how many seconds it asks for."""

    def __init__(self, detail: str, delay: float | None = None) -> None:
        self.delay = delay
        super().__init__(detail)


class BadAnswer(ServerTrouble):
    """An answer that is none: another server, or another try, may give one."""


class Refused(ServerTrouble):
    """The server does not take this request."""


class BadKey(ServerTrouble):
    """401 or 403."""


@dataclass(frozen=True, slots=True)
class Ask:
    """One picture.

    Attributes:
        references: as they are sent, in the order the prompt counts them.
    """

    prompt: str
    width: int
    height: int
    seed: int
    steps: int
    guidance: float | None
    references: tuple[bytes, ...] = ()

    def fields(self, model: str) -> dict[str, Any]:
        """What both routes are asked."""
        fields = {
            "model": model,
            "prompt": self.prompt,
            "size": f"{self.width}x{self.height}",
            "n": 1,
            "response_format": "b64_json",
            "seed": self.seed,
            "num_inference_steps": self.steps,
        }
        return fields if self.guidance is None else {**fields, "guidance_scale": self.guidance}


class Client:
    """One server's connections; lives in one event loop."""

    def __init__(self, base: str, key: Key | None) -> None:
        self.base, self._key = base, key
        headers = {"authorization": f"Bearer {key.text}"} if key else {}
        # Answers take as long as they take: who waits decides how long.
        timeout = httpx.Timeout(PICTURE_SECONDS, connect=10.0)
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=16)
        self._http = httpx.AsyncClient(headers=headers, timeout=timeout, limits=limits)

    async def close(self) -> None:
        await self._http.aclose()

    async def served(self) -> Served:
        """What it serves.

        Raises:
            ServerTrouble: it does not say.
        """
        for path, understood in (("/models", of_sglang), ("/v1/models", of_openai)):
            answer = await self._send("GET", path, timeout=LOOK_SECONDS)
            if answer.status_code == 200 and (found := understood(_object(answer))):
                if found.kind == VLLM:
                    await self._refuse_unready()
                return found
            self._refuse_trouble(answer)
        raise BadAnswer("says nowhere which model it serves")

    async def _refuse_unready(self) -> None:
        """vLLM-Omni lists its model before it is ready, and after its engine has died; `/health` tells."""
        answer = await self._send("GET", "/health", timeout=LOOK_SECONDS)
        if answer.status_code in (200, 404):  # 404: it has no such route
            return
        self._refuse_trouble(answer)
        raise Busy(f"/health answers HTTP {answer.status_code}: {self._shortened(_detail(answer))}".rstrip(": "))

    async def loras(self) -> frozenset[str]:
        """Names of the LoRA files that it lists."""
        answer = await self._send("GET", "/v1/list_loras", timeout=LOOK_SECONDS)
        return frozenset(_texts(_json(answer))) if answer.status_code == 200 else frozenset()

    async def picture(self, ask: Ask, served: Served, model: str) -> bytes:
        """Bytes of one picture.

        Raises:
            ServerTrouble: there is none.
        """
        fields = ask.fields(model)
        if ask.references:
            name = _IMAGE_FIELD.get(served.kind, "image[]")
            files = [(name, (f"{n}.png", data, _type_of(data))) for n, data in enumerate(ask.references, start=1)]
            form = {key: str(value) for key, value in fields.items()}
            answer = await self._send("POST", "/v1/images/edits", data=form, files=files)
        else:
            answer = await self._send("POST", "/v1/images/generations", json=fields)
        if answer.status_code != 200:
            self._refuse_trouble(answer)
            raise self._refusal(answer)
        return await self._picture_in(answer)

    async def _picture_in(self, answer: httpx.Response) -> bytes:
        listed = _object(answer).get("data")
        if not isinstance(listed, list) or not all(isinstance(one, dict) for one in listed):
            raise BadAnswer(f"HTTP 200 without a picture: {self._shortened(answer.text)}")
        if len(listed) != 1:
            raise BadAnswer(f"answered {len(listed)} pictures instead of one")
        [told] = listed
        if isinstance(told.get("b64_json"), str):
            try:
                return base64.b64decode(told["b64_json"].partition("base64,")[2] or told["b64_json"], validate=True)
            except (binascii.Error, ValueError):
                raise BadAnswer("the picture is no base64") from None
        if not isinstance(told.get("url"), str):
            raise BadAnswer("answered neither b64_json nor url")
        url = urljoin(f"{self.base}/", told["url"])
        if not self._is_its_own(url):
            raise Refused("the picture is on another host, which nothing is fetched from")
        picture = await self._send("GET", url)
        if picture.status_code != 200:
            raise BadAnswer(f"the picture's own address answers HTTP {picture.status_code}")
        return picture.content

    async def _send(self, method: str, path: str, **rest: Any) -> httpx.Response:
        url = path if "://" in path else f"{self.base}{path}"
        try:
            for _ in range(REDIRECTS + 1):
                answer = await self._once(method, url, **rest)
                if not answer.has_redirect_location:
                    return answer
                url = urljoin(url, answer.headers["location"])
                if not self._is_its_own(url):
                    raise Refused("leads to another host, which nothing is sent to")
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise Unreachable(self._masked(f"{type(error).__name__}: {error}".rstrip(": "))) from None
        raise BadAnswer(f"more than {REDIRECTS} redirects")

    async def _once(self, method: str, url: str, **rest: Any) -> httpx.Response:
        async with self._http.stream(method, url, follow_redirects=False, **rest) as answer:
            data = bytearray()
            async for part in answer.aiter_bytes():
                data += part
                if len(data) > MOST_BYTES:
                    raise BadAnswer(f"answers more than {MOST_BYTES // 2**20} MiB")
            kept = {name: value for name, value in answer.headers.items() if name in ("location", "retry-after")}
            return httpx.Response(answer.status_code, headers=kept, content=bytes(data), request=answer.request)

    def _is_its_own(self, url: str) -> bool:
        try:
            mine, other = urlsplit(self.base), urlsplit(url)
            return (mine.scheme, mine.hostname, mine.port) == (other.scheme, other.hostname, other.port)
        except ValueError:
            return False

    def _refuse_trouble(self, answer: httpx.Response) -> None:
        code = answer.status_code
        if code in (429, 503):
            raise Busy(f"HTTP {code}: {self._shortened(_detail(answer))}".rstrip(": "), _retry_after(answer))
        if code in (401, 403):
            said = f"HTTP {code}: {self._shortened(_detail(answer))}".rstrip(": ")
            told = f"does not accept the key of {KEY_VARIABLE}" if self._key else f"wants a key, in {KEY_VARIABLE}"
            raise BadKey(f"{told} ({said})")

    def _refusal(self, answer: httpx.Response) -> ServerTrouble:
        code, text = answer.status_code, self._shortened(_detail(answer))
        said = f"HTTP {code}: {text}".rstrip(": ")
        return Refused(said) if 400 <= code < 500 and code not in (404, 405, 408) else BadAnswer(said)

    def _shortened(self, text: str) -> str:
        return one_line(self._masked(text))[:200]

    def _masked(self, text: str) -> str:
        return self._key.masked(text) if self._key else text


def _type_of(data: bytes) -> str:
    return "image/png" if data.startswith(b"\x89PNG") else "image/jpeg"


def _json(answer: httpx.Response) -> Any:
    try:
        return json.loads(answer.content)
    except (ValueError, RecursionError):
        return None


def _object(answer: httpx.Response) -> Mapping[str, Any]:
    content = _json(answer)
    return content if isinstance(content, dict) else {}


def _detail(answer: httpx.Response) -> str:
    content = _object(answer)
    detail = content.get("detail") or content.get("error") or content.get("message")
    if isinstance(detail, dict):
        detail = detail.get("message")
    if isinstance(detail, list):
        told: Sequence[Any] = [item for item in detail if isinstance(item, dict)]
        detail = "; ".join(f"{'.'.join(map(str, item.get('loc', ())))}: {item.get('msg', '')}" for item in told)
    return str(detail) if detail else answer.text[:400]


def _retry_after(answer: httpx.Response) -> float | None:
    try:
        seconds = float(answer.headers.get("retry-after", ""))
    except ValueError:
        return None
    return seconds if 0 <= seconds < 86_400 else None


def _texts(value: Any) -> list[str]:
    """Every text of a JSON value, names of keys too: servers list LoRA files in shapes of their own."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        return [text for item in value.items() for one in item for text in _texts(one)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []
