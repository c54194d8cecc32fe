"""Prompts to embeddings: each distinct prompt once, a batch at a time, never cut."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from cachetools import LRUCache

from inference.local.checkpoints import TEXT_LAYERS, Checkpoint
from inference.local.clock import StageClock
from inference.local.device import on_device

if TYPE_CHECKING:
    import torch

TEXT_TOKENS = 512
WINDOW = 64
"""Embeddings held, and prompts known ahead; 8 to 16 MB each, so never those of a whole catalog."""

BATCH = 4
"""Prompts of one call, always so many: an embedding must not depend on how many others waited with it."""


class PromptTooLong(Exception):
    """The model would read only the beginning of this prompt."""


class TextEncoder:
    """Encodes prompts, looking ahead so that calls are full."""

    def __init__(self, checkpoint: Checkpoint, clock: StageClock) -> None:
        self._checkpoint, self._clock = checkpoint, clock
        self._embeddings: LRUCache[str, Any] = LRUCache(WINDOW)
        self._upcoming: deque[str] = deque(maxlen=WINDOW)
        self.encoded = 0

    def expect(self, prompts: Iterable[str]) -> None:
        """Told what will be asked for soon."""
        for prompt in prompts:
            if prompt not in self._upcoming and prompt not in self._embeddings:
                self._upcoming.append(prompt)

    def embeddings(self, prompts: Sequence[str]) -> dict[str, torch.Tensor | PromptTooLong]:
        """(1, 512, context) by prompt on the device: padded, since the model was trained with its padding."""
        found: dict[str, Any] = {}
        missing: dict[str, Any] = {}
        for prompt in dict.fromkeys(prompts):
            if prompt in self._embeddings:
                found[prompt] = self._embeddings[prompt]
                continue
            try:
                missing[prompt] = self._tokens(prompt)
            except PromptTooLong as error:
                found[prompt] = error
        if missing:
            found |= self._encode(self._filled_up(missing))
        return found

    def _filled_up(self, missing: dict[str, Any]) -> dict[str, Any]:
        """Add prompts that come next: to a full call, or to a whole window where the encoder must be swapped in."""
        swapped = self._checkpoint.memory != "resident"
        wanted = WINDOW if swapped else -(-len(missing) // BATCH) * BATCH
        while self._upcoming and len(missing) < wanted:
            prompt = self._upcoming.popleft()
            if prompt in missing or prompt in self._embeddings:
                continue
            try:
                missing[prompt] = self._tokens(prompt)
            except PromptTooLong:
                continue  # said when its turn comes
        return missing

    def _encode(self, missing: dict[str, Any]) -> dict[str, Any]:
        prompts = list(missing)
        made: dict[str, Any] = {}
        with self._clock.stage("text"), self._checkpoint.using("text_encoder"):
            for start in range(0, len(prompts), BATCH):
                some = prompts[start : start + BATCH]
                padded = some + some[-1:] * (BATCH - len(some))
                hidden = self._hidden_states([missing[prompt] for prompt in padded])
                made |= {prompt: hidden[place : place + 1].clone() for place, prompt in enumerate(some)}
        self.encoded += len(prompts)
        for prompt in reversed(prompts):  # what is needed first is dropped last
            self._embeddings[prompt] = made[prompt]
        return made

    def _tokens(self, prompt: str) -> Any:
        """Token ids and mask of one prompt, padded to 512."""
        tokenizer = self._checkpoint.pipe.tokenizer
        text = self._rendered(prompt)
        # The chat template writes the special tokens itself, for Mistral with the first one too.
        special = {"add_special_tokens": False} if self._checkpoint.family == "dev" else {}
        count = len(tokenizer(text, **special)["input_ids"])
        if count > TEXT_TOKENS:
            raise PromptTooLong(f"the prompt has {count} tokens, the model reads {TEXT_TOKENS}: shorten it")
        return tokenizer(text, return_tensors="pt", padding="max_length", max_length=TEXT_TOKENS, **special)

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

    def _hidden_states(self, inputs: Sequence[Any]) -> Any:
        """(batch, 512, layers * width): the layers that are read, side by side."""
        import torch

        encoder, device = self._checkpoint.text_encoder, self._checkpoint.device
        layers, caught = TEXT_LAYERS[self._checkpoint.family], {}

        def catch(layer: int) -> Any:
            def hook(_: Any, __: Any, output: Any) -> None:
                caught[layer] = output[0] if isinstance(output, tuple) else output

            return encoder.layers[layer - 1].register_forward_hook(hook)

        hooks = [catch(layer) for layer in layers]
        try:
            encoder(
                input_ids=on_device(torch.cat([one["input_ids"] for one in inputs]), device),
                attention_mask=on_device(torch.cat([one["attention_mask"] for one in inputs]), device),
                use_cache=False,
            )
        finally:
            for handle in hooks:
                handle.remove()
        return torch.cat([caught[layer] for layer in layers], dim=-1)
