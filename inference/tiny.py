"""A tiny random FLUX.2 klein checkpoint: the real classes and the real path, in seconds, on any CPU.

Its pictures mean nothing, but they depend on prompt, seed and references as those of a real checkpoint do, so a
swapped seed or reference is seen in the pixels.
"""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from inference.weights import cache_folder

if TYPE_CHECKING:
    pass

TINY_MODEL = "tiny"
TINY_REVISION = "1"
"""Changes with every change of the recipe below; stands for the weights in fingerprints."""
TINY_PRECISION = "float32"

_HIDDEN = 48
_TEXT_LAYERS = 28
_HEAD = 16
_HEADS = 4
_CONTEXT_LAYERS = 3
_LATENT_CHANNELS = 8
_PATCH = 4
_GAIN = 1.6
_SHARPNESS = 3.0
"""Scale of queries and keys: random attention is nearly even, and 512 text tokens would drown a reference."""
_SPECIAL_TOKENS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<think>", "</think>"]
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


def build_tiny_klein(folder: Path, seed: int = 0, distilled: bool = True) -> Path:
    """Build a `Flux2KleinPipeline` of random weights (float32, about 2 MB) and save it to `folder`.

    The weights are a function of `seed` alone; the caller's random state is left as it was.
    """
    import torch
    from diffusers import FlowMatchEulerDiscreteScheduler, Flux2KleinPipeline

    with torch.random.fork_rng(devices=[]), torch.no_grad():
        torch.manual_seed(seed)
        tokenizer = _tokenizer()
        pipeline = Flux2KleinPipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=True, shift=3.0),
            vae=_vae(),
            text_encoder=_text_encoder(len(tokenizer)),
            tokenizer=tokenizer,
            transformer=_transformer(),
            is_distilled=distilled,
        )
    pipeline.save_pretrained(folder)
    return folder


def _tokenizer() -> Any:
    """A byte-level BPE tokenizer of Qwen2's class with a chat template of Qwen3's shape."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import Qwen2TokenizerFast

    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=512,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        special_tokens=_SPECIAL_TOKENS,
        show_progress=False,
    )
    bpe.train_from_iterator(_CORPUS, trainer)
    tokenizer = Qwen2TokenizerFast(
        tokenizer_object=bpe, pad_token="<|endoftext|>", eos_token="<|im_end|>", unk_token="<|endoftext|>"
    )
    tokenizer.chat_template = _CHAT_TEMPLATE
    return tokenizer


def _text_encoder(vocabulary: int) -> Any:
    """Qwen3 with the 27 layers the pipeline reads and one it does not."""
    from transformers import Qwen3Config, Qwen3ForCausalLM

    config = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=_HIDDEN,
        intermediate_size=2 * _HIDDEN,
        num_hidden_layers=_TEXT_LAYERS,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=_HEAD,
        initializer_range=0.2,
    )
    return Qwen3ForCausalLM(config).eval()


def _transformer() -> Any:
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
        guidance_embeds=False,
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
