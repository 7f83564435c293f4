"""The editor's autoencoder: linear encoder, decoder begun from the generator's, which draws the same 8 x 8 patches twice as large.

What the generator's latents would be is a linear function of the editor's, and its last doubling is left out. Training is the generators'.
"""

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import nn

from unified_demo.training.generators.autoencoder import Components, build_autoencoder, exported_components

if TYPE_CHECKING:
    from diffusers import AutoencoderTiny

DECODER = (48, (3, 3, 2, 0))
"""Width, and blocks of each level from coarse to fine: the generator's without its last level."""


@torch.no_grad()
def editor_autoencoder(components: Components, generator: Path) -> "AutoencoderTiny":
    """``generator``: an exported folder. OSError when it is not there."""
    from diffusers import AutoencoderTiny

    network = build_autoencoder(components, DECODER, out_channels=3)
    theirs = AutoencoderTiny.from_pretrained(generator, subfolder="vae", torch_dtype=torch.float32)
    known = exported_components(generator)
    ours, layers = network.decoder.layers, theirs.decoder.layers
    *before, last, final = layers
    for own, other in zip(list(ours)[1:-1], before[1:-1], strict=True):
        own.load_state_dict(other.state_dict())
    assert isinstance(before[-1], nn.Upsample)
    change = known.matrix @ torch.linalg.pinv(components.matrix)
    shift = known.matrix @ (components.mean - known.mean)
    ours[0].weight.copy_(torch.einsum("oiyx,ic->ocyx", layers[0].weight, change))
    ours[0].bias.copy_(layers[0].bias + torch.einsum("oiyx,i->o", layers[0].weight, shift))
    ours[-1].weight.copy_(torch.einsum("omyx,mi->oiyx", final.weight[:3], last.weight.sum((2, 3))))
    ours[-1].bias.copy_(final.bias[:3])
    return network
