"""The account on the web: submits, polls and pictures on a port each, in one process.

`python -m tests.ledger.server` takes three free ports of 127.0.0.1 and prints them as a JSON list once it listens.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import socket
import time
from collections.abc import Iterator
from contextlib import suppress
from email.utils import formatdate
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from tests.ledger.account import FORBIDDEN, NOT_FOUND, PER_CREDIT, Account, Answer, Submit, Task
from tests.ledger.pictures import picture

EXPIRED = (
    '<?xml version="1.0" encoding="utf-8"?><Error><Code>AuthenticationFailed</Code>'
    "<Message>Server failed to authenticate the request.</Message></Error>"
)
MISSING = EXPIRED.replace("AuthenticationFailed", "BlobNotFound")
CHUNK = 256 * 1024


class Cut:
    """A connection broken off: at once, or within the body of a 200."""

    def __init__(self, started: bool) -> None:
        self.started = started

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["transport"]
        if self.started:
            headers = [(b"content-type", b"application/json"), (b"content-length", b"200")]
            await send({"type": "http.response.start", "status": 200, "headers": headers})
            await send({"type": "http.response.body", "body": b'{"id":', "more_body": True})
            transport.close()
        else:
            transport.abort()
        await _gone(receive)


class Receipt:
    """The answer to a submit, written down in the moment it is sent."""

    def __init__(self, account: Account, submit: Submit, answer: Answer) -> None:
        self.account, self.submit, self.answer = account, submit, answer

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["transport"].is_closing():
            self.account.told(self.submit, "gone")
        elif self.answer.code is None:
            self.account.told(self.submit, "cut")
            await Cut(started=self.submit.outcome == "made")(scope, receive, send)
        else:
            await _response(self.answer)(scope, receive, send)
            self.account.told(self.submit, self.answer.code)


class Delivery:
    """The bytes of a picture, counted as delivered once the last one has left."""

    def __init__(self, account: Account, task: Task, data: bytes) -> None:
        self.account, self.task, self.data = account, task, data

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport: asyncio.Transport = scope["transport"]
        headers = _picture_headers(f"image/{self.task.format}", self.data)
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        # All but the last byte are gone before it is sent, so that nobody who has them all finds them not yet counted.
        for part in _parts(self.data[:-1]):
            await send({"type": "http.response.body", "body": part, "more_body": True})
            while transport.get_write_buffer_size() and not transport.is_closing():
                await asyncio.sleep(0.001)
        if not transport.is_closing() and scope["method"] == "GET":
            self.account.deliver(self.task)
        await send({"type": "http.response.body", "body": self.data[-1:]})


class Zeros:
    """As many bytes as told, of no picture."""

    def __init__(self, count: int) -> None:
        self.count = count

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = [(b"content-type", b"image/png"), (b"content-length", str(self.count).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for start in range(0, self.count, CHUNK):
            if scope["transport"].is_closing():
                return
            zeros = bytes(min(CHUNK, self.count - start))
            await send({"type": "http.response.body", "body": zeros, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def _parts(data: bytes) -> Iterator[bytes]:
    return (data[start : start + CHUNK] for start in range(0, len(data), CHUNK))


def _picture_headers(kind: str, data: bytes) -> list[tuple[bytes, bytes]]:
    md5 = base64.b64encode(hashlib.md5(data, usedforsecurity=False).digest())
    length = str(len(data)).encode()
    return [(b"content-type", kind.encode()), (b"content-length", length), (b"content-md5", md5)]


def _response(answer: Answer) -> Response:
    assert answer.code is not None
    kind = "application/json" if answer.content is not None else None
    return Response(answer.content, answer.code, media_type=kind)


class Ports:
    """What each of the three ports serves."""

    def __init__(self, account: Account) -> None:
        self.account = account

    def submits(self) -> Starlette:
        return _application(
            Route("/v1/credits", self.credits),
            Route("/v1/{model}", self.submit, methods=["POST"]),
            Route("/rules", self.rules, methods=["GET", "POST"]),
            Route("/ledger", self.ledger),
            Route("/bodies/{n:int}", self.body),
            Route("/forget", self.forget, methods=["POST"]),
        )

    def polls(self) -> Starlette:
        return _application(Route("/v1/get_result", self.poll))

    def pictures(self) -> Starlette:
        return _application(Route("/{path:path}", self.link))

    async def submit(self, request: Request) -> ASGIApp:
        try:
            data = await request.body()
        except ClientDisconnect:
            return Cut(started=False)  # it never arrived whole, and is no submit
        key = request.headers.get("x-key", "")
        submit, answer = self.account.submit(request.path_params["model"], data, key)
        await _wait(request, self.account.rules.answer_after)
        return Receipt(self.account, submit, answer)

    async def credits(self, request: Request) -> Response:
        if not self.account.may(request.headers.get("x-key", "")):
            return JSONResponse(FORBIDDEN, 403)
        return JSONResponse({"credits": self.account.rules.credits / PER_CREDIT})

    async def poll(self, request: Request) -> Response:
        response = _response(self.account.poll(request.query_params.get("id", "")))
        reset = {"X-Ratelimit-Remaining": "1199", "X-Ratelimit-Reset": str(time.time() + 1)}
        response.headers.update({"Retry-After": "1", "X-Ratelimit-Limit": "1200", **reset})
        return response

    async def link(self, request: Request) -> ASGIApp:
        path, query = request.path_params["path"], dict(request.query_params)
        headers = [f"{name}: {value}" for name, value in request.headers.items()]
        self.account.watch_key(f"/{path}?{request.url.query}", headers)
        if not path.startswith("results/"):
            return JSONResponse(NOT_FOUND, 404)
        answer = self.account.fetch(path.rpartition("/")[2], query)
        if answer.code in (403, 404):
            return Response(EXPIRED if answer.code == 403 else MISSING, answer.code, media_type="application/xml")
        if answer.location is not None:
            return Response(None, 302, {"location": answer.location})
        assert answer.task is not None
        return await self._bytes(answer.task)

    async def _bytes(self, task: Task) -> ASGIApp:
        if self.account.rules.big_link is not None:
            return Zeros(self.account.rules.big_link)
        if task.flaw == "not_an_image":
            return Response("The picture is being moved.", media_type="text/plain")
        data = await asyncio.to_thread(picture, task.submit.body, *task.picture_size, task.format)
        return Delivery(self.account, task, data)

    async def rules(self, request: Request) -> Response:
        if request.method == "POST":
            return self._set(await request.body())
        return JSONResponse(self.account.rules.as_json())

    async def forget(self, request: Request) -> Response:
        data = await request.body()
        self.account.forget()
        return self._set(data)

    def _set(self, data: bytes) -> Response:
        try:
            self.account.rules.change(json.loads(data or b"{}"))
        except (ValueError, AttributeError) as error:
            return JSONResponse({"detail": str(error)}, 400)
        return JSONResponse(self.account.rules.as_json())

    async def ledger(self, request: Request) -> Response:
        return JSONResponse(self.account.ledger())

    async def body(self, request: Request) -> Response:
        n = request.path_params["n"]
        known = 1 <= n <= len(self.account.bodies)
        return JSONResponse(self.account.bodies[n - 1]) if known else JSONResponse(NOT_FOUND, 404)


async def _wait(request: Request, seconds: float) -> None:
    """Wait; no longer than the client does."""
    if seconds > 0:
        with suppress(TimeoutError):
            await asyncio.wait_for(_gone(request.receive), seconds)


async def _gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _application(*routes: Route) -> Starlette:
    async def refuse(request: Request, error: Exception) -> Response:
        return JSONResponse(NOT_FOUND, 404)

    return Starlette(routes=list(routes), exception_handlers={404: refuse, 405: refuse})


def _listening(count: int) -> list[socket.socket]:
    """Sockets that accept connections from now on, so that no port can be taken in between."""
    sockets = [socket.create_server(("127.0.0.1", 0), backlog=1024) for _ in range(count)]
    for each in sockets:
        each.setblocking(False)
    return sockets


def main() -> None:
    sockets = _listening(3)
    ports = [each.getsockname()[1] for each in sockets]
    _, polls, pictures = (f"127.0.0.1:{port}" for port in ports)
    account = Account(polls, pictures)
    served = Ports(account)
    applications = dict(zip(ports, (served.submits(), served.polls(), served.pictures()), strict=True))

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        connection: Any = getattr(send, "__self__")  # noqa: B009  uvicorn's, before starlette wraps it
        scope["transport"] = connection.transport

        async def dated(message: Message) -> None:
            if message["type"] == "http.response.start":
                date = formatdate(account.now(), usegmt=True).encode()
                message["headers"] = [*message.get("headers", []), (b"date", date)]
            await send(message)

        await applications[scope["server"][1]](scope, receive, dated)

    config = uvicorn.Config(
        application,
        http="h11",
        ws="none",
        lifespan="off",
        log_level="critical",
        access_log=False,
        date_header=False,  # the account has a clock of its own
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
    )
    print(json.dumps(ports), flush=True)
    uvicorn.Server(config).run(sockets=sockets)


if __name__ == "__main__":
    main()
