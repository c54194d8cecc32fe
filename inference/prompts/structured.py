"""Structured prompts: what a shot may say, and the text FLUX.2 gets for it, as compact JSON or as prose."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from catalogs.errors import CampaignError
from catalogs.requests import Reference, RenderRequest
from inference.models.table import (
    ModelSpec,
    Use,
    refuse_guidance,
    refuse_references,
    refuse_size,
    refuse_steps,
    refuse_total,
    refuse_use,
)
from inference.prompts.tokens import TokenCounter

Style = Literal["json", "prose"]

Number = Annotated[float, Field(allow_inf_nan=False)] | str
Texts = list[str]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Subject(_Part):
    """One subject, or one part of a product.

    Attributes:
        description: binds each colour to a part: "cap in color #E8D9B5 pale sand".
        color_match: "exact" for brand colours.
        detail_preservation: "high" for logos and labels.
    """

    type: str | None = None
    id: str | None = None
    description: str | None = None
    position: str | None = None
    action: str | None = None
    pose: str | None = None
    color_palette: Texts | None = None
    color_match: str | None = None
    detail_preservation: str | None = None


class Lettering(_Part):
    """Letters in the picture: one exact string, where it stands and how it looks.

    Attributes:
        content: the exact string; never altered.
    """

    content: str
    position: str | None = None
    font: str | None = None
    size: str | None = None
    color: str | None = None


class Camera(_Part):
    """Angle, lens and exposure, in the words of a photographer."""

    angle: str | None = None
    distance: str | None = None
    lens: str | None = None
    focus: str | None = None
    depth_of_field: str | None = None
    lens_mm: Number | None = Field(default=None, alias="lens-mm")
    f_number: Number | None = Field(default=None, alias="f-number")
    iso: Number | None = Field(default=None, alias="ISO")


class StructuredPrompt(_Part):
    """What a shot's `prompt:` may hold. The order of the fields is the order of importance FLUX.2 reads."""

    scene: str | None = None
    subjects: list[Subject] | None = None
    text: list[Lettering] | None = None
    style: str | None = None
    color_palette: Texts | None = None
    lighting: str | None = None
    mood: str | None = None
    background: str | None = None
    composition: str | None = None
    camera: Camera | None = None
    effects: Texts | None = None


_HEX = re.compile(r"(?P<signal>\b(?:hex|colou?rs?)(?: code)?:? )?#(?P<code>[0-9A-Fa-f]{6})(?![0-9A-Za-z])")
_BARE_HEX = re.compile(r"#[0-9A-Fa-f]{6}(?![0-9A-Za-z])")
_NUMBER = re.compile(r"\d+")
# "image 16:9" and "image 4k" speak of no reference.
_MENTION = re.compile(r"\b[Ii]mage(?: \d+|s \d+(?:(?:, | and |, and | or )\d+)*)(?!\w|[:.]\d)")

_PRODUCT_ROLES = frozenset(("hero", "product", "packshot", "front", "main"))
_ROLE_CLAUSES = {
    "logo": "the logo is exactly the one in image {n}: keep its shape, letters and colors",
    "shot": (
        "image {n} is another picture of this scene: keep its pose, light and composition where not said otherwise"
    ),
    "style": "take only the style of image {n}, not its objects",
    "swatch": "the color of image {n} is the exact color of the product",
    "": "use image {n} for what the text leaves open",
}
_PRODUCT_CLAUSE = "the product is exactly the one in image {n}: keep its shape, colors, label and proportions"
_OTHER_CLAUSE = "image {n} shows the product too ({role}): keep what it shows"

_ENCODE = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode


class _Draft:
    """One prompt being written: colours and references found on the way.

    Attributes:
        colors: hexes in order of appearance.
        mentioned: numbers N of every "image N".
    """

    __slots__ = ("colors", "mentioned")

    def __init__(self) -> None:
        self.colors: dict[str, None] = {}
        self.mentioned: set[int] = set()

    def prose(self, value: Any) -> Any:
        """A text in words: hexes get their signal word, references are noted."""
        if value.__class__ is not str:
            return value
        if "#" in value:
            value = _HEX.sub(self._signalled, value)
        if "mage" in value:
            for found in _MENTION.finditer(value):
                self.mentioned.update(map(int, _NUMBER.findall(found[0])))
        return value.strip() if "\n" not in value else " ".join(value.split())

    def color(self, value: Any) -> Any:
        """A text that stands under a colour key, which is signal enough."""
        if value.__class__ is str and "#" in value:
            return _BARE_HEX.sub(self._noted, value)
        return value

    def texts(self, values: Iterable[Any]) -> list[Any]:
        return [text for text in map(self.prose, values) if text]

    def palette(self, values: Iterable[Any]) -> list[Any]:
        return list(dict.fromkeys(text for text in map(self.color, values) if text))

    def exact(self, value: Any) -> Any:
        return value

    def _signalled(self, match: re.Match[str]) -> str:
        code = "#" + match["code"].upper()
        self.colors[code] = None
        signal = match["signal"] or "color "
        return signal.replace("colour", "color") + code

    def _noted(self, match: re.Match[str]) -> str:
        code = match[0].upper()
        self.colors[code] = None
        return code

    def subjects(self, values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [part for part in (self.part(value, _SUBJECT) for value in values) if part]

    def lettering(self, values: Iterable[Mapping[str, Any]]) -> list[dict[str, Any]]:
        return [part for part in (self.part(value, _LETTERING) for value in values) if part.get("content")]

    def camera(self, value: Mapping[str, Any]) -> dict[str, Any]:
        return self.part(value, _CAMERA)

    def part(self, given: Mapping[str, Any], fields: _Fields) -> dict[str, Any]:
        """The filled keys of a mapping in the order of its fields."""
        written = {}
        for key, write in fields:
            value = given.get(key)
            if value:
                value = write(self, value)
                if value:
                    written[key] = value
        return written


_Writer = Callable[[_Draft, Any], Any]
_Fields = tuple[tuple[str, _Writer], ...]


def _fields(model: type[BaseModel], **special: _Writer) -> _Fields:
    """The keys of a model in order, each with what writes its value."""
    names = [field.alias or name for name, field in model.model_fields.items()]
    return tuple((name, special.get(name, _Draft.prose)) for name in names)


_SUBJECT = _fields(Subject, color_palette=_Draft.palette)
_LETTERING = _fields(Lettering, content=_Draft.exact, color=_Draft.color)
_CAMERA = _fields(Camera)
_PROMPT = _fields(
    StructuredPrompt,
    subjects=_Draft.subjects,
    text=_Draft.lettering,
    color_palette=_Draft.palette,
    camera=_Draft.camera,
    effects=_Draft.texts,
)
_ORDER = ("scene", "subjects", "references", *(key for key, _ in _PROMPT[2:]))
_LEVELS: dict[str, type[BaseModel]] = {"subjects": Subject, "text": Lettering, "camera": Camera}


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
        if problem := _shape_problem(prompt):
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
        draft = _Draft()
        body = draft.part(prompt, _PROMPT)
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
        ordered = {key: body[key] for key in _ORDER if key in body}
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
        if problem := _shape_problem(prompt):
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


def _shape_problem(prompt: Mapping[str, Any]) -> tuple[str, str, str] | None:
    """The first key at fault (dotted), what is wrong with it and the fix."""
    try:
        checked = StructuredPrompt.model_validate(dict(prompt) if isinstance(prompt, Mapping) else prompt)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        return _translated(first["type"], first["loc"], first["msg"], first["input"])
    if not checked.scene and not checked.subjects:
        return "", "has neither scene nor subjects", "say what the picture shows"
    return None


def _translated(kind: str, loc: tuple[int | str, ...], message: str, given: Any) -> tuple[str, str, str]:
    if kind == "extra_forbidden":
        return ".".join(map(str, loc)), "unknown key", _nearest_key(loc)
    if loc and loc[-1] in ("float", "str"):  # pydantic's names for the two sides of `Number`
        loc = loc[:-1]
    known = {
        "string_type": (
            "must be text",
            f"put {given!r} in quotes" if not isinstance(given, dict | list) else "",
        ),
        "list_type": ("must be a list", "begin each entry with '- '"),
        "model_type": ("must be a mapping of keys", "write it as key: value"),
        "missing": ("is missing", "add it"),
        "finite_number": ("must be a finite number", "correct the number"),
    }
    what, fix = known.get(kind, (message, "correct the value"))
    return ".".join(map(str, loc)), what, fix


def _nearest_key(loc: tuple[int | str, ...]) -> str:
    model = StructuredPrompt if len(loc) == 1 else _LEVELS[str(loc[0])]
    keys = [key for key, _ in _fields(model)]
    close = difflib.get_close_matches(str(loc[-1]), keys, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else "use one of " + ", ".join(keys)


def _has_references(references: Sequence[Reference]) -> str:
    count = len(references)
    return f"the shot has {count or 'no'} reference{'' if count == 1 else 's'}"


def reference_clauses(references: Sequence[Reference], mentioned: Iterable[int] = ()) -> list[str]:
    """What each reference is for, by its role, where the prompt does not speak of it; numbers from 1."""
    spoken = set(mentioned)
    return [
        _role_clause(reference.role.lower()).format(n=n, role=reference.role)
        for n, reference in enumerate(references, 1)
        if n not in spoken
    ]


def _role_clause(role: str) -> str:
    return _PRODUCT_CLAUSE if role in _PRODUCT_ROLES else _ROLE_CLAUSES.get(role, _OTHER_CLAUSE)


def _whole_palette(given: Sequence[str], found: Iterable[str]) -> list[str]:
    """The given palette, then every other hex of the prompt once, in order of appearance."""
    known = " ".join(given)
    return [*given, *(code for code in found if code not in known)]


def write_prose(body: Mapping[str, Any]) -> str:
    """A cleaned prompt as sentences in klein's order: subject, setting, details, light, style and mood."""
    sentences = [
        *map(_subject_sentence, body.get("subjects", ())),
        *body.get("references", ()),
        *map(_lettering_sentence, body.get("text", ())),
        body.get("scene", ""),
        _labelled("Background", body.get("background")),
        _labelled("Composition", body.get("composition")),
        _labelled("Camera", _camera_words(body.get("camera", {}))),
        _labelled("Effects", body.get("effects")),
        _labelled("Color palette", body.get("color_palette")),
        _labelled("Lighting", body.get("lighting")),
        _labelled("Style", body.get("style")),
        _labelled("Mood", body.get("mood")),
    ]
    return " ".join(_sentence(sentence) for sentence in sentences if sentence)


def _sentence(text: str) -> str:
    return text[0].upper() + text[1:] + ("" if text[-1] in ".!?" else ".")


def _labelled(label: str, value: Any) -> str:
    if not value:
        return ""
    return f"{label}: {value if isinstance(value, str) else ', '.join(map(str, value))}"


def _subject_sentence(subject: Mapping[str, Any]) -> str:
    name = subject.get("id") or subject.get("type", "")
    description = subject.get("description", "")
    if not description or name.lower() not in description.lower():
        description = ": ".join(filter(None, (name, description)))
    colors = " and ".join(subject.get("color_palette", ()))
    parts = [
        description.rstrip("."),
        subject.get("action"),
        subject.get("pose"),
        subject.get("position"),
        f"colors {colors}" if colors else "",
        _qualified(subject.get("color_match"), "color match"),
        _qualified(subject.get("detail_preservation"), "detail preservation"),
    ]
    return ", ".join(filter(None, parts))


def _qualified(value: str | None, noun: str) -> str:
    return f"{value} {noun}" if value else ""


def _lettering_sentence(text: Mapping[str, Any]) -> str:
    color = text.get("color")
    parts = [
        f'the text "{text["content"]}"',
        f"in {text['font']}" if "font" in text else "",
        text.get("size"),
        f"in color {color}" if color else "",
        text.get("position"),
    ]
    return ", ".join(filter(None, parts))


def _camera_words(camera: Mapping[str, Any]) -> list[str]:
    lens, number, iso = camera.get("lens-mm"), camera.get("f-number"), camera.get("ISO")
    depth = camera.get("depth_of_field", "")
    words = [
        camera.get("angle"),
        camera.get("distance"),
        f"{_plain(lens)} mm lens" if lens else "",
        camera.get("lens"),
        f"f/{_plain(number).removeprefix('f/')}" if number else "",
        f"ISO {_plain(iso)}" if iso else "",
        f"focus {camera['focus']}" if "focus" in camera else "",
        depth if not depth or "field" in depth else f"{depth} depth of field",
    ]
    return [word for word in words if word]


def _plain(value: Any) -> str:
    return value.removesuffix("mm").strip() if isinstance(value, str) else f"{value:g}"
