"""A checked campaign: links followed, paths placed, and the nearest right key for every wrong one."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import ValidationError

from catalogs.campaigns.channels import Channel, resolve_channels
from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.metadata import Metadata
from catalogs.campaigns.quality import Quality
from catalogs.campaigns.retention import Retention
from catalogs.campaigns.schedule import Schedule
from catalogs.campaigns.sections import Budget, CampaignFile, CatalogPaths, Finishing, Hosted, ModelChoice, Shot
from catalogs.campaigns.shot_links import ShotReference, check_links, shot_references, stages_of
from catalogs.campaigns.shot_overlays import ShotOverlays, in_families, shot_overlays
from catalogs.campaigns.value_wording import clipped, first_fault
from catalogs.campaigns.watermark import Watermark
from catalogs.campaigns.yaml_file import read_yaml
from catalogs.errors import CampaignError, PackshotError, nearest
from catalogs.storage.uris import bucket_of, resolve_uri, split_uri
from catalogs.storage.web_urls import KEY as HOSTS
from catalogs.storage.web_urls import BadUrl, host_entry

NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
NAME_RULE = "use lower-case letters, digits, '-' and '_', first a letter or digit, at most 64"
# Keys that are none, and what to do instead.
NOT_YET = {
    "finishing.overlay": "overlays are a key of shots and of channels; move it there",
    "finishing.credentials": "content credentials are a section of their own; write `credentials: on` beside finishing",
    "finishing.metadata": "what files tell is a section of its own; write `metadata:` beside finishing",
}


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
    megapixels: float | None
    locale: str | None
    seed: int
    seed_device: str
    variations: int
    budget: Budget
    use: Literal["commercial", "research"]
    reproducible: bool
    hosted: Hosted
    prompt_style: Literal["json", "prose"]
    reference_background: str
    max_reference_pixels: int
    reference_roots: tuple[str, ...]
    reference_hosts: tuple[str, ...]
    shots: dict[str, Shot]
    channels: tuple[Channel, ...]
    bases: Mapping[str, str]
    finishing: Finishing
    credentials: Credentials | None
    metadata: Metadata
    watermark: Watermark | None
    quality: Quality | None
    schedule: Schedule
    retention: Retention | None
    references: dict[str, tuple[ShotReference, ...]]
    stages: tuple[tuple[str, ...], ...]
    overlays: ShotOverlays

    def channels_of(self, shot: str) -> tuple[Channel, ...]:
        wanted = self.shots[shot].channels
        return tuple(c for c in self.channels if not wanted or c.name in wanted)

    def problem(self, where: str, problem: str, fix: str = "") -> CampaignError:
        return CampaignError(self.source, where, problem, fix)


def load_campaign(path: str) -> Campaign:
    """Read and check a campaign file.

    Raises:
        UserError: one line naming the key that is wrong and what to do, whatever the file holds.
    """
    try:
        return check_campaign(read_yaml(path), path)
    except PackshotError:
        raise
    except Exception as error:  # one file may stop neither a watcher nor a night of other campaigns
        said = clipped(str(error)) or "no more is known"
        raise CampaignError(path, "", f"cannot be used ({type(error).__name__}: {said})", "correct the file") from error


def check_campaign(raw: Mapping[str, Any], source: str) -> Campaign:
    """Check the parsed content of a campaign file; relative paths are relative to `source`."""
    _refuse_what_is_not_built(raw, source)
    try:
        file = CampaignFile.model_validate(dict(raw))
    except ValidationError as error:
        raise _first_problem(error, raw, source) from None
    _check_names(file, source)
    _check_quality(file, source)
    catalogs = CatalogPaths(
        brands=_placed(file.catalogs.brands, source), products=_placed(file.catalogs.products, source)
    )
    output = _placed(file.output, source)
    channels = tuple(resolve_channels(list(file.channels), source, file.copy_))
    shots = in_families(file.shots, channels)
    references = {name: shot_references(name, shot, source) for name, shot in shots.items()}
    check_links(shots, channels, references, source)
    return Campaign(
        source=source,
        name=file.name,
        model=_placed_model(file.model, source),
        catalogs=catalogs,
        output=output,
        select=file.select,
        look_by=file.look_by,
        megapixels=file.megapixels,
        locale=file.locale,
        seed=file.seed,
        seed_device=file.seed_device,
        variations=file.variations,
        budget=file.budget,
        use=file.use,
        reproducible=file.reproducible,
        hosted=file.hosted,
        prompt_style=file.prompt_style,
        reference_background=file.reference_background.upper(),
        max_reference_pixels=int(file.max_reference_megapixels * 1_000_000),
        reference_roots=_reference_roots(file.reference_roots, catalogs, output, source),
        reference_hosts=_reference_hosts(file.reference_hosts, source),
        shots=shots,
        channels=channels,
        bases=_bases(file, source),
        finishing=file.finishing,
        credentials=_placed_credentials(file.credentials, source),
        metadata=file.metadata,
        watermark=file.watermark,
        quality=_placed_quality(file.quality, source),
        schedule=file.schedule,
        retention=file.retention,
        references=references,
        stages=stages_of(shots, references, source),
        overlays=shot_overlays(shots, channels, file.copy_, file.locale, source),
    )


def _bases(file: CampaignFile, source: str) -> dict[str, str]:
    """The channel of the table that a channel is made from, by its name, for those that are."""
    found: dict[str, str] = {}
    for entry in file.channels:
        if isinstance(entry, Mapping) and "base" in entry:
            made = resolve_channels([entry], source, file.copy_)
            found |= dict.fromkeys((channel.name for channel in made), str(entry["base"]))
    return found


def _refuse_what_is_not_built(raw: Mapping[str, Any], source: str) -> None:
    for dotted, message in NOT_YET.items():
        section, _, key = dotted.partition(".")
        inner = raw.get(section)
        if (not key and section in raw) or (key and isinstance(inner, Mapping) and key in inner):
            raise CampaignError(source, dotted, message)


def _first_problem(error: ValidationError, raw: Mapping[str, Any], source: str) -> CampaignError:
    keys, problem, fix = first_fault(error, raw, CampaignFile)
    return CampaignError(source, ".".join(map(clipped, keys)), problem, fix)


def _check_names(file: CampaignFile, source: str) -> None:
    if not NAME.fullmatch(file.name):
        raise CampaignError(source, "name", f"{clipped(repr(file.name))} cannot be part of an object key", NAME_RULE)
    for shot in file.shots:
        if not NAME.fullmatch(shot):
            raise CampaignError(
                source, f"shots.{clipped(repr(shot))}", "the name cannot be part of an object key", NAME_RULE
            )


def _check_quality(file: CampaignFile, source: str) -> None:
    for shot in file.quality.shots if file.quality else ():
        if shot not in file.shots:
            problem = f"there is no shot {clipped(repr(shot))}"
            raise CampaignError(source, "quality.shots", problem, nearest(shot, file.shots))
    if file.quality and file.quality.likeness_model is None and file.quality.names("embedding"):
        fix = "name the folder of a vision model there, or leave the limit out"
        raise CampaignError(source, "quality.likeness_model", "is missing, and a limit is set for `embedding`", fix)
    if file.quality and file.quality.person_model is None and "person_from" in file.quality.model_fields_set:
        fix = "name the folder of an object detection model there, or leave `person_from` out"
        raise CampaignError(source, "quality.person_model", "is missing, and `person_from` is set", fix)


def _placed_model(choice: ModelChoice, source: str) -> ModelChoice:
    lora = tuple(file.model_copy(update={"path": _placed(file.path, source)}) for file in choice.lora)
    name = choice.name
    # Only what looks like a path is one: "klein-4b" and "bfl/pro" are names.
    if name.startswith((".", "/", "~", "file:")):
        name = _placed(name, source)
    return choice.model_copy(update={"name": name, "lora": lora})


def _placed_credentials(credentials: Credentials | None, source: str) -> Credentials | None:
    if credentials is None:
        return None
    files = {name: _placed(getattr(credentials, name), source) for name in ("key", "chain")}
    return credentials.model_copy(update=files)


def _placed_quality(quality: Quality | None, source: str) -> Quality | None:
    if quality is None:
        return None
    named = {name: getattr(quality, name) for name in ("likeness_model", "person_model")}
    folders = {name: _placed(folder, source) for name, folder in named.items() if folder is not None}
    for name, folder in folders.items():
        if "://" in folder:
            problem = f"{clipped(repr(named[name]))} is no folder of this machine"
            raise CampaignError(source, f"quality.{name}", problem, "copy the model to a local folder")
    return quality.model_copy(update=folders)


def _reference_roots(named: Iterable[str], catalogs: CatalogPaths, output: str, source: str) -> tuple[str, ...]:
    """Where photos may come from: what the campaign names, its folder, those of its catalogs, and their buckets."""
    folders = [split_uri(path)[0] for path in (os.path.realpath(source), catalogs.brands, catalogs.products)]
    buckets = [bucket_of(uri) for uri in (catalogs.brands, catalogs.products, output)]
    own = [folder for folder in folders if not bucket_of(folder)] + [bucket for bucket in buckets if bucket]
    return tuple(dict.fromkeys([*own, *(_placed(root, source) for root in named)]))


def _reference_hosts(named: Iterable[str], source: str) -> tuple[str, ...]:
    entries = []
    for name in named:
        try:
            entries.append(host_entry(name))
        except BadUrl as bad:
            raise CampaignError(source, HOSTS, f"{clipped(repr(name))}: {bad.problem}", bad.fix) from None
    return tuple(dict.fromkeys(entries))


def _placed(uri: str, source: str) -> str:
    """Relative paths are relative to the campaign file, wherever packshot is started."""
    placed = resolve_uri(os.path.realpath(source), uri)
    return placed if "://" in placed else os.path.realpath(placed)
