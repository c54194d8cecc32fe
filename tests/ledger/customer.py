"""Whoever buys pictures of the accounting server in its own tests."""

from __future__ import annotations

import io
from typing import Any

import httpx
from PIL import Image

from tests.ledger.running import LedgerApi

KEY = "a-key-of-the-ledger"
BODY: dict[str, Any] = {"prompt": "a mug", "seed": 7, "width": 256, "height": 128, "output_format": "png"}
KLEIN = "flux-2-klein-4b"
PRICE = 14_000


class Customer:
    """Someone who submits, polls and downloads."""

    def __init__(self, api: LedgerApi, web: httpx.Client) -> None:
        self.api, self.web = api, web

    def submit(self, model: str = KLEIN, key: str = KEY, **fields: Any) -> httpx.Response:
        return self.web.post(f"{self.api.url}/v1/{model}", json=BODY | fields, headers={"x-key": key} if key else {})

    def task(self, **fields: Any) -> dict[str, Any]:
        answer = self.submit(**fields)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def poll(self, task: dict[str, Any]) -> httpx.Response:
        return self.web.get(task["polling_url"])

    def link(self, task: dict[str, Any]) -> str:
        return str(self.poll(task).json()["result"]["sample"])

    def get(self, link: str) -> httpx.Response:
        return self.web.get(link)


def size(data: bytes) -> tuple[int, int]:
    with Image.open(io.BytesIO(data)) as image:
        return image.size
