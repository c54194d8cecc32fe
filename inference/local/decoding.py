"""From final latents to 8-bit pixels, on the device that made them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from inference.models.memory import TILE_SIDE

if TYPE_CHECKING:
    import torch


def decode(pipe: Any, latents: torch.Tensor, rows: int, columns: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels of packed latents.

    Args:
        latents: (batch, rows * columns, channels), as the last step left them.

    Returns:
        uint8 of shape (batch, height, width, 3) and bool of shape (batch, 2): whether all values of a picture were
        finite, and whether it has more than one colour. Both on the device: three bytes a pixel go to the host.
    """
    import torch

    vae = pipe.vae
    # Position ids run row by row, so unpacking is a reshape.
    grid = latents.transpose(1, 2).reshape(len(latents), -1, rows, columns)
    deviation = torch.sqrt(vae.bn.running_var.view(1, -1, 1, 1) + vae.config.batch_norm_eps).to(grid)
    grid = pipe._unpatchify_latents(grid * deviation + vae.bn.running_mean.view(1, -1, 1, 1).to(grid))
    image = vae.decode(grid.to(vae.dtype), return_dict=False)[0]
    finite = torch.isfinite(image).flatten(1).all(dim=1)
    unit = torch.nan_to_num(image * 0.5 + 0.5).clamp(0, 1)
    pixels = (unit.permute(0, 2, 3, 1).float() * 255).round().to(torch.uint8)
    colours = pixels.flatten(1, 2)
    varied = (colours.amin(dim=1) != colours.amax(dim=1)).any(dim=1)
    return pixels, torch.stack([finite, varied], dim=1)


def tile(vae: Any) -> None:
    """Have a VAE take large pictures in tiles: least memory, more time, and edges between tiles that are blended."""
    vae.enable_tiling()
    vae.tile_sample_min_size = TILE_SIDE
    vae.tile_latent_min_size = TILE_SIDE // 2 ** (len(vae.config.block_out_channels) - 1)


def fold_upsamplers(decoder: Any) -> int:
    """Make one transposed convolution of each "double the pixels, then convolve 3x3" of a decoder.

    A doubled row meets each source row through one or two taps of the kernel; their sums are the 4 x 4 kernel of a
    transposed convolution of stride 2: 4/9 of the products, equal but for rounding.

    Returns:
        How many were folded.
    """
    folded = 0
    for block in decoder.up_blocks:
        for place, upsampler in enumerate(block.upsamplers or []):
            block.upsamplers[place] = _folded(upsampler.conv)
            folded += 1
    return folded


def _folded(convolution: Any) -> torch.nn.Module:
    import torch

    weight = convolution.weight.detach().double()
    outputs, inputs = weight.shape[:2]
    # rows[a][i]: whether row i of the kernel adds to tap a of the transposed one
    rows = torch.tensor([[0, 0, 1], [0, 1, 1], [1, 1, 0], [1, 0, 0]], dtype=weight.dtype, device=weight.device)
    taps = torch.einsum("ai,bj,ocij->coab", rows, rows, weight)
    folded = torch.nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1, bias=convolution.bias is not None)
    folded.to(convolution.weight.device, convolution.weight.dtype)
    with torch.no_grad():
        folded.weight.copy_(taps)
        if folded.bias is not None:
            folded.bias.copy_(convolution.bias)
    return folded.eval()
