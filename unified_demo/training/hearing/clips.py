"""ESC-10's clips -> captions, folds and features of the frozen encoder, computed once and kept.

Layout as karolpiczak/ESC-10 has it: ``001 - Dog bark/1-30226-A.ogg``, the first digit is the fold; clips of one recording share it.
"""

import logging
import re
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from torch import nn

from unified_demo.errors import MediaError
from unified_demo.model.modality_tokenizers import SAMPLE_RATE, Modality, SignalSizes, UniversalEncoder, log_mel
from unified_demo.recordings import read_sound

logger = logging.getLogger(__name__)

CAPTIONS = {
    "dog bark": "a dog barks",
    "rain": "rain falls",
    "sea waves": "waves break on the shore",
    "baby cry": "a baby cries",
    "clock tick": "a clock ticks",
    "person sneeze": "somebody sneezes",
    "helicopter": "a helicopter flies",
    "chainsaw": "a chainsaw runs",
    "rooster": "a rooster crows",
    "fire crackling": "a fire crackles",
}
HELD_OUT_FOLD = 5
FRAMES = 500
"""Of 10 ms: a clip lasts five seconds."""
POOLED = (7, 3)
"""Times and pitches that the encoder's 49 x 12 places are averaged to; with the class token 22 tokens."""


@dataclass(frozen=True)
class Clip:
    """A sound file with what is heard in it."""

    path: Path
    caption: str
    fold: int


def read_clips(folder: Path) -> list[Clip]:
    """All clips in order of their names. MediaError when there are none, or of a folder that is no class of ESC-10."""
    clips = []
    for path in sorted(folder.glob("*/*.ogg")):
        kind = " ".join(re.sub(r"^\d+", "", path.parent.name).replace("_", " ").strip(" -").lower().split())
        if kind not in CAPTIONS:
            raise MediaError(f"{path.parent} is no class of ESC-10; classes are {', '.join(CAPTIONS)}.")
        clips.append(Clip(path, CAPTIONS[kind], int(path.name[0])))
    if not clips:
        raise MediaError(f"There are no clips in {folder}; name the folder of ESC-10 with its ten folders of .ogg files.")
    return clips


def make_encoder(vit: nn.Module) -> UniversalEncoder:
    """The universal encoder for sounds, its tokenizer begun as the pictures' patches."""
    encoder = UniversalEncoder(vit, SignalSizes(mel_frames=FRAMES), (Modality.AUDIO,))
    encoder.tokenizers[Modality.AUDIO.value].start_from_pictures(encoder.vit.embeddings)
    return encoder.eval()


@torch.inference_mode()
def features_of(encoder: UniversalEncoder, clip: Clip) -> torch.Tensor:
    """(22, width) float32. MediaError for a sound of another rate."""
    sound = read_sound(clip.path)
    if sound.sample_rate != SAMPLE_RATE:
        raise MediaError(f"{clip.path} has {sound.sample_rate} samples a second; {SAMPLE_RATE} are needed, so please convert it.")
    mels = log_mel(sound.samples.mean(1), FRAMES)
    tokenizer = encoder.tokenizers[Modality.AUDIO.value]
    seen = encoder(mels[None].to(tokenizer.places.dtype), Modality.AUDIO)[0].float()
    grid = seen[1:].unflatten(0, tokenizer.places.shape[:2]).permute(2, 0, 1)
    return torch.cat([seen[:1], nn.functional.adaptive_avg_pool2d(grid, POOLED).flatten(1).T])


def cached_features(encoder: UniversalEncoder, clips: list[Clip], path: Path) -> torch.Tensor:
    """(clips, 22, width); read from ``path`` where it has them all."""
    if path.is_file() and len(kept := load_file(path)["features"]) == len(clips):
        return kept
    rows = []
    for number, clip in enumerate(clips, 1):
        rows.append(features_of(encoder, clip))
        if number % 50 == 0:
            logger.info("%d of %d clips heard", number, len(clips))
    features = torch.stack(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    save_file({"features": features}, path)
    return features
