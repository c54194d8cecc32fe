"""From a shot's expanded prompt to the text a model gets, or to why it cannot get it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal

from catalogs.errors import CampaignError
from catalogs.requests import Reference, RenderRequest
from inference.models.limits import (
    refuse_guidance,
    refuse_references,
    refuse_size,
    refuse_steps,
    refuse_total,
    refuse_use,
)
from inference.models.specs import ModelSpec, Use
from inference.prompts.draft import ORDER, PROMPT, Draft
from inference.prompts.prose import write_prose
from inference.prompts.reference_clauses import reference_clauses
from inference.prompts.structured import palette_problem, shape_problem
from inference.prompts.tokens import TokenCounter

Style = Literal["json", "prose"]
_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class ModelCompiler:
    """Writes and checks prompts for one model; implements `catalogs.requests.PromptCompiler`.

    Args:
        style: compact JSON, or plain sentences.
        counter: counts tokens; the cautious estimate when None.
    """

    def __init__(
        self,
        spec: ModelSpec,
        style: Style = "json",
        use: Use = "commercial",
        counter: TokenCounter | None = None,
    ) -> None:
        self._spec, self._style = spec, style
        self._counter = counter or TokenCounter()
        self._use_refused = refuse_use(spec, use)
        self._shapes: set[Any] = set()

    def validate(self, prompt: Mapping[str, Any], source: str, where: str) -> None:
        """Check the keys and shapes of a shot's prompt; templates in its texts are not looked into.

        Raises:
            CampaignError: the key at fault and the nearest right one.
        """
        if problem := shape_problem(prompt) or palette_problem(prompt):
            key, what, fix = problem
            raise CampaignError(source, f"{where}.{key}" if key else where, what, fix)

    def compile(self, prompt: Mapping[str, Any], references: Sequence[Reference]) -> str:
        """The model's text for an expanded prompt.

        Empty keys go, hexes get their signal word and stand in `color_palette` too, and a reference the
        prompt does not speak of gets a clause by its role.

        Raises:
            ValueError: one line; an unknown key, nothing to show, or an "image N" that is not there.
        """
        self._check_shape(prompt)
        draft = Draft()
        body = draft.part(prompt, PROMPT)
        if "scene" not in body and "subjects" not in body:
            raise ValueError("the prompt is empty: neither scene nor subjects say anything")
        beyond = [n for n in draft.mentioned if not 1 <= n <= len(references)]
        if beyond:
            raise ValueError(f"the prompt speaks of image {min(beyond)}, but {_has_references(references)}")
        clauses = reference_clauses(references, draft.mentioned)
        if clauses:
            body["references"] = clauses
        if draft.colors:
            body["color_palette"] = _whole_palette(body.get("color_palette", []), draft.colors)
        ordered = {key: body[key] for key in ORDER if key in body}
        return _ENCODE(ordered) if self._style == "json" else write_prose(ordered)

    def refuse(self, request: RenderRequest) -> str | None:
        """Why the model cannot take this request and what to change, in one line, or None."""
        spec = self._spec
        return (
            self._use_refused
            or refuse_references(spec, len(request.references))
            or refuse_size(spec, request.width, request.height)
            or refuse_total(spec, request.width, request.height, [r.width * r.height for r in request.references])
            or refuse_steps(spec, request.steps)
            or refuse_guidance(spec, request.guidance)
            or self._refuse_tokens(request)
        )

    def _check_shape(self, prompt: Mapping[str, Any]) -> None:
        # Templates keep the shape of what they expand, so a campaign has few and each is checked once.
        shape = _shape(prompt)
        if shape in self._shapes:
            return
        if problem := shape_problem(prompt):
            key, what, fix = problem
            raise ValueError("; ".join(filter(None, (f"{key or 'prompt'}: {what}", fix))))
        self._shapes.add(shape)

    def _refuse_tokens(self, request: RenderRequest) -> str | None:
        limit = self._spec.token_limit
        if limit is None:
            return None
        count = self._counter.count(request.prompt)
        if count <= limit:
            return None
        shot = request.label.rpartition("/")[2]
        fixes = [f"shorten {f'shots.{shot}.prompt' if shot else 'the prompt'}"]
        if self._style == "json":
            fixes.append("set prompt_style: prose")
        if not self._counter.is_exact:
            fixes.append("have the model on this machine, whose own tokenizer counts exactly")
        counted = f"has {count}" if self._counter.is_exact else f"may have up to {count}"
        return f"prompt {counted} tokens, {self._spec.name} reads {limit}; {' or '.join(fixes)}"


def _shape(value: Any) -> Any:
    kind = value.__class__
    if kind is dict:
        return tuple(value), tuple(map(_shape, value.values()))
    if kind is list:
        return (list, *map(_shape, value))
    return kind


def _has_references(references: Sequence[Reference]) -> str:
    count = len(references)
    return f"the shot has {count or 'no'} reference{'' if count == 1 else 's'}"


def _whole_palette(given: Sequence[str], found: Iterable[str]) -> list[str]:
    """The given palette, then every other hex of the prompt once, in order of appearance."""
    known = " ".join(given)
    return [*given, *(code for code in found if code not in known)]
