"""A server that speaks the hosted FLUX.2 protocol, traps included, on 127.0.0.1; `hosted_api()` starts one.

Submits go to one port; tasks live on another, as on the real clusters, and the first answers 404 for them. Faults
are switches: a probability each, drawn from one seeded stream.
"""

from __future__ import annotations

import asyncio
import hashlib
import io
import json
import os
import random
import subprocess
import sys
import time
import urllib.request
import uuid
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

KEY = "bfl-test-key-5f1c9a0e7d"
PRICES = {
    "flux-2-klein-4b": (0.014, 0.001),
    "flux-2-klein-9b": (0.015, 0.002),
    "flux-2-klein-9b-preview": (0.015, 0.002),
    "flux-2-pro": (0.03, 0.015),
    "flux-2-pro-preview": (0.03, 0.015),
    "flux-2-flex": (0.05, 0.05),
    "flux-2-max": (0.07, 0.03),
}
COMMON = {"prompt", "seed", "width", "height", "safety_tolerance", "output_format", "webhook_url", "webhook_secret"}
SWITCHES: dict[str, Any] = {
    "seconds": 0.1,  # of a task
    "slow_seconds": 1.0,  # of a slow one
    "cap": 24,  # active tasks an account
    "credits": 1e9,
    "ttl": 600.0,  # of a sample link
    "kept": 1e9,  # seconds for which a task is known
    "storm": 0,  # submits still to be answered 429
    "retry_after": "0",
    "unknown_fields": "ignore",
    "billing": "fractional",
    "megapixel": 2**20,
    "cost_says": "",  # JSON text in place of the cost
    "sample_says": "",  # in place of the link
    "seed": 1,
    # probabilities
    "submit_429": 0.0,
    "submit_503": 0.0,
    "submit_drop_before": 0.0,  # nothing was made; the client cannot know
    "submit_drop_after": 0.0,  # a task was made and billed
    "poll_429": 0.0,
    "poll_503": 0.0,  # without a body
    "poll_503_body": 0.0,  # with the task's body
    "poll_drop": 0.0,
    "unknown_status": 0.0,
    "slow": 0.0,
    "error": 0.0,
    "error_422": 0.0,  # an Error whose poll answers HTTP 422
    "request_moderated": 0.0,
    "content_moderated": 0.0,
    "not_found": 0.0,
    "dead_link": 0.0,  # the sample has expired for good
    "stale_link": 0.0,  # the first link has expired, the next poll gives another
    "download_503": 0.0,
    "download_torn": 0.0,
}


class Api:
    """The account, its tasks and the switches."""

    def __init__(self, poll_port: int) -> None:
        self.poll = f"http://127.0.0.1:{poll_port}"
        self.on = dict(SWITCHES)
        self.chance = random.Random(1)
        self.tasks: dict[str, dict[str, Any]] = {}
        self.seen: Counter[str] = Counter()
        self.peak = 0

    def draw(self, name: str) -> bool:
        hit = self.on[name] > 0 and self.chance.random() < self.on[name]
        self.seen[name] += hit
        return hit

    def active(self) -> int:
        now = time.monotonic()
        return sum(1 for task in self.tasks.values() if task["ready"] > now)

    def cost(self, path: str, body: dict[str, Any]) -> float:
        first, more = PRICES[path]
        megapixels = body["width"] * body["height"] / self.on["megapixel"]
        if self.on["billing"] == "ceil":
            megapixels = ceil(megapixels)
        return (first + max(0.0, megapixels - 1) * more) * 100  # 0.07 * 100 is 7.000000000000001


def fields(path: str) -> set[str]:
    allowed = set(COMMON) | {"input_image", *(f"input_image_{n}" for n in range(2, 5))}
    if "klein" not in path:
        allowed |= {f"input_image_{n}" for n in range(5, 9)}
    if path == "flux-2-flex":
        return allowed | {"prompt_upsampling", "guidance", "steps"}
    return allowed if "klein" in path else allowed | {"disable_pup"}


def problems(api: Api, path: str, body: dict[str, Any]) -> list[dict[str, Any]]:
    found = []
    if not isinstance(body.get("prompt"), str):
        found.append({"loc": ["body", "prompt"], "msg": "Field required", "type": "missing"})
    for name, low, high in (
        ("width", 64, 1e9),
        ("height", 64, 1e9),
        ("safety_tolerance", 0, 5),
        ("steps", 1, 50),
        ("guidance", 1.5, 10),
    ):
        value = body.get(name)
        if name in fields(path) and value is not None and not low <= value <= high:
            found.append({"loc": ["body", name], "msg": f"Input should be {low} to {high}", "type": "range"})
    if body.get("output_format", "jpeg") not in ("jpeg", "png", "webp"):
        found.append({"loc": ["body", "output_format"], "msg": "Input should be jpeg, png or webp", "type": "enum"})
    if self_unknown := set(body) - fields(path):
        api.seen["unknown_field"] += 1
        if api.on["unknown_fields"] == "422":
            found.append({"loc": ["body", min(self_unknown)], "msg": "Extra inputs", "type": "extra_forbidden"})
    return found


def build(submit_port: int, poll_port: int) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    api = Api(poll_port)

    class Dropped(Response):
        """The connection closes in the middle of the answer."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b"{", "more_body": True})

    def detail(code: int, text: Any, headers: dict[str, str] | None = None) -> Response:
        return JSONResponse({"detail": text}, code, headers)

    def is_poll(request: Request) -> bool:
        return request.url.port == poll_port

    async def submit(request: Request) -> Response:
        path = request.path_params["path"]
        if path not in PRICES or is_poll(request):
            return detail(404, "Not Found")
        given = request.headers.get("x-key", "")
        if given != KEY:
            # A server that repeats what it was sent, which a client must not pass on.
            return detail(403, f"Not authenticated - Invalid Authentication {given}")
        body = await request.json()
        if found := problems(api, path, body):
            return detail(422, found)
        if api.on["storm"] > 0 or api.draw("submit_429"):
            api.on["storm"] = max(0, api.on["storm"] - 1)
            api.seen["429"] += 1
            return detail(429, "Too many requests", {"Retry-After": api.on["retry_after"]})
        if api.active() >= api.on["cap"]:
            api.seen["over_cap"] += 1
            return detail(429, f"more than {api.on['cap']} active tasks", {"Retry-After": api.on["retry_after"]})
        if api.draw("submit_503"):
            return detail(503, "Service temporarily unavailable")
        if api.draw("submit_drop_before"):
            return Dropped()
        cost = api.cost(path, body)
        if api.on["credits"] < cost:
            return detail(402, "Insufficient credits")
        return made(path, body, cost)

    def made(path: str, body: dict[str, Any], cost: float) -> Response:
        api.on["credits"] -= cost
        seconds = api.on["slow_seconds"] if api.draw("slow") else api.on["seconds"]
        fate = next((n for n in FATES if api.draw(n)), "ready")
        link = "dead" if api.draw("dead_link") else "stale" if api.draw("stale_link") else "good"
        rewrites = not body.get("disable_pup", False) if "disable_pup" in fields(path) else False
        rewrites = body.get("prompt_upsampling", True) if path == "flux-2-flex" else rewrites
        content = json.dumps(body, sort_keys=True).encode()
        task = {
            "id": str(uuid.uuid4()),
            "path": path,
            "body": {k: v if not k.startswith("input_image") else len(v) for k, v in body.items()},
            "hash": hashlib.sha256(content).hexdigest(),
            "cost": cost,
            "started": time.monotonic(),
            "ready": time.monotonic() + seconds,
            "fate": fate,
            "link": link,
            "links": 0,
            "prompt": "a richer " + body["prompt"] if rewrites else body["prompt"],
        }
        api.tasks[task["id"]] = task
        api.peak = max(api.peak, api.active())
        if api.draw("submit_drop_after"):
            task["lost"] = True
            return Dropped()
        megapixels = round(body["width"] * body["height"] / api.on["megapixel"], 2)
        answer = {"id": task["id"], "cost": cost, "input_mp": 0.0, "output_mp": megapixels}
        if body.get("webhook_url"):
            return JSONResponse({**answer, "status": "Pending", "webhook_url": body["webhook_url"]})
        said = json.dumps({**answer, "polling_url": f"{api.poll}/v1/get_result?id={task['id']}"})
        if api.on["cost_says"]:
            said = said.replace(f'"cost": {json.dumps(cost)}', f'"cost": {api.on["cost_says"]}')
        return Response(said, media_type="application/json")

    async def result(request: Request) -> Response:
        task = api.tasks.get(request.query_params.get("id", ""))
        if not is_poll(request) or task is None or time.monotonic() - task["started"] > api.on["kept"]:
            return detail(404, "Not Found")
        reset = str(time.time() + 1)
        limits = {"X-Ratelimit-Limit": "1200", "X-Ratelimit-Remaining": "1100", "X-Ratelimit-Reset": reset}
        headers = {"Retry-After": api.on["retry_after"], **limits}
        api.seen["polls"] += 1
        if api.draw("poll_drop"):
            return Dropped()
        if api.draw("poll_429"):
            return detail(429, "slow down", headers)
        if api.draw("poll_503"):
            return Response(status_code=503, headers=headers)
        body = state(task)
        code = 503 if api.draw("poll_503_body") else 422 if task["fate"] == "error_422" else 200
        return JSONResponse(body, code, headers)

    def state(task: dict[str, Any]) -> dict[str, Any]:
        empty = {"id": task["id"], "result": None, "progress": None, "details": None, "preview": None}
        done = (time.monotonic() - task["started"]) / max(1e-9, task["ready"] - task["started"])
        if done < 1:
            if api.draw("unknown_status"):
                return {**empty, "status": "Daydreaming"}
            word = "Pending" if done < 0.2 else "Reasoning" if done < 0.3 else "Generating"
            return {**empty, "status": word, "progress": done if word == "Generating" else None}
        if task["fate"] in ("request_moderated", "content_moderated"):
            word = task["fate"].replace("_", " ").title()
            return {**empty, "status": word, "details": {"Moderation Reasons": ["Derivative Works Filter"]}}
        if task["fate"] in ("error", "error_422"):
            return {**empty, "status": "Error", "details": {"error": "the cluster lost it"}}
        if task["fate"] == "not_found":
            return {**empty, "status": "Task not found"}
        task["links"] += 1
        dead = task["link"] == "dead" or (task["link"] == "stale" and task["links"] == 1)
        expires = time.time() - 5 if dead else time.time() + api.on["ttl"]
        sample = api.on["sample_says"] or f"{api.poll}/results/{task['id']}?se={expires}&sig=0"
        made = {"start_time": time.time(), "prompt": task["prompt"], "seed": task["body"].get("seed"), "sample": sample}
        return {**empty, "status": "Ready", "result": made}

    async def download(request: Request) -> Response:
        api.seen["key_on_download"] += "x-key" in request.headers
        if float(request.query_params["se"]) < time.time():
            return Response("<Error><Code>AuthenticationFailed</Code></Error>", 403)
        if api.draw("download_503"):
            return Response(status_code=503)
        task = api.tasks[request.path_params["id"]]
        data = picture(task)
        if api.draw("download_torn"):
            return Dropped()
        task["fetched"] = task.get("fetched", 0) + 1
        return Response(data, media_type=f"image/{task['body'].get('output_format', 'jpeg')}")

    async def credits(request: Request) -> Response:
        return JSONResponse({"credits": api.on["credits"]})

    async def control(request: Request) -> Response:
        body = await request.json()
        unknown = set(body) - set(SWITCHES)
        assert not unknown, unknown
        api.on |= body
        if "seed" in body:
            api.chance.seed(body["seed"])
        return JSONResponse(api.on)

    async def ledger(request: Request) -> Response:
        tasks = list(api.tasks.values())
        return JSONResponse({"tasks": tasks, "seen": dict(api.seen), "peak": api.peak, "credits": api.on["credits"]})

    return Starlette(
        routes=[
            Route("/v1/get_result", result),
            Route("/v1/credits", credits),
            Route("/v1/{path}", submit, methods=["POST"]),
            Route("/results/{id}", download),
            Route("/control", control, methods=["POST"]),
            Route("/ledger", ledger),
        ]
    )


FATES = ("request_moderated", "content_moderated", "error", "error_422", "not_found")


def picture(task: dict[str, Any]) -> bytes:
    """A picture whose colours tell the request and the seed."""
    from PIL import Image

    body = task["body"]
    size = (body["width"] // 16 * 16, body["height"] // 16 * 16)
    image = Image.new("RGB", size, tuple(bytes.fromhex(task["hash"])[:3]))
    image.putpixel((0, 0), (255, 255, 255))
    buffer = io.BytesIO()
    image.save(buffer, body.get("output_format", "jpeg"))
    return buffer.getvalue()


@dataclass
class HostedApi:
    """A running server."""

    url: str

    def set(self, **switches: Any) -> None:
        data = json.dumps(switches).encode()
        headers = {"content-type": "application/json"}
        with urllib.request.urlopen(urllib.request.Request(f"{self.url}/control", data, headers), timeout=10) as answer:
            answer.read()

    def ledger(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/ledger", timeout=10) as answer:
            content: dict[str, Any] = json.load(answer)
        return content

    def tasks(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.ledger()["tasks"]
        return found


@contextmanager
def hosted_api(log: Path, **switches: Any) -> Iterator[HostedApi]:
    """A server of its own on free ports, stopped by its id."""
    from tests.servers import free_ports

    ports = free_ports(2)
    command = [sys.executable, "-m", "tests.bfl_server", *map(str, ports)]
    root = str(Path(__file__).parents[1])
    with log.open("wb") as out:
        server = subprocess.Popen(command, stdout=out, stderr=out, cwd=root, env={**os.environ, "PYTHONPATH": root})
    try:
        api = HostedApi(f"http://127.0.0.1:{ports[0]}")
        for _ in range(600):
            try:
                api.set(**switches)
                break
            except OSError:
                assert server.poll() is None, log.read_text()
                time.sleep(0.05)
        yield api
    finally:
        server.terminate()
        server.wait(20)


def main() -> None:
    import uvicorn

    submit_port, poll_port = map(int, sys.argv[1:])
    app = build(submit_port, poll_port)

    async def serve() -> None:
        servers = [
            uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=port, log_level="critical", access_log=False))
            for port in (poll_port, submit_port)
        ]
        await asyncio.gather(*(server.serve() for server in servers))

    asyncio.run(serve())


if __name__ == "__main__":
    main()
