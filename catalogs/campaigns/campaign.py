"""The campaign file: YAML into checked models, with the nearest right key for every wrong one."""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from catalogs.campaigns.channels import Channel, resolve_channels
from catalogs.campaigns.schedule import Schedule
from catalogs.errors import CampaignError, nearest
from catalogs.storage.uris import resolve_uri

NAME = re.compile(r"^[a-z0-9][a-z0-9_-]{0,63}$")
SIZE = re.compile(r"^(\d{2,5})x(\d{2,5})$")
NAME_RULE = "use lower-case letters, digits, '-' and '_', at most 64"
MAX_VARIATIONS = 100


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CatalogPaths(_Section):
    """Where the two input catalogs are: a Parquet file or a dataset folder, local or s3://."""

    brands: str
    products: str


class Budget(_Section):
    """Limits a plan must keep; the plan is refused when its estimate is over one of them."""

    max_cost: float | None = Field(default=None, ge=0, description="USD")
    max_gpu_hours: float | None = Field(default=None, ge=0)


class Lora(_Section):
    """A LoRA file that is merged into the model's weights."""

    path: str
    scale: float = Field(default=1.0, ge=-10, le=10)


class ModelChoice(_Section):
    """Which model renders; a plain string in the file is its name.

    Attributes:
        weight_precision: float8 stores the transformer's weights in 8 bits and computes in bfloat16: half the
            memory, and other pictures.
    """

    name: str
    revision: str | None = None
    weight_precision: Literal["bfloat16", "float32", "float8"] | None = None
    lora: tuple[Lora, ...] = ()


class Finishing(_Section):
    """What happens between a master and its assets."""

    masters: Literal["keep", "drop"] = "keep"


class Hosted(_Section):
    """How a campaign uses a hosted model (bfl/...).

    Attributes:
        prompt_upsampling: let the API rewrite prompts.
        safety_tolerance: 0 strictest; outside the fingerprint, as what passes looks the same.
        retry_moderated: one more try with another seed when a finished picture is moderated.
        base_url: https://api.bfl.ai, or its eu or us host.
        in_flight: tasks at once of the whole run; an account has 24.
        deadline_seconds: how long a task may take.
        machines: processes that share the run; slots are divided by it.
        concurrency_limit: name of a Prefect global concurrency limit around every task.
        secret_block: name of a Prefect Secret block with the key, where BFL_API_KEY is not set.
    """

    prompt_upsampling: bool = False
    safety_tolerance: int = Field(default=2, ge=0, le=5)
    output_format: Literal["png", "jpeg", "webp"] = "png"
    retry_moderated: bool = False
    base_url: str = "https://api.bfl.ai"
    in_flight: int = Field(default=24, ge=1, le=1000)
    deadline_seconds: float | None = Field(default=None, gt=0)
    machines: int = Field(default=1, ge=1, le=1000)
    concurrency_limit: str = ""
    secret_block: str = ""


class Shot(_Section):
    """A scene template.

    Attributes:
        prompt: structured prompt; every text in it is a Jinja2 template.
        references: `product.ROLE`, `brand.logo`, `shot.NAME` or `shot.NAME.CHANNEL`, in the order the
            prompt calls them image 1, image 2, ...; a trailing `?` makes one optional.
        size: master size as WIDTHxHEIGHT instead of the ladder's.
        after: shots that must be rendered first although this one does not use their pictures.
        channels: names of the campaign's channels this shot goes to; all when empty.
    """

    prompt: dict[str, Any]
    references: tuple[str, ...] = ()
    size: str | None = None
    steps: int | None = Field(default=None, ge=1, le=200)
    guidance: float | None = Field(default=None, ge=0, le=30)
    after: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()

    @field_validator("size")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None and not SIZE.match(value):
            raise ValueError("write a size as WIDTHxHEIGHT in pixels, for example 1024x1024")
        return value

    @property
    def master_size(self) -> tuple[int, int] | None:
        match = SIZE.match(self.size or "")
        return (int(match[1]), int(match[2])) if match else None


class _File(_Section):
    name: str
    model: ModelChoice
    catalogs: CatalogPaths
    output: str
    select: list[Any] = Field(default_factory=list)
    look_by: tuple[str, ...] = ()
    seed: int = Field(default=0, ge=0, lt=2**63)
    variations: int = Field(default=1, ge=1, le=MAX_VARIATIONS)
    budget: Budget = Budget()
    use: Literal["commercial", "research"] = "commercial"
    reproducible: bool = False
    hosted: Hosted = Hosted()
    prompt_style: Literal["json", "prose"] = "json"
    reference_background: str = Field(default="#FFFFFF", pattern=r"^#[0-9A-Fa-f]{6}$")
    max_reference_megapixels: float = Field(default=100, gt=0, le=1000)
    shots: dict[str, Shot] = Field(min_length=1)
    channels: list[str | dict[str, Any]] = Field(min_length=1)
    finishing: Finishing = Finishing()
    schedule: Schedule = Schedule()

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: object) -> object:
        return {"name": value} if isinstance(value, str) else value


NOT_YET = {
    "quality": "quality checks are not built yet; leave the key out",
    "finishing.overlay": "overlays are not built yet; leave the key out",
    "finishing.credentials": "content credentials are not built yet; leave the key out",
    "finishing.metadata": "every asset already carries its metadata; leave the key out",
}


@dataclass(frozen=True)
class ShotReference:
    """One entry of a shot's `references`, taken apart.

    Attributes:
        name: as written, without the `?`; what `image('...')` in a template is called with.
        source: "product", "brand" or "shot".
        role: the product's role, "logo", or the other shot's name.
        channel: for a shot, the channel whose master is meant; "" for the largest.
        optional: left out without a word where the product has none.
    """

    name: str
    source: Literal["product", "brand", "shot"]
    role: str
    channel: str
    optional: bool


@dataclass(frozen=True)
class Campaign:
    """A checked campaign; paths are absolute or URIs."""

    source: str
    name: str
    model: ModelChoice
    catalogs: CatalogPaths
    output: str
    select: list[Any]
    look_by: tuple[str, ...]
    seed: int
    variations: int
    budget: Budget
    use: Literal["commercial", "research"]
    reproducible: bool
    hosted: Hosted
    prompt_style: Literal["json", "prose"]
    reference_background: str
    max_reference_pixels: int
    shots: dict[str, Shot]
    channels: tuple[Channel, ...]
    finishing: Finishing
    schedule: Schedule
    references: dict[str, tuple[ShotReference, ...]]
    stages: tuple[tuple[str, ...], ...]

    def channels_of(self, shot: str) -> tuple[Channel, ...]:
        wanted = self.shots[shot].channels
        return tuple(c for c in self.channels if not wanted or c.name in wanted)

    def problem(self, where: str, problem: str, fix: str = "") -> CampaignError:
        return CampaignError(self.source, where, problem, fix)


def load_campaign(path: str) -> Campaign:
    """Read and check a campaign file.

    Raises:
        CampaignError: one line naming the key that is wrong and what to do.
    """
    return check_campaign(_read_yaml(path), path)


def check_campaign(raw: Mapping[str, Any], source: str) -> Campaign:
    """Check the parsed content of a campaign file; relative paths are relative to `source`."""
    _refuse_what_is_not_built(raw, source)
    try:
        file = _File.model_validate(dict(raw))
    except ValidationError as error:
        raise _first_problem(error, source) from None
    _check_names(file, source)
    channels = tuple(resolve_channels(list(file.channels), source))
    references = {name: _shot_references(name, shot, source) for name, shot in file.shots.items()}
    _check_links(file, channels, references, source)
    return Campaign(
        source=source,
        name=file.name,
        model=_placed_model(file.model, source),
        catalogs=CatalogPaths(
            brands=_placed(file.catalogs.brands, source), products=_placed(file.catalogs.products, source)
        ),
        output=_placed(file.output, source),
        select=file.select,
        look_by=file.look_by,
        seed=file.seed,
        variations=file.variations,
        budget=file.budget,
        use=file.use,
        reproducible=file.reproducible,
        hosted=file.hosted,
        prompt_style=file.prompt_style,
        reference_background=file.reference_background.upper(),
        max_reference_pixels=int(file.max_reference_megapixels * 1_000_000),
        shots=file.shots,
        channels=channels,
        finishing=file.finishing,
        schedule=file.schedule,
        references=references,
        stages=_stages(file.shots, references, source),
    )


class _UniqueKeys(yaml.SafeLoader):
    """A key written twice would silently lose the first value."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Hashable, Any]:
        seen: set[object] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if isinstance(key, Hashable) and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is written twice", key_node.start_mark
                )
            seen.add(key if isinstance(key, Hashable) else id(key))
        return super().construct_mapping(node, deep)


def _read_yaml(path: str) -> Mapping[str, Any]:
    try:
        text = Path(path).read_text(encoding="utf-8")
    except FileNotFoundError:
        raise CampaignError(path, "", "there is no such file", "give the path of a campaign.yaml") from None
    except IsADirectoryError:
        raise CampaignError(path, "", "is a folder", "give the path of a campaign.yaml") from None
    except UnicodeDecodeError:
        raise CampaignError(path, "", "is not UTF-8 text", "save it as UTF-8") from None
    except OSError as error:
        raise CampaignError(path, "", f"cannot be read ({error.strerror})", "check its permissions") from None
    try:
        content = yaml.load(text, Loader=_UniqueKeys)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}" if mark else ""
        raise CampaignError(path, where, f"is not valid YAML ({error.problem})", "correct the line") from None
    except yaml.YAMLError as error:
        raise CampaignError(path, "", f"is not valid YAML ({error})", "correct the file") from None
    if not isinstance(content, dict):
        raise CampaignError(path, "", "holds no keys", "start from `packshot init DIR`")
    return content


def _refuse_what_is_not_built(raw: Mapping[str, Any], source: str) -> None:
    for dotted, message in NOT_YET.items():
        section, _, key = dotted.partition(".")
        inner = raw.get(section)
        if (not key and section in raw) or (key and isinstance(inner, Mapping) and key in inner):
            raise CampaignError(source, dotted, message)


def _first_problem(error: ValidationError, source: str) -> CampaignError:
    # A wrong key explains more than the missing one it usually causes.
    problems = sorted(error.errors(), key=lambda item: item["type"] != "extra_forbidden")
    item = problems[0]
    where = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        wrong, allowed = str(item["loc"][-1]), _keys_at(item["loc"][:-1])
        return CampaignError(source, where, f"unknown key {wrong!r}", nearest(wrong, allowed))
    if item["type"] == "missing":
        return CampaignError(source, where, "is missing", f"add `{item['loc'][-1]}:`")
    message = item["msg"].removeprefix("Value error, ")
    shown = repr(item.get("input"))
    shown = shown if len(shown) <= 60 else shown[:57] + "..."
    return CampaignError(source, where, f"{message[0].lower()}{message[1:]} (found {shown})", "correct the value")


def _keys_at(loc: tuple[int | str, ...]) -> list[str]:
    sections: dict[str, type[BaseModel]] = {
        "catalogs": CatalogPaths,
        "budget": Budget,
        "model": ModelChoice,
        "finishing": Finishing,
        "hosted": Hosted,
        "schedule": Schedule,
        "shots": Shot,
    }
    model = sections.get(str(loc[0]), _File) if loc else _File
    return list(model.model_fields)


def _check_names(file: _File, source: str) -> None:
    if not NAME.match(file.name):
        raise CampaignError(source, "name", f"{file.name!r} cannot be part of an object key", NAME_RULE)
    for shot in file.shots:
        if not NAME.match(shot):
            raise CampaignError(source, f"shots.{shot}", "the name cannot be part of an object key", NAME_RULE)


def _shot_references(name: str, shot: Shot, source: str) -> tuple[ShotReference, ...]:
    return tuple(
        _shot_reference(text, f"shots.{name}.references.{i}", source) for i, text in enumerate(shot.references)
    )


def _shot_reference(text: str, where: str, source: str) -> ShotReference:
    plain = text.removesuffix("?")
    kind, *rest = plain.split(".")
    fix = "write product.ROLE, brand.logo or shot.NAME"
    if kind not in ("product", "brand", "shot") or not all(rest) or not rest:
        raise CampaignError(source, where, f"{text!r} is not a reference", fix)
    if len(rest) > (2 if kind == "shot" else 1):
        raise CampaignError(source, where, f"{text!r} has too many parts", fix)
    if kind == "brand" and rest != ["logo"]:
        raise CampaignError(source, where, f"a brand has no picture {rest[0]!r}", "write brand.logo")
    channel = rest[1] if len(rest) == 2 else ""
    return ShotReference(plain, kind, rest[0], channel, text.endswith("?"))  # type: ignore[arg-type]


def _check_links(
    file: _File,
    channels: tuple[Channel, ...],
    references: Mapping[str, tuple[ShotReference, ...]],
    source: str,
) -> None:
    names = {channel.name for channel in channels}
    for shot_name, shot in file.shots.items():
        for channel in shot.channels:
            if channel not in names:
                where = f"shots.{shot_name}.channels"
                raise CampaignError(source, where, f"{channel!r} is no channel here", nearest(channel, names))
        for other in shot.after:
            if other not in file.shots:
                where = f"shots.{shot_name}.after"
                raise CampaignError(source, where, f"there is no shot {other!r}", nearest(other, file.shots))
        seen: set[str] = set()
        for i, reference in enumerate(references[shot_name]):
            where = f"shots.{shot_name}.references.{i}"
            if reference.name in seen:
                raise CampaignError(source, where, f"{reference.name!r} is listed twice", "drop one")
            seen.add(reference.name)
            if reference.source == "shot" and reference.role not in file.shots:
                raise CampaignError(
                    source, where, f"there is no shot {reference.role!r}", nearest(reference.role, file.shots)
                )
            if reference.channel and reference.channel not in names:
                raise CampaignError(
                    source,
                    where,
                    f"{reference.channel!r} is no channel here",
                    nearest(reference.channel, names),
                )


def _stages(
    shots: Mapping[str, Shot], references: Mapping[str, tuple[ShotReference, ...]], source: str
) -> tuple[tuple[str, ...], ...]:
    graph = {
        name: {*shot.after, *(r.role for r in references[name] if r.source == "shot")} for name, shot in shots.items()
    }
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        cycle = " -> ".join(reversed(error.args[1]))
        raise CampaignError(source, "shots", f"shots build on each other in a circle: {cycle}", "break it") from None
    stages = []
    while sorter.is_active():
        ready = sorter.get_ready()
        stages.append(tuple(name for name in shots if name in ready))
        sorter.done(*ready)
    return tuple(stages)


def _placed_model(choice: ModelChoice, source: str) -> ModelChoice:
    lora = tuple(file.model_copy(update={"path": _placed(file.path, source)}) for file in choice.lora)
    name = choice.name
    # Only what looks like a path is one: "klein-4b" and "bfl/pro" are names.
    if name.startswith((".", "/", "~", "file:")):
        name = _placed(name, source)
    return choice.model_copy(update={"name": name, "lora": lora})


def _placed(uri: str, source: str) -> str:
    """Relative paths are relative to the campaign file, wherever packshot is started."""
    placed = resolve_uri(str(Path(source).resolve()), uri)
    return placed if "://" in placed else str(Path(placed).resolve())
