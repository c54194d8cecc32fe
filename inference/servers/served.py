"""What a server says of what it serves, and whether that is what a campaign asks for."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

SGLANG, VLLM, OTHER = "sglang", "vllm-omni", "openai"
_SNAPSHOT = re.compile(r"(?:^|/)models--([^/]+?)--([^/]+)/snapshots/([0-9a-f]{7,40})/?$")
_LONGEST = 200


@dataclass(frozen=True)
class Served:
    """One server's answer.

    Attributes:
        kind: `sglang`, `vllm-omni`, or `openai` for any other that lists models as OpenAI does.
        models: what it serves, as it names them.
        revision: of the weights, "" where it does not say.
        precision: of the weights, "" where it does not say.
    """

    kind: str
    models: tuple[str, ...]
    revision: str = ""
    precision: str = ""

    def model_for(self, wanted: str) -> str | None:
        """The one that a repository or name stands for, None where it serves another."""
        return next((model for model in self.models if _is_same(model, wanted)), None)

    @property
    def says(self) -> str:
        """For people."""
        return ", ".join(self.models) or "no model"


def _is_same(served: str, wanted: str) -> bool:
    """Whether a served name is a repository: itself, a folder called so, or a snapshot of it in a Hub cache."""
    served, wanted = repository_of(served).casefold().rstrip("/"), wanted.casefold().rstrip("/")
    last = wanted.rpartition("/")[2]
    if "/" in served and not served.startswith(("/", ".", "~")) and served.count("/") == 1:
        return served == wanted or ("/" not in wanted and served.rpartition("/")[2] == wanted)
    return served.rpartition("/")[2] == last


def repository_of(model: str) -> str:
    """The repository of a snapshot in a cache of the Hugging Face Hub, else the name as it is."""
    found = _SNAPSHOT.search(model)
    return f"{found[1]}/{found[2]}" if found else model


def of_sglang(content: Mapping[str, Any]) -> Served | None:
    """SGLang Diffusion's answer to `GET /models`; None for what is none."""
    path = content.get("model_path")
    if not _is_text(path):
        return None
    snapshot = _SNAPSHOT.search(str(path))
    told = content.get("revision")
    revision = str(told) if _is_text(told) else snapshot[3] if snapshot else ""
    parts = [str(content[name]) for name in ("dit_precision", "vae_precision") if _is_text(content.get(name))]
    return Served(SGLANG, (str(path),), revision, "/".join(dict.fromkeys(parts)))


def of_openai(content: Mapping[str, Any]) -> Served | None:
    """The answer to OpenAI's `GET /v1/models`; None for what is none."""
    listed = content.get("data")
    if not isinstance(listed, list):
        return None
    models = [one for one in listed if isinstance(one, dict) and _is_text(one.get("id"))]
    names = [str(name) for one in models for name in (one["id"], one.get("root")) if _is_text(name)]
    is_vllm = any(one.get("owned_by") == "vllm" for one in models)
    roots = [found[3] for name in names if (found := _SNAPSHOT.search(name))]
    return Served(
        VLLM if is_vllm else OTHER, tuple(dict.fromkeys(names)), roots[0] if len(names) <= 2 and roots else ""
    )


def _is_text(value: object) -> bool:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()
