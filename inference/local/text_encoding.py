"""Prompts to embeddings: each distinct prompt once, never cut, a window of them at a time where layers are streamed."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from inference.local.checkpoints import Checkpoint
from inference.local.clock import StageClock
from inference.local.language_model import Tokens
from inference.models.memory import TEXT_HELD, TEXT_WINDOW

if TYPE_CHECKING:
    import torch

TEXT_TOKENS = 512


class PromptTooLong(Exception):
    """The model would read only the beginning of this prompt."""


class TextEncoder:
    """Encodes prompts, and where its layers are streamed those that come next with them."""

    def __init__(self, checkpoint: Checkpoint, clock: StageClock) -> None:
        self._checkpoint, self._clock = checkpoint, clock
        self._embeddings: LRUCache[str, Any] = LRUCache(TEXT_HELD)
        # Every guided picture needs the empty prompt's.
        self._empty: Any = None
        self._upcoming: list[str] = []
        self.encoded = 0

    def expect(self, prompts: Iterable[str]) -> None:
        """Told what will be asked for next, in order; what was told before is forgotten."""
        self._upcoming = list(islice(dict.fromkeys(prompts), TEXT_WINDOW))

    def embeddings(self, prompts: Sequence[str], alone: bool = False) -> dict[str, torch.Tensor | PromptTooLong]:
        """(1, 512, context) by prompt on the device: padded, since the model was trained with its padding.

        Args:
            alone: whether nothing that comes later is encoded with them.
        """
        found: dict[str, Any] = {}
        missing: dict[str, Tokens] = {}
        for prompt in dict.fromkeys(prompts):
            if (held := self._held(prompt)) is not None:
                found[prompt] = held
                continue
            try:
                missing[prompt] = self._tokens(prompt)
            except PromptTooLong as error:
                found[prompt] = error
        if missing:
            if self._checkpoint.memory != "resident" and not alone:
                missing |= self._further(TEXT_WINDOW - len(missing), missing)
            found |= self._encode(missing)
        return found

    def _held(self, prompt: str) -> Any:
        return self._embeddings.get(prompt) if prompt else self._empty

    def _further(self, count: int, known: Iterable[str]) -> dict[str, Tokens]:
        """Prompts that come next, so that the walk through the layers pays for a whole window."""
        further: dict[str, Tokens] = {}
        for prompt in self._upcoming:
            if len(further) >= count:
                break
            if prompt in known or self._held(prompt) is not None:
                continue
            try:
                further[prompt] = self._tokens(prompt)
            except Exception:  # said when its turn comes
                continue
        return further

    def _encode(self, missing: dict[str, Tokens]) -> dict[str, Any]:
        with self._clock.stage("text"):
            states = self._checkpoint.language_model.hidden_states(list(missing.values()))
        made = dict(zip(missing, states, strict=True))
        self.encoded += len(made)
        for prompt in reversed(list(made)):  # what is needed first is dropped last
            if prompt:
                self._embeddings[prompt] = made[prompt]
            else:
                self._empty = made[prompt]
        return made

    def _tokens(self, prompt: str) -> Tokens:
        """Token ids and mask of one prompt, padded to 512.

        Raises:
            PromptTooLong: it has more.
        """
        tokenizer = self._checkpoint.pipe.tokenizer
        text = self._rendered(prompt)
        # The chat template writes the special tokens itself, for Mistral with the first one too.
        special = {"add_special_tokens": False} if self._checkpoint.family == "dev" else {}
        count = len(tokenizer(text, **special)["input_ids"])
        if count > TEXT_TOKENS:
            raise PromptTooLong(f"the prompt has {count} tokens, the model reads {TEXT_TOKENS}: shorten it")
        made = tokenizer(text, return_tensors="pt", padding="max_length", max_length=TEXT_TOKENS, **special)
        return Tokens(made["input_ids"], made["attention_mask"])

    def _rendered(self, prompt: str) -> str:
        """The prompt inside the chat template its pipeline uses."""
        pipe = self._checkpoint.pipe
        if self._checkpoint.family == "dev":
            from diffusers.pipelines.flux2.pipeline_flux2 import format_input

            messages = format_input(prompts=[prompt], system_message=pipe.system_message)[0]
            return str(pipe.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=False))
        return str(
            pipe.tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}],
                tokenize=False,
                add_generation_prompt=True,
                enable_thinking=False,
            )
        )
