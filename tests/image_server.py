"""A server of images that answers as SGLang Diffusion or vLLM-Omni documents it, faults included, on 127.0.0.1.

`image_server()` starts one in a process of its own. It makes one picture at a time, as a GPU does, in `seconds` each:
noise that depends on all it was asked, or what the stock pipeline makes of a checkpoint. Faults are switches.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import io
import json
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from email.parser import BytesParser
from email.policy import HTTP
from pathlib import Path
from typing import Any

MODEL = "black-forest-labs/FLUX.2-klein-4B"
SWITCHES: dict[str, Any] = {
    "seconds": 0.01,  # of a picture
    "model": MODEL,
    "precision": "bf16",
    "health": 200,
    "warm_up": 0.0,  # seconds after the start for which it answers 503
    "key": "",
    "seed": "honoured",  # or ignored
    "steps": "honoured",
    "order": "honoured",
    "size": 0,  # added to both sides
    "count": 1,
    "format": "PNG",
    "answer": "b64",  # or url, elsewhere, html, nothing, odd
    "storm_429": 0,  # pictures still to be answered so
    "storm_503": 0,
    "retry_after": "0.05",
    "refuse": "",  # prompts with this text
    "redirect": "",
    "loras": [],
    # probabilities
    "drop": 0.0,  # the connection is closed in the middle of the answer
    "error": 0.0,  # HTTP 500
}


def picture(asked: dict[str, Any], on: dict[str, Any], chance: random.Random) -> bytes:
    """Noise that is the same for the same request."""
    import numpy as np
    from PIL import Image

    width, height = (int(side) + on["size"] for side in asked["size"].split("x"))
    references = asked["references"] if on["order"] == "honoured" else sorted(asked["references"])
    basis = [
        asked["prompt"],
        asked["seed"] if on["seed"] == "honoured" else chance.random(),
        asked["num_inference_steps"] if on["steps"] == "honoured" else "",
        references,
        asked.get("guidance_scale"),
    ]
    seed = int.from_bytes(hashlib.sha256(json.dumps(basis).encode()).digest()[:8], "big")
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), np.uint8)
    image = Image.fromarray(pixels).resize((width, height), Image.Resampling.NEAREST)
    return encoded(image, on["format"])


def encoded(image: Any, kind: str) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()


def parts_of(content_type: str, body: bytes) -> Iterator[tuple[str, bool, bytes]]:
    """Name, whether it is a file, and content of the parts of a form, in order."""
    message = BytesParser(policy=HTTP).parsebytes(b"Content-Type: " + content_type.encode() + b"\r\n\r\n" + body)
    for part in message.iter_parts():
        name = part.get_param("name", header="content-disposition")
        yield str(name), part.get_filename() is not None, part.get_payload(decode=True) or b""


@dataclass
class Machine:
    """The one device behind the server.

    Attributes:
        pipe: a diffusers pipeline; None makes noise.
    """

    kind: str
    on: dict[str, Any]
    pipe: Any = None
    began: float = field(default_factory=time.monotonic)
    seen: Counter[str] = field(default_factory=Counter)
    chance: random.Random = field(default_factory=lambda: random.Random(1))
    turn: asyncio.Lock = field(default_factory=asyncio.Lock)
    waiting: int = 0
    busy: float = 0.0
    first: float = 0.0
    last: float = 0.0
    kept: dict[str, bytes] = field(default_factory=dict)

    async def make(self, asked: dict[str, Any]) -> bytes:
        """One picture, after those that were asked for before."""
        self.waiting += 1
        self.seen["peak"] = max(self.seen["peak"], self.waiting)
        try:
            async with self.turn:
                began = time.monotonic()
                self.first = self.first or began
                data = await asyncio.to_thread(self._made, asked)
                left = self.on["seconds"] - (time.monotonic() - began)
                await asyncio.sleep(max(0.0, left))
                self.last = time.monotonic()
                self.busy += self.last - began
                self.seen["made"] += 1
                return data
        finally:
            self.waiting -= 1

    def _made(self, asked: dict[str, Any]) -> bytes:
        return picture(asked, self.on, self.chance) if self.pipe is None else self._rendered(asked)

    def _rendered(self, asked: dict[str, Any]) -> bytes:
        import torch
        from PIL import Image

        width, height = map(int, asked["size"].split("x"))
        photos = [Image.open(io.BytesIO(base64.b64decode(data))).convert("RGB") for data in asked["references"]]
        told: dict[str, Any] = {"image": photos} if photos else {}
        generator = torch.Generator("cpu").manual_seed(int(asked["seed"]))
        [image] = self.pipe(
            prompt=asked["prompt"],
            width=width,
            height=height,
            num_inference_steps=int(asked["num_inference_steps"]),
            generator=generator,
            **told,
        ).images
        return encoded(image, "PNG")


def build(kind: str, on: dict[str, Any], checkpoint: str) -> Any:
    from starlette.applications import Starlette
    from starlette.requests import Request
    from starlette.responses import JSONResponse, RedirectResponse, Response
    from starlette.routing import Route

    pipe = None
    if checkpoint:
        import torch
        from diffusers import Flux2KleinPipeline

        torch.set_num_threads(1)
        pipe = Flux2KleinPipeline.from_pretrained(checkpoint, torch_dtype=torch.float32)
        pipe.set_progress_bar_config(disable=True)
    machine = Machine(kind, {**SWITCHES, **on}, pipe)

    class Dropped(Response):
        """The connection closes in the middle of the answer."""

        async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
            headers = [(b"content-length", b"1000"), (b"content-type", b"application/json")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"data"', "more_body": True})
            raise ConnectionResetError

    def detail(code: int, text: str, **headers: str) -> Response:
        return JSONResponse({"detail": text}, code, headers)

    def in_the_way(request: Request) -> Response | None:
        """What keeps a request from being looked at."""
        if machine.on["key"] and request.headers.get("authorization") != f"Bearer {machine.on['key']}":
            machine.seen["no key"] += 1
            return detail(401, f"bad key {request.headers.get('authorization', 'none')}")
        if time.monotonic() - machine.began < machine.on["warm_up"]:
            machine.seen["warming"] += 1
            return detail(503, "the engine is not initialised", **{"retry-after": machine.on["retry_after"]})
        return None

    async def models(request: Request) -> Response:
        machine.seen["models"] += 1
        if blocked := in_the_way(request):
            return blocked
        name, precision = machine.on["model"], machine.on["precision"]
        if kind == "sglang" and request.url.path == "/models":
            said = {"model_path": name, "task_type": "t2i", "pipeline_name": "Flux2KleinPipeline", "num_gpus": 1}
            return JSONResponse({**said, "dit_precision": precision, "vae_precision": precision})
        if kind == "vllm-omni" and request.url.path == "/v1/models":
            return JSONResponse({"object": "list", "data": [{"id": name, "object": "model", "owned_by": "vllm"}]})
        return detail(404, "Not Found")

    async def asked_of(request: Request) -> dict[str, Any]:
        if request.url.path.endswith("generations"):
            return {**await request.json(), "references": []}
        names = {"sglang": ("image",), "vllm-omni": ("image", "image[]")}[kind]
        parts = list(parts_of(request.headers["content-type"], await request.body()))
        references = [base64.b64encode(data).decode() for name, is_file, data in parts if is_file and name in names]
        fields: dict[str, Any] = {name: data.decode() for name, is_file, data in parts if not is_file}
        for name in ("seed", "num_inference_steps", "n"):
            if name in fields:
                fields[name] = int(fields[name])
        return {**fields, "references": references}

    async def pictures(request: Request) -> Response:
        if blocked := in_the_way(request):
            return blocked
        on = machine.on
        machine.seen["asked"] += 1
        for code in (429, 503):
            if on[f"storm_{code}"] > 0:
                on[f"storm_{code}"] -= 1
                machine.seen[str(code)] += 1
                return detail(code, "too many requests", **{"retry-after": on["retry_after"]})
        if on["redirect"]:
            return RedirectResponse(on["redirect"], 307)
        asked = await asked_of(request)
        if kind == "vllm-omni" and asked.get("model") != on["model"]:
            return detail(400, f"model {asked.get('model')} is not served")
        if on["refuse"] and on["refuse"] in asked["prompt"]:
            machine.seen["refused"] += 1
            return detail(400, "the prompt is refused")
        data = await machine.make(asked)
        if machine.chance.random() < on["drop"]:
            machine.seen["dropped"] += 1
            return Dropped()
        if machine.chance.random() < on["error"]:
            machine.seen["errors"] += 1
            return detail(500, "CUDA error: an illegal memory access")
        return answered(data)

    def answered(data: bytes) -> Response:
        how, text = machine.on["answer"], base64.b64encode(data).decode()
        if how == "html":
            return Response("<!doctype html><title>Login</title>", 200, media_type="text/html")
        if how == "nothing":
            return JSONResponse({"created": 1, "data": []})
        if how == "odd":
            return JSONResponse({"data": [{"b64_json": "###"}]})
        if how in ("url", "elsewhere"):
            name = hashlib.sha256(data).hexdigest()
            machine.kept[name] = data
            host = "http://192.0.2.1" if how == "elsewhere" else ""
            return JSONResponse({"created": 1, "data": [{"url": f"{host}/v1/images/{name}/content"}]})
        return JSONResponse({"created": 1, "data": [{"b64_json": text, "url": None}] * machine.on["count"]})

    async def content(request: Request) -> Response:
        data = machine.kept.get(request.path_params["name"])
        return Response(data, media_type="image/png") if data else detail(404, "gone")

    async def health(request: Request) -> Response:
        return in_the_way(request) or Response("", machine.on["health"])

    async def loras(request: Request) -> Response:
        return JSONResponse({"loaded_adapters": machine.on["loras"]}) if kind == "sglang" else detail(404, "Not Found")

    async def control(request: Request) -> Response:
        machine.on.update(await request.json())
        told = {"seen": dict(machine.seen), "busy": machine.busy, "first": machine.first, "last": machine.last}
        return JSONResponse(told)

    return Starlette(
        routes=[
            Route("/models", models),
            Route("/v1/models", models),
            Route("/health", health),
            Route("/v1/list_loras", loras),
            Route("/v1/images/generations", pictures, methods=["POST"]),
            Route("/v1/images/edits", pictures, methods=["POST"]),
            Route("/v1/images/{name}/content", content),
            Route("/control", control, methods=["POST"]),
        ]
    )


@dataclass
class ImageServer:
    """A running server."""

    port: int
    arguments: list[str]
    process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Start it, again on its old port where it was killed."""
        command = [sys.executable, "-m", "tests.image_server", str(self.port), *self.arguments]
        root = str(Path(__file__).parents[1])
        self.process = subprocess.Popen(command, env={**os.environ, "PYTHONPATH": root}, stderr=subprocess.DEVNULL)

    def wait(self) -> None:
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with suppress(OSError):
                self.switch()
                return
            time.sleep(0.05)
        raise TimeoutError("the image server did not start")

    def switch(self, **switches: Any) -> dict[str, Any]:
        """Set switches; what it has seen."""
        request = urllib.request.Request(f"{self.url}/control", json.dumps(switches).encode(), method="POST")
        with urllib.request.urlopen(request, timeout=30) as answer:
            found: dict[str, Any] = json.load(answer)
        return found

    @property
    def seen(self) -> Counter[str]:
        return Counter(self.switch()["seen"])

    def kill(self) -> None:
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()


@contextmanager
def image_servers(*wanted: dict[str, Any], checkpoint: str = "") -> Iterator[list[ImageServer]]:
    """Servers with these switches; `kind` of each is sglang, or as it says."""
    from tests.servers import free_ports

    servers: list[ImageServer] = []
    try:
        for port, on in zip(free_ports(len(wanted)), wanted, strict=True):
            switches = {name: value for name, value in on.items() if name != "kind"}
            servers.append(ImageServer(port, [on.get("kind", "sglang"), json.dumps(switches), checkpoint]))
        for server in servers:
            server.wait()
        yield servers
    finally:
        for server in servers:
            server.kill()


@contextmanager
def image_server(**on: Any) -> Iterator[ImageServer]:
    with image_servers(on) as [server]:
        yield server


def serve(port: str, kind: str, switches: str, checkpoint: str = "") -> None:
    import uvicorn

    app = build(kind, json.loads(switches), checkpoint)
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="critical", timeout_keep_alive=60)


if __name__ == "__main__":
    serve(*sys.argv[1:])
