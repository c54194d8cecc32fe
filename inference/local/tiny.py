"""Tiny random FLUX.2 checkpoints: the real classes and the real path, in seconds, on any CPU.

Its pictures mean nothing, but they depend on prompt, seed and references as those of a real checkpoint do, so a
swapped seed or reference is seen in the pixels.
"""

from __future__ import annotations

import json
import shutil
import tempfile
from pathlib import Path
from typing import Any, Literal

from inference.models.weights import cache_folder

TINY_MODEL = "tiny"
TINY_REVISION = "1"
"""Changes with every change of the recipe below; stands for the weights in fingerprints."""
Family = Literal["klein", "base", "kv", "dev"]

_HIDDEN = 48
_TEXT_LAYERS = {"klein": 28, "base": 28, "kv": 28, "dev": 31}
"""One more than the pipeline reads, so that reading a wrong one shows."""
_HEAD = 16
_HEADS = 4
_CONTEXT_LAYERS = 3
_LATENT_CHANNELS = 8
_PATCH = 4
_GAIN = 1.6
_SHARPNESS = 3.0
"""Scale of queries and keys: random attention is nearly even, and 512 text tokens would drown a reference."""
_SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
_MISTRAL_TOKENS = ["<unk>", "<s>", "</s>", "[INST]", "[/INST]", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[IMG]", "<pad>"]
_CORPUS = [
    '{"scene":"studio","subjects":[{"description":"red shoe","position":"center"}],"mood":"calm"}',
    '{"style":"product photography","color_palette":["#AABBCC","#102030"],"lighting":"soft daylight"}',
    "a green bag on marble, the product of image 1 with the logo of image 2 in color #FFFFFF",
]
_CHAT_TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n"
    "{% if enable_thinking is defined and not enable_thinking %}<think>\n\n</think>\n\n{% endif %}{% endif %}"
)
_MISTRAL_TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}{% set text = message['content'][0]['text'] %}"
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]{{ text }}[/SYSTEM_PROMPT]"
    "{% else %}[INST]{{ text }}[/INST]{% endif %}{% endfor %}"
)


def tiny_checkpoint(cache: Path | None = None) -> Path:
    """Folder of the distilled tiny checkpoint, built on first use.

    It appears under its final name by one rename, so another process sees all of it or nothing; of two that
    build at once the first wins.
    """
    root = cache or cache_folder()
    target = root / f"tiny-klein-{TINY_REVISION}"
    if target.is_dir():
        return target
    root.mkdir(parents=True, exist_ok=True)
    building = Path(tempfile.mkdtemp(dir=root, prefix=".tiny-klein-"))
    try:
        build_tiny_klein(building)
        building.rename(target)
    except OSError:
        if not target.is_dir():
            raise
    finally:
        shutil.rmtree(building, ignore_errors=True)
    return target


def build_tiny_klein(folder: Path, seed: int = 0) -> Path:
    """Build the distilled tiny checkpoint in `folder`; see `build_tiny`."""
    return build_tiny(folder, "klein", seed)


def build_tiny(folder: Path, family: Family, seed: int = 0) -> Path:
    """Build a pipeline of random weights (float32, about 2 MB) and save it to `folder`.

    `klein` and `base` are a `Flux2KleinPipeline`, distilled or not, `kv` a `Flux2KleinKVPipeline`, `dev` a
    `Flux2Pipeline`. The weights are a function of `seed` alone; the caller's random state is left as it was.
    """
    import torch
    from diffusers import Flux2KleinKVPipeline, Flux2KleinPipeline, Flux2Pipeline

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        parts = _parts(family)
        pipeline: Any
        if family == "dev":
            pipeline = Flux2Pipeline(**parts)
        elif family == "kv":
            pipeline = Flux2KleinKVPipeline(**parts)
        else:
            pipeline = Flux2KleinPipeline(**parts, is_distilled=family == "klein")
    pipeline.save_pretrained(folder)
    if family == "dev":
        _name_the_processor(folder / "model_index.json")
    return folder


def _parts(family: Family) -> dict[str, Any]:
    from diffusers import FlowMatchEulerDiscreteScheduler

    tokenizer = _mistral_tokenizer() if family == "dev" else _qwen_tokenizer()
    return {
        "scheduler": FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
        "vae": _vae(),
        "text_encoder": _mistral(len(tokenizer)) if family == "dev" else _qwen(len(tokenizer), _TEXT_LAYERS[family]),
        "tokenizer": tokenizer,
        "transformer": _transformer(guided=family == "dev"),
    }


def _name_the_processor(index: Path) -> None:
    """Write what the real dev checkpoint says: a PixtralProcessor, which cannot be made without torchvision."""
    content = json.loads(index.read_text("utf-8"))
    content["tokenizer"] = ["transformers", "PixtralProcessor"]
    index.write_text(json.dumps(content, indent=2), "utf-8")


def _bpe(special: list[str]) -> Any:
    """A byte-level BPE vocabulary of 512 entries."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=special,
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS, trainer)
    return bpe


def tiny_tokenizer() -> tuple[Any, str] | None:
    """The distilled tiny checkpoint's `tokenizers.Tokenizer` and chat template; None where it cannot be made here."""
    try:
        return _qwen_tokenizer().backend_tokenizer, _CHAT_TEMPLATE
    except ImportError:
        return None


def _qwen_tokenizer() -> Any:
    """Qwen2's class with a chat template of Qwen3's shape."""
    from transformers import Qwen2TokenizerFast

    tokenizer = Qwen2TokenizerFast(
        tokenizer_object=_bpe(_SPECIAL_TOKENS),
        pad_token="<|endoftext|>",
        eos_token="<|im_end|>",
        unk_token="<|endoftext|>",
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def _mistral_tokenizer() -> Any:
    """Mistral's special tokens, padding on the left as dev's tokenizer does."""
    from transformers import PreTrainedTokenizerFast

    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=_bpe(_MISTRAL_TOKENS),
        bos_token="<s>",
        eos_token="</s>",
        unk_token="<unk>",
        pad_token="<pad>",
        padding_side="left",
    )
    tokenizer.chat_template = _MISTRAL_TEMPLATE
    return tokenizer


def _decoder_sizes(vocabulary: int, layers: int) -> dict[str, Any]:
    return {
        "vocab_size": vocabulary,
        "hidden_size": _HIDDEN,
        "intermediate_size": 2 * _HIDDEN,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": _HEAD,
        "initializer_range": 0.2,
    }


def _qwen(vocabulary: int, layers: int) -> Any:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    return Qwen3ForCausalLM(Qwen3Config(**_decoder_sizes(vocabulary, layers))).eval()


def _mistral(vocabulary: int) -> Any:
    """Mistral with a vision tower that nobody looks through, as dev's has one."""
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration, MistralConfig, PixtralVisionConfig

    text = MistralConfig(**_decoder_sizes(vocabulary, _TEXT_LAYERS["dev"]), sliding_window=None)
    vision = PixtralVisionConfig(
        hidden_size=_HIDDEN,
        intermediate_size=_HIDDEN,
        num_hidden_layers=1,
        num_attention_heads=1,
        image_size=64,
        patch_size=16,
    )
    config = Mistral3Config(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        image_token_index=_MISTRAL_TOKENS.index("[IMG]"),
        spatial_merge_size=2,
        # the outer class starts its weights by the outer configuration
        initializer_range=0.2,
    )
    return Mistral3ForConditionalGeneration(config).eval()


def _transformer(guided: bool) -> Any:
    from diffusers import Flux2Transformer2DModel

    model = Flux2Transformer2DModel(
        patch_size=1,
        in_channels=_PATCH * _LATENT_CHANNELS,
        num_layers=2,
        num_single_layers=3,
        attention_head_dim=_HEAD,
        num_attention_heads=_HEADS,
        joint_attention_dim=_CONTEXT_LAYERS * _HIDDEN,
        timestep_guidance_channels=64,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=guided,
    )
    for name, parameter in model.named_parameters():
        if ".norm_" in name and parameter.ndim == 1:
            parameter.mul_(_SHARPNESS)
        elif parameter.ndim == 2:
            # diffusers' own start leaves the blocks near the identity: references and prompt would not show
            parameter.normal_(0.0, _GAIN / parameter.shape[1] ** 0.5)
    return model.eval()


def _vae() -> Any:
    from diffusers import AutoencoderKLFlux2

    vae = AutoencoderKLFlux2(
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        latent_channels=_LATENT_CHANNELS,
        norm_num_groups=2,
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
    )
    vae.encoder.conv_out.weight.mul_(4.0)  # reference latents of about unit variance
    # the real checkpoint's normalisation is not the identity either
    vae.bn.running_mean.normal_(0.0, 0.1)
    vae.bn.running_var.uniform_(0.5, 1.5)
    return vae.eval()
