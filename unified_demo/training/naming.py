"""``python -m unified_demo.training.naming``: teach linear maps which nouns fit which crops (``model.naming``); half an hour on one core.

Photos of known classes and composed pictures give crops of things, and what else the detector proposes there gives crops of nothing;
the frozen language model says what a noun is. Held-out nouns of the assets get vectors as well, but no picture of them is learnt from.
"""

import argparse
import logging
import random
import sys
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from unified_demo.config import Settings
from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.knowledge import knowledge
from unified_demo.data.sights import Named, compose_pictures, open_pictures, photos
from unified_demo.data.split import part_of_noun
from unified_demo.grammar import Box
from unified_demo.model.closer import crop_features, detections
from unified_demo.model.perception import Perception
from unified_demo.model.tiny import load_perception
from unified_demo.nouns import plural
from unified_demo.training.commands import carry_out, frozen_language_model
from unified_demo.zoo import Zoo

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger("unified_demo.training.naming")

WIDTH, LAYER = 256, 10
SAID = ("A {noun} is a kind of", "This is a photo of a {noun}", "The {noun} looks like")
NOTHING = ""
"""The noun of a crop that shows no thing as a whole."""
FITS, FAR = 0.55, 0.4
"""A box shows a thing whose box it has at least this intersection over union with; nothing, if it has less than that with all."""
OF_THINGS, OF_NOTHING = 3, 6
"""Boxes of the detector that are learnt from in a composed picture, besides one around each thing."""
SHIFT = 0.12
"""Share of its width or height by which a side of such a box is off."""
NOT_LOOKED_FOR = {
    "bass", "bow", "box", "can", "cap", "clamp", "conference", "die", "drill", "drink", "drum", "fan", "fire", "fly", "gear", "gift",
    "goal", "heart", "hook", "key", "map", "match", "painting", "pan", "plug", "ring", "saw", "scales", "scroll", "seal", "shell",
    "shield", "shower", "slide", "star", "sun", "swing", "target", "thread", "tick", "watch", "faces", "faces easy", "car side",
    "mouse", "orange", "person", "tie", "train",
}  # fmt: skip
"""Words that mostly mean something else in a request ("can you", "slide it to the left"), people, and classes that are no names."""
NEVER_LOOKED_FOR = {"can", "conference", "fly", "match", "orange", "person", "car side", "faces", "faces easy"}
"""Those of them that not even an article makes a thing, or a thing alone."""
NO_NAMES = {"background google", "faces", "faces easy"}
"""Classes of photos that name no thing in them."""
BATCH_NOTHING = 0.7
"""How often crops of nothing are drawn, as a share of those of a frequent noun."""
TOLD = 500
"""Pictures after which the log says how many there were."""


@dataclass(frozen=True)
class NamingOptions:
    epochs: int = 12
    batch: int = 256
    lr: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.3
    smoothing: float = 0.05
    seed: int = 0


@dataclass(frozen=True)
class Crops:
    """``features`` (n, 768) as of ``model.closer``, and the noun of each."""

    features: np.ndarray
    nouns: tuple[str, ...]


def crops_of_photos(folders: Sequence[Path], perception: Perception, count: int, seed: int) -> Iterator[Crops]:
    """At most ``count`` photos of each folder, whole but for a little at the sides; not those of held-out classes."""
    rng = random.Random(seed)
    for folder in folders:
        items = [item for item in photos(folder) if part_of_noun(item[1]) == "train" and item[1] not in NO_NAMES]
        rng.shuffle(items)
        for path, noun in items[:count]:
            for picture in open_pictures([path]):
                yield Crops(crop_features(picture, [_shifted(rng, Box(0.0, 0.0, 1.0, 1.0))], perception.encoder), (noun,))


def crops_of_scenes(pictures: Iterator[tuple[Image.Image, list[Named]]], perception: Perception, seed: int) -> Iterator[Crops]:
    """Of each picture a box around each thing, and some of the detector's. No held-out thing is ever in a picture of
    ``sights.compose_pictures``."""
    rng = random.Random(seed)
    for picture, things in pictures:
        things_found, nothing = list[tuple[Box, str]](), list[tuple[Box, str]]()
        for box in (item.box for item in detections(picture, perception.detector)):
            fits, noun = max(((box.iou(thing.box), thing.name) for thing in things), default=(0.0, NOTHING))
            if fits >= FITS:
                things_found.append((box, noun))
            elif fits < FAR:
                nothing.append((box, NOTHING))
        rows = [(_shifted(rng, thing.box), thing.name) for thing in things]
        rows += rng.sample(things_found, min(OF_THINGS, len(things_found))) + rng.sample(nothing, min(OF_NOTHING, len(nothing)))
        yield Crops(crop_features(picture, [box for box, _ in rows], perception.encoder), tuple(noun for _, noun in rows))


def _shifted(rng: random.Random, box: Box) -> Box:
    """Each side a little off, within the picture."""
    width, height = box.x1 - box.x0, box.y1 - box.y0
    off = [rng.uniform(-SHIFT, SHIFT) * side for side in (width, height, width, height)]
    x0, y0, x1, y1 = (min(max(value + shift, 0.0), 1.0) for value, shift in zip(box.as_tuple(), off, strict=True))
    return Box(x0, y0, x1, y1)


class NameMaps(nn.Module):
    """``forward(features (n, 768), words (m, hidden))`` -> (n, m) logits, and (n,) that it is a thing."""

    def __init__(self, features: torch.Tensor, words: torch.Tensor, dropout: float) -> None:
        super().__init__()
        self.feature, self.word = nn.Linear(features.shape[1], WIDTH), nn.Linear(words.shape[1], WIDTH)
        self.thing = nn.Linear(features.shape[1], 1)
        self.log_scale, self.bias = nn.Parameter(torch.tensor(2.5)), nn.Parameter(torch.tensor(-8.0))
        self.dropout = nn.Dropout(dropout)
        self.mean, self.deviation = features.mean(0), features.std(0) + 1e-3
        self.word_mean, self.word_deviation = words.mean(0), words.std(0) + 1e-3

    def vectors(self, words: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.word(self.dropout((words - self.word_mean) / self.word_deviation)), dim=-1)

    def forward(self, features: torch.Tensor, words: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        features = (features - self.mean) / self.deviation
        seen = functional.normalize(self.feature(self.dropout(features)), dim=-1)
        return seen @ self.vectors(words).T * self.log_scale.exp() + self.bias, self.thing(features)[:, 0]


@torch.no_grad()
def word_states(language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", nouns: Sequence[str]) -> torch.Tensor:
    """(nouns, hidden): the state behind the last word of a few sentences about each noun, in the middle of the frozen model."""
    rows = []
    for noun in nouns:
        states = []
        for said in SAID:
            ids = tokenizer(said.format(noun=noun), return_tensors="pt").input_ids
            states.append(language_model.model(ids, output_hidden_states=True).hidden_states[LAYER][0, -1].float())
        rows.append(torch.stack(states).mean(0))
    return torch.stack(rows)


def learn(crops: Crops, words: dict[str, torch.Tensor], options: NamingOptions) -> NameMaps:
    """``words``: the state of every noun of the crops. The same for the same seed."""
    torch.manual_seed(options.seed)
    nouns = sorted(set(crops.nouns) - {NOTHING})
    states, row = torch.stack([words[noun] for noun in nouns]), {noun: index for index, noun in enumerate(nouns)}
    features = torch.from_numpy(crops.features).float()
    maps = NameMaps(features, states, options.dropout)
    optimizer = torch.optim.AdamW(maps.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    wanted = torch.tensor([row.get(noun, -1) for noun in crops.nouns])
    shares = 1 / torch.bincount(wanted[wanted >= 0], minlength=len(nouns)).float()[wanted.clamp(min=0)].sqrt()
    shares[wanted < 0] = BATCH_NOTHING * shares[wanted >= 0].mean()
    batches = max(1, len(wanted) // options.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.epochs * batches)
    for epoch in range(options.epochs):
        losses = []
        for batch in torch.multinomial(shares, batches * options.batch, replacement=True).view(batches, -1):
            logits, is_thing = maps(features[batch], states)
            loss = _loss(logits, is_thing, wanted[batch], options.smoothing)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.item())
        logger.info("epoch %d: loss %.3f", epoch + 1, sum(losses) / len(losses))
    return maps.eval()


def _loss(logits: torch.Tensor, is_thing: torch.Tensor, wanted: torch.Tensor, smoothing: float) -> torch.Tensor:
    """A sigmoid for every pair of crop and noun, the choice among the nouns of a crop that shows a thing, and whether it does.

    (n, nouns), (n,), (n,) with -1 for nothing -> scalar
    """
    shows = wanted >= 0
    fits = torch.zeros_like(logits)
    fits[shows, wanted[shows]] = 1.0
    pairs = functional.binary_cross_entropy_with_logits(logits, fits, reduction="sum") / len(wanted)
    choice = functional.cross_entropy(logits[shows], wanted[shows], label_smoothing=smoothing)
    return pairs + 0.5 * choice + functional.binary_cross_entropy_with_logits(is_thing, shows.float())


def spellings(nouns: Sequence[str], people: Collection[str] = ()) -> dict[str, str]:
    """What is looked for in questions -> its noun: one and several of all that the detector has no word for.

    ``people`` are left out: the region reader was taught that a cook or a cyclist is a person, and tells several apart.
    """
    known = set(knowledge()) | {name for entry in knowledge().values() for name in entry.get("names", [])}
    known |= {plural(word) for word in known}
    found = {}
    for noun in sorted(set(nouns) - NOT_LOOKED_FOR - set(people)):
        for spelt in (noun, plural(noun)):
            if spelt.lower() not in known:
                found[spelt.lower()] = noun
    return found


def labels() -> dict[str, str]:
    """What the detector's labels are called, one and several -> the label. Those that no picture showed are there as well: a "hot dog" is
    no dog."""
    return {spelt: label for label in knowledge() if label not in NOT_LOOKED_FOR for spelt in (label, plural(label))}


def doubtful(nouns: Sequence[str], people: Collection[str] = ()) -> dict[str, tuple[str, str]]:
    """All other nouns, one and several -> (noun, what the detector calls such a thing or ""): words that seldom name a thing, people, and
    other words for what the detector knows."""
    kinds = {name: label for label, entry in reversed(knowledge().items()) for name in entry.get("names", [])} | dict.fromkeys(
        people, "person"
    )
    kinds |= {label: label for label in knowledge()}
    surely = set(spellings(nouns, people)) | set(labels())
    return {
        spelt.lower(): (noun, kinds.get(noun, ""))
        for noun in sorted(set(nouns) - NEVER_LOOKED_FOR)
        for spelt in (noun, plural(noun))
        if spelt.lower() not in surely
    }


def save_names(
    path: Path,
    maps: NameMaps,
    nouns: Sequence[str],
    states: torch.Tensor,
    words: dict[str, str],
    seldom: dict[str, tuple[str, str]],
    pictured: Collection[str],
) -> None:
    """For ``model.naming.Names.load``; half precision where it does not matter. ``seldom``: as of ``doubtful``; ``pictured``: the
    nouns that were learnt from pictures."""
    with torch.no_grad():
        tensors = {
            "vectors": maps.vectors(states).half(), "feature.weight": maps.feature.weight.half(), "feature.bias": maps.feature.bias.half(),
            "thing.weight": maps.thing.weight, "thing.bias": maps.thing.bias,
            "mean": maps.mean, "deviation": maps.deviation, "scale": maps.log_scale.exp(), "bias": maps.bias,
            "pictured": torch.tensor([noun in pictured for noun in nouns]),
        }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"nouns": "\n".join(nouns), "doubtful": "\n".join(f"{word}\t{noun}\t{label}" for word, (noun, label) in seldom.items())}
    for kind, spelt in (("words", words), ("labels", labels())):
        told[kind] = "\n".join(f"{word}\t{noun}" for word, noun in spelt.items())
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata=told)
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.naming", description=__doc__)
    parser.add_argument("--photos", type=Path, nargs="*", default=[], help="folders of photos, each in a folder named after its class")
    parser.add_argument("--photos-of-each", type=int, default=2000, help="photos of each of these folders")
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'data fetch' wrote: pictures are composed of its cut-outs")
    parser.add_argument("--pictures", type=int, default=1500, help="composed pictures")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/names.safetensors"), help="where the maps are written")
    parser.add_argument("--epochs", type=int, default=NamingOptions.epochs)
    parser.add_argument("--seed", type=int, default=NamingOptions.seed)
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    settings = Settings()
    perception = load_perception(settings, Zoo(settings.cache_dir, settings.weights_dir))
    catalogue = read_catalogue(flags.assets)
    composed = compose_pictures(catalogue, CutoutLibrary(flags.assets, catalogue), flags.pictures, flags.seed)
    parts = list[Crops]()
    for part in chain(
        crops_of_photos(flags.photos, perception, flags.photos_of_each, flags.seed), crops_of_scenes(composed, perception, flags.seed)
    ):
        parts.append(part)
        if len(parts) % TOLD == 0:
            logger.info("%d pictures looked at", len(parts))
    crops = Crops(np.concatenate([part.features for part in parts]), tuple(noun for part in parts for noun in part.nouns))
    pictured = set(crops.nouns) - {NOTHING}
    nouns = sorted(pictured | set(catalogue.by_noun))
    language_model, tokenizer = frozen_language_model(torch.float32)
    states = word_states(language_model, tokenizer, nouns)
    logger.info(
        "%d crops, %d nouns, %d of them held out", len(crops.nouns), len(nouns), sum(part_of_noun(noun) == "held_out" for noun in nouns)
    )
    maps = learn(crops, dict(zip(nouns, states, strict=True)), NamingOptions(epochs=flags.epochs, seed=flags.seed))
    people = {item.noun for item in catalogue.cutouts if item.category == "person"}
    save_names(flags.weights, maps, nouns, states, spellings(nouns, people), doubtful(nouns, people), pictured)


if __name__ == "__main__":
    sys.exit(main())
