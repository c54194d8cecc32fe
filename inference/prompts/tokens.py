"""How many tokens a prompt takes: by the model's own tokenizer where at hand, else a cautious estimate."""

from __future__ import annotations

import json
import os
import re
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from inference.models.specs import ModelSpec

TEMPLATE_TOKENS = 12
"""What klein's chat template adds: user and assistant turn with an empty thought, in Qwen3's tokens."""

SYSTEM_TOKENS = 40
"""Upper bound of the system message that dev's pipeline puts before a prompt."""

MAX_REMEMBERED = 50_000

_TEMPLATE = ("<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n<think>\n\n</think>\n\n")
_CONTENT = "PROMPT"

# Letters with the space before them, which a tokenizer takes as one piece; the rest by its bytes.
_PIECE = re.compile(r" ?[^\W\d_]+| ?[^\w\s]+|\s+|.", re.DOTALL)
_JOINTS = re.compile(r"[{}\[\]:,]+")

# Keys of our prompts that are one token without a space before them: they are everywhere in code.
_JOINED_WORDS = "action angle color content description distance exact font id position size style text type"
_JOINED = frozenset(_JOINED_WORDS.split())

# Common words of product scenes: with the space before them one token each.
_COMMON_WORDS = """
    a about above across add after again against all alone along also always an and angle any apple arch are
    area arm around arrow art as at away back background balance balanced band bar base basic bath be beach
    beauty because become bed before begin behind being below belt bench beneath between beyond big black
    blank block blue blur board body bold book both bottle bottom bow box branch brand bridge bright bring
    broad brown brush bubble build building burst but button by cable cake calm camera can candle canvas cap
    card case catalog catch center centered central centre ceramic chain chair change chest child choice
    circle city class classic clean clear clip clock close closer cloth clothing cloud coat coffee cold
    collar collection color colored colors column combined come commercial common compact complete
    composition concrete contact contrast cool copper copy corner cotton could count cover covered cream
    crop cross crown crystal cube cup curve custom cut daily dance dark date dawn day daylight decor deep
    delicate dense depth design designed detail detailed details device diagonal different direct dish
    display distance do does door dot down draw drawn dress drink drop dry dust dynamic each ear earth east
    easy edge edges effect either elegant element elements else empty end energy engine enough entire equal
    even evening event every exact exactly example except expand exposed exposure extra eye fabric face
    facing fall family far farm fashion fast feature feel feet female few field figure fill filled film
    filter final fine finish finished fire first fish fit fixed flag flash flat flexible floor flow flower
    fluid focal focus fold folded follow food foot for foreground forest fork form forward four frame free
    fresh fringe from front fruit full fully fur garden gas gate general gentle gently get gift girl give
    given glass glow go gold golden good grab gradient grain grass gray great green grey grid ground group
    grow guide had hair half hall hand handle hands hang happy hard hardware has hat have he head heart heat
    heavy height held here hero hidden high higher highlight highlights hill hint hold holding hole home
    hood hook horizontal horse hot hour house how huge human ice idea image images in inch individual inner
    inside instead into iron is island iso it item items its itself jacket jar job join juice just keep
    keeping key keyboard kind kitchen knife know label labels lace lake lamp land landscape language laptop
    large last late later layer layers layout lead leading leaf leather left leg legs length lens less let
    letter letters level lid lie life lift light lighting lights like line lines link lip liquid list little
    live local logo long look looking loop loose lot low lower luxury macro magazine main make makes making
    male man many map marble mark marked mask master mat match matching material materials maximum may me
    mean measure medium meet mesh metal middle milk minimal minimum mirror mist mix mixed mobile mode model
    modern moment mood moon more morning most motion mountain mouth move movement moving much multi museum
    music must my nail name narrow natural nature near neck need negative neon net neutral never new next
    nice night no noise none nor normal north nose not note nothing now number oak object objects ocean of
    off office offset often oil old on one only onto opaque open opening option or orange order original
    other our out outdoor outer outline outside over overall overhead own pack package pad page paint pair
    pale palette panel paper parallel parent park part partial parts party pass past patch path pattern
    patterns pen people per perfect perspective phone photo photograph photography piece pieces pin pink
    pipe place placed plain plan plane plant plastic plate play plus pocket point points polished pool
    portrait pose position powder power premium present press preview primary print printed pro product
    products profile pull pure purple push put quality quarter quick quiet radius rail rain raise range rate
    raw ray reach read reading ready real realistic rear rectangle red reduce reference reflect reflection
    regular relative remove render repeat rest result rich right ring rise river road rock role roll roof
    room root rope rose rotate rough round rounded row rows rubber run running sail salt same sample sand
    sans save say scale scene scratch screen sea season seat second section see seen select separate series
    serif set setting several shade shadow shadows shallow shape shaped shapes sharp she sheet shelf shell
    shelter shift ship shirt shoe shoes shop short shot shoulder show showing shown shows side sides sign
    silk silver similar simple single sink sit size skin sky sleep slice slight slightly slow small smart
    smoke smooth snow so sock soft softly sole solid some something source south space spacing special sport
    spot spread spring square stable stack stacked stage stairs stamp stand standard standing stands star
    start state statement stay steam steel stem step stick still stone stop store straight stream street
    stretch strict strictly string strip stroke strong structure studio style styled subject subjects subtle
    such sugar suit summer sun sunset support surface sweet swing switch symbol table tag tail take taken
    tall tan tap target tea team tech temple tent term text texture than that the their them theme then
    there these they thick thin thing third this those thread three through tie tight tile time tiny title
    to together tone tool top total touch toward towards tower town toy track trade train transparent travel
    tree trim true trunk try tube turn two type under uniform unique unit until up upper use used user using
    usual vehicle vertical very video view viewer vintage visible visual volume walk wall warm warmth was
    wash watch water wave way we wear weather wedding weight well west wet what wheel when where which while
    white whole wide wider width will wind window wine wing winter wire with within without woman women wood
    wooden wool word words work world wrap write yard yellow yet you young your zip zone
"""
_COMMON = frozenset(_COMMON_WORDS.split())


def token_bound(text: str) -> int:
    """Cautious estimate of the tokens of `text` alone, without the chat template, for Qwen3's tokenizer.

    Guaranteed for every byte-level BPE (after NFC): a piece takes at most as many tokens as it has UTF-8
    bytes. Digits, white space, capitals, most punctuation and everything outside ASCII are counted so.
    Empirical, for a vocabulary of 150,000 tokens of mostly English and code: `_COMMON` words take one token,
    two when capitalised or without a space before them; any other word of n letters takes at most n // 2 + 1;
    the joints of compact JSON take one token for `":"` and `","`, half their bytes otherwise.

    So ASCII text is over-counted by a third or more, and only text of unusual words strung together could
    be under-counted; text in other scripts never is, but is over-counted up to three times.
    """
    if not text.isascii():
        text = unicodedata.normalize("NFC", text)
    fragments = text.split('"')
    return sum(map(_FRAGMENTS.__getitem__, fragments)) + len(fragments) - 1


class _Costs(dict[str, int]):
    """Costs worked out once: the prompts of a campaign share most of their words."""

    def __init__(self, cost: Callable[[str], int]) -> None:
        super().__init__()
        self._cost = cost

    def __missing__(self, key: str) -> int:
        if len(self) >= MAX_REMEMBERED:
            self.clear()
        cost = self[key] = self._cost(key)
        return cost


def _fragment_cost(fragment: str) -> int:
    """Tokens of the text between two quotation marks; joints give back what the two marks count too much."""
    if _JOINTS.fullmatch(fragment):
        return -1 if len(fragment) == 1 and fragment in ":," else (len(fragment) - 1) // 2
    return 1 if fragment in _JOINED else sum(map(_PIECES.__getitem__, _PIECE.findall(fragment)))


def _piece_cost(piece: str) -> int:
    word = piece.lstrip(" ")
    if not piece.isascii():
        return len(piece.encode())
    if not word.isalpha():
        # Every ASCII mark has a token that holds the space before it.
        return 1 if len(word) == 1 else len(piece)
    lower = word.lower()
    if word[1:] != lower[1:]:
        return len(word)
    guess = len(word) // 2 + 1
    if lower not in _COMMON:
        return guess
    return 1 if piece == " " + lower else min(guess, 2)


_PIECES = _Costs(_piece_cost)
_FRAGMENTS = _Costs(_fragment_cost)


class TokenCounter:
    """Counts the tokens of a prompt with its chat template.

    Args:
        encode: exact count of a prompt, template included; without it `token_bound` estimates.
        extra: tokens the pipeline adds beside the template.
    """

    def __init__(self, encode: Callable[[str], int] | None = None, extra: int = 0) -> None:
        self._encode, self._extra = encode, extra
        self._last = ("", self._count(""))

    @classmethod
    def for_model(cls, spec: ModelSpec) -> TokenCounter:
        """The counter of a model: exact where its tokenizer.json lies on this machine; nothing is fetched."""
        folder = _tokenizer_folder(spec)
        return cls(_encoder(folder) if folder else None, SYSTEM_TOKENS if spec.family == "dev" else 0)

    @property
    def is_exact(self) -> bool:
        return self._encode is not None

    def count(self, text: str) -> int:
        """Tokens of a prompt, chat template included. Asked again for the same text, it remembers."""
        if text != self._last[0]:
            self._last = (text, self._count(text))
        return self._last[1]

    def _count(self, text: str) -> int:
        return self._extra + (self._encode(text) if self._encode else token_bound(text) + TEMPLATE_TOKENS)


def _tokenizer_folder(spec: ModelSpec) -> Path | None:
    """Where a local model's tokenizer is: its own folder, or the snapshot in Hugging Face's cache."""
    if spec.engine not in ("diffusers", "server") or not spec.repository:
        return None
    root = Path(spec.repository)
    if not root.is_absolute():
        root = _hub_cache() / f"models--{spec.repository.replace('/', '--')}" / "snapshots" / spec.revision
    folder = root / "tokenizer"
    return folder if (folder / "tokenizer.json").is_file() else None


def _hub_cache() -> Path:
    """As huggingface_hub finds it; importing that only to learn a path takes longer than a plan."""
    home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    hub = os.environ.get("HF_HOME") or Path(home) / "huggingface"
    return Path(os.environ.get("HF_HUB_CACHE") or Path(hub) / "hub").expanduser()


def _encoder(folder: Path) -> Callable[[str], int] | None:
    """Exact counting by a folder's tokenizer.json; None where it cannot be read here."""
    try:
        from tokenizers import Tokenizer
    except ImportError:
        return None
    try:
        tokenizer = Tokenizer.from_file(str(folder / "tokenizer.json"))
    except Exception:  # the library raises bare Exception for a broken file
        return None
    tokenizer.no_truncation()
    tokenizer.no_padding()
    return encoder_of(tokenizer, _template_source(folder))


def encoder_of(tokenizer: Any, chat_template: str | None) -> Callable[[str], int]:
    """Exact counting by a `tokenizers.Tokenizer` and a chat template in Jinja."""
    before, after = _template(chat_template)
    return lambda text: len(tokenizer.encode(before + text + after).ids)


def _template(source: str | None) -> tuple[str, str]:
    """What the chat template puts before and after a prompt; Qwen3's where there is none that works."""
    if source is None:
        return _TEMPLATE
    from jinja2 import TemplateError
    from jinja2.sandbox import ImmutableSandboxedEnvironment

    environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
    messages = [{"role": "user", "content": _CONTENT}]
    try:
        template = environment.from_string(source)
        text = template.render(messages=messages, add_generation_prompt=True, enable_thinking=False)
    except (TemplateError, TypeError, ValueError):
        return _TEMPLATE
    before, found, after = text.partition(_CONTENT)
    return (before, after) if found else _TEMPLATE


def _template_source(folder: Path) -> str | None:
    try:
        return (folder / "chat_template.jinja").read_text("utf-8")
    except OSError:
        pass
    try:
        config = json.loads((folder / "tokenizer_config.json").read_text("utf-8"))
    except (OSError, ValueError):
        return None
    source = config.get("chat_template") if isinstance(config, Mapping) else None
    return source if isinstance(source, str) else None
