"""What a campaign file may say: every section and key, with its type, its default and its bounds."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, field_validator

from catalogs.campaigns.credentials import Credentials
from catalogs.campaigns.locale_names import checked_locale
from catalogs.campaigns.master_sizes import LEAST_MEGAPIXELS, MAX_PIXELS, MEGAPIXEL
from catalogs.campaigns.metadata import Metadata
from catalogs.campaigns.overlays import OverlayElement
from catalogs.campaigns.quality import Quality
from catalogs.campaigns.retention import Retention
from catalogs.campaigns.schedule import Schedule
from catalogs.campaigns.section import Section, switched
from catalogs.campaigns.watermark import Watermark, as_watermark

SIZE = re.compile(r"(\d{2,5})x(\d{2,5})")
MAX_VARIATIONS = 100
_COLOUR = re.compile("#[0-9A-Fa-f]{6}")


class CatalogPaths(Section):
    """Where the two input catalogs are: a Parquet file or a dataset folder, local or s3://.

    Attributes:
        brands: the brand catalog.
        products: the product catalog.
    """

    brands: str
    products: str


class Budget(Section):
    """Limits a plan must keep; the plan is refused when its estimate is over one of them.

    Attributes:
        max_cost: USD over all runs of the campaign, by its name, at a hosted model's highest price.
        scope: what counts towards max_cost: what this campaign spent, or all campaigns of the output together, which
            a new name does not begin anew.
        max_gpu_hours: estimated hours of a GPU for one plan.
    """

    max_cost: float | None = Field(default=None, ge=0, lt=1e9)
    scope: Literal["campaign", "output"] = "campaign"
    max_gpu_hours: float | None = Field(default=None, ge=0)


class Lora(Section):
    """A LoRA file that is merged into the model's weights.

    Attributes:
        path: a safetensors file.
        scale: how strongly it counts.
    """

    path: str
    scale: float = Field(default=1.0, ge=-10, le=10)


class ServedLimits(Section):
    """What a model takes that image servers serve and `packshot models` does not know.

    Attributes:
        megapixels: the largest picture, one megapixel being 2^20 pixels.
        references: photos at most.
        tokens: of the longest prompt.
        steps: that it is made for.
        licence: of its weights.
        commercial: whether the licence allows commercial work.
        guidance: its usual scale, where it takes one.
        multiple: both sides are multiples of it, in pixels.
        min_side: shortest side, in pixels.
        max_side: longest side, in pixels.
        seconds: that one megapixel takes about, for estimates.
    """

    megapixels: float = Field(gt=0, le=64)
    references: int = Field(ge=0, le=64)
    tokens: int = Field(ge=1, le=1_000_000)
    steps: int = Field(ge=1, le=200)
    licence: str = Field(min_length=1)
    commercial: bool = False
    guidance: float | None = Field(default=None, ge=0, le=30)
    multiple: int = Field(default=16, ge=1, le=256)
    min_side: int = Field(default=64, ge=16, le=4096)
    max_side: int = Field(default=4096, ge=16, le=16384)
    seconds: float = Field(default=1.0, gt=0, le=86_400)


class ModelChoice(Section):
    """Which model renders; a plain string in the file is its name.

    Attributes:
        name: one of `packshot models`, or a folder saved by a FLUX.2 pipeline of diffusers.
        revision: another commit of the model's repository than the pinned one.
        weight_precision: float8 stores the transformer's weights in 8 bits and computes in bfloat16: half the
            memory, slower, and other pictures. float8-dynamic computes in 8 bits too: half the memory, and faster where
            the card has 8-bit matrix units (compute capability 8.9). How far either is from bfloat16 on real weights is
            not measured yet.
        lora: files merged into the weights, in order.
        server: addresses of image servers that render with this model, between commas; their key is in the
            environment, PACKSHOT_SERVER_KEY.
        server_seed: ignored takes servers too that make another picture of the same seed each time.
        limits: what a model takes that is not in `packshot models`; for servers only.
    """

    name: str
    revision: str | None = None
    weight_precision: Literal["bfloat16", "float32", "float8", "float8-dynamic"] | None = None
    lora: tuple[Lora, ...] = ()
    server: str | None = None
    server_seed: Literal["honoured", "ignored"] = "honoured"
    limits: ServedLimits | None = None


class Finishing(Section):
    """What happens between a master and its assets.

    Attributes:
        masters: whether masters stay in the output; those that a shot builds on or that were paid for always do.
    """

    masters: Literal["keep", "drop"] = "keep"


class Hosted(Section):
    """How a campaign uses a hosted model (bfl/...).

    Attributes:
        prompt_upsampling: let the API rewrite prompts.
        safety_tolerance: 0 is strictest; outside the fingerprint, as what passes looks the same.
        output_format: what the API sends.
        retry_moderated: one more try with another seed when a finished picture is moderated.
        base_url: https://api.bfl.ai, or its eu or us host.
        in_flight: tasks at once of the whole run; an account has 24.
        unanswered: submits at once of a process that wait for their answer: as many pictures as a kill leaves unknown.
        tries: how often a picture is bought whose task ends in an error of the API.
        resend_unknown: send again what may have been billed; each send then counts at its highest price.
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
    unanswered: int = Field(default=4, ge=1, le=1000)
    tries: int = Field(default=2, ge=1, le=20)
    resend_unknown: bool = False
    deadline_seconds: float | None = Field(default=None, gt=0)
    machines: int = Field(default=1, ge=1, le=1000)
    concurrency_limit: str = ""
    secret_block: str = ""


class Shot(Section):
    """A scene template.

    Attributes:
        prompt: structured prompt; every text in it is a Jinja2 template.
        references: `product.ROLE`, `brand.logo`, `shot.NAME` or `shot.NAME.CHANNEL`, in the order the
            prompt calls them image 1, image 2, ...; a trailing `?` makes one optional.
        size: master size as WIDTHxHEIGHT instead of the ladder's.
        steps: denoising steps; the model's own when left out.
        guidance: guidance scale of a model that takes one; its own when left out.
        after: shots that must be rendered first although this one does not use their pictures.
        channels: names of the campaign's channels this shot goes to; all when empty. The name of one with `copy` stands
            for that in every language.
        overlay: texts and logos on its files, drawn in order; those of the channel come after them.
    """

    prompt: dict[str, Any]
    references: tuple[str, ...] = ()
    size: str | None = None
    steps: int | None = Field(default=None, ge=1, le=200)
    guidance: float | None = Field(default=None, ge=0, le=30)
    after: tuple[str, ...] = ()
    channels: tuple[str, ...] = ()
    overlay: tuple[OverlayElement, ...] = ()

    @field_validator("prompt", mode="before")
    @classmethod
    def _prompt(cls, value: object) -> object:
        if not isinstance(value, dict):
            raise ValueError('a prompt is a section of keys, for example `prompt: {scene: "a mug on a table"}`')
        return value

    @field_validator("size")
    @classmethod
    def _size(cls, value: str | None) -> str | None:
        if value is not None and not SIZE.fullmatch(value):
            raise ValueError("write a size as WIDTHxHEIGHT in pixels, for example 1024x1024")
        return value

    @property
    def master_size(self) -> tuple[int, int] | None:
        match = SIZE.fullmatch(self.size or "")
        return (int(match[1]), int(match[2])) if match else None


class CampaignFile(Section):
    """A campaign file as it is written.

    Attributes:
        name: lower-case letters, digits, "-" and "_", first a letter or digit, at most 64; part of every object key.
        model: a name of `packshot models`, or a section that says more.
        catalogs: where brands and products are.
        output: a folder or s3://bucket/prefix for everything that is made.
        select: filter of the products as [column, operator, value] triples, joined by AND; lists of
            them are joined by OR. Operators: =, !=, <, >, <=, >=, in, not in.
        look_by: columns that make a look: products that agree on them share their pictures.
        megapixels: how large pictures are rendered at most, one megapixel being 2^20 pixels: all channels of about one
            shape are cut from one master of this size. Without it every channel takes the size of the ladder that
            fits it. A shot's size and a channel's master win over it.
        locale: language of the prompts, as in de or de-AT: where a row fills a column `title@de`, that is what
            product.title reads; de-AT falls back to de, and that to the column without a language.
        seed: changes every picture.
        seed_device: which generator draws the noise of a seed, for models on a GPU of yours: torch's for the CPU, the
            same on every machine, or as most notebooks do its own for CUDA, which other cards may draw otherwise.
        variations: pictures a shot, each with a seed of its own.
        budget: limits a plan must keep.
        use: what the pictures are for; some models are for research alone.
        reproducible: warn of models whose weights may move.
        hosted: how a hosted model (bfl/...) is used.
        prompt_style: compact JSON, or plain sentences.
        reference_background: what a transparent reference is laid on, as #RRGGBB.
        max_reference_megapixels: larger references are refused before they are decoded.
        reference_roots: folders and buckets that references may come from, beside the folders of the campaign file
            and of its catalogs and the buckets of catalogs and output.
        reference_hosts: web hosts that photos are fetched from over https, such as cdn.shopify.com; `*.NAME` stands for
            all names below one, `http://NAME` allows http too, `NAME:PORT` another port.
        shots: the scenes, by name.
        channels: names of `packshot channels`, or channels spelled out.
        copy_: texts for overlays, by name and language: `headline: {en: ..., de: ...}`. Each is a template too.
        finishing: what happens between a master and its assets.
        credentials: `on`, or a section: content credentials (C2PA) in every delivered file, but for proofs.
        metadata: what delivered files tell the public; without it all but prompts is told.
        watermark: an installed plug-in by name, or a section: it marks every delivered file but proofs.
        quality: `on`, or a section: checks of every picture but proofs, and from which numbers on a person is to look.
        schedule: when the scheduled flow takes the campaign; `packshot render` renders it on any day.
        retention: how long what nothing needs any more is kept, for `packshot prune`; without it that deletes nothing.
    """

    name: str
    model: ModelChoice
    catalogs: CatalogPaths
    output: str
    select: list[Any] = Field(default_factory=list)
    look_by: tuple[str, ...] = ()
    megapixels: float | None = Field(default=None, ge=LEAST_MEGAPIXELS, le=MAX_PIXELS / MEGAPIXEL)
    locale: str | None = None
    seed: int = Field(default=0, ge=0, lt=2**63)
    seed_device: Literal["cpu", "cuda"] = "cpu"
    variations: int = Field(default=1, ge=1, le=MAX_VARIATIONS)
    budget: Budget = Budget()
    use: Literal["commercial", "research"] = "commercial"
    reproducible: bool = False
    hosted: Hosted = Hosted()
    prompt_style: Literal["json", "prose"] = "json"
    reference_background: str = "#FFFFFF"
    max_reference_megapixels: float = Field(default=100, gt=0, le=1000)
    reference_roots: tuple[str, ...] = ()
    reference_hosts: tuple[str, ...] = ()
    shots: dict[str, Shot] = Field(min_length=1)
    channels: list[str | dict[str, Any]] = Field(min_length=1)
    # pydantic's own models have a `copy`.
    copy_: dict[str, dict[str, str]] = Field(default_factory=dict, alias="copy")
    finishing: Finishing = Finishing()
    credentials: Credentials | None = None
    metadata: Metadata = Metadata()
    watermark: Watermark | None = None
    quality: Quality | None = None
    schedule: Schedule = Schedule()
    retention: Retention | None = None

    @field_validator("model", mode="before")
    @classmethod
    def _model(cls, value: object) -> object:
        if not isinstance(value, str | dict | ModelChoice):
            raise ValueError("write a name of `packshot models`, or a section with `name:`")
        return {"name": value} if isinstance(value, str) else value

    @field_validator("credentials", mode="before")
    @classmethod
    def _credentials(cls, value: object) -> object:
        return switched(value, "credentials: {training_mining: allowed}")

    @field_validator("watermark", mode="before")
    @classmethod
    def _watermark(cls, value: object) -> object:
        return as_watermark(value)

    @field_validator("quality", mode="before")
    @classmethod
    def _quality(cls, value: object) -> object:
        return switched(value, "quality: {review: {colours: 5}}")

    @field_validator("locale", mode="before")
    @classmethod
    def _locale(cls, value: object) -> object:
        return checked_locale(value)

    @field_validator("copy_", mode="before")
    @classmethod
    def _languages(cls, value: object) -> object:
        for texts in value.values() if isinstance(value, dict) else ():
            for locale in texts if isinstance(texts, dict) else ():
                checked_locale(locale)
        return value

    @field_validator("reference_background")
    @classmethod
    def _colour(cls, value: str) -> str:
        if not _COLOUR.fullmatch(value):
            raise ValueError('write #RRGGBB in quotes, for example "#FFFFFF"')
        return value
