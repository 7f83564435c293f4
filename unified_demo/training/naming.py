"""``python -m unified_demo.training.naming``: teach linear maps which nouns fit which proposals (``model.naming``); minutes on one core.

Sights of photos and of composed pictures (``data look``) say what is where; the frozen language model says what a noun is. Held-out
nouns of the assets get vectors as well, but no picture of them is learnt from.
"""

import argparse
import logging
import random
import sys
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn import functional

from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.knowledge import knowledge
from unified_demo.data.sights import Named, load_shards
from unified_demo.data.split import part_of_noun
from unified_demo.nouns import plural
from unified_demo.regions import SURE, Sight

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase
from unified_demo.training.commands import carry_out, frozen_language_model

logger = logging.getLogger("unified_demo.training.naming")

WIDTH, LAYER = 128, 10
SAID = ("A {noun} is a kind of", "This is a photo of a {noun}", "The {noun} looks like")
FITS = 0.5
"""A proposal shows a thing when their boxes' intersection over union is at least this."""
WHOLE = 0.95
NOT_LOOKED_FOR = {
    "bass", "bow", "box", "can", "cap", "clamp", "conference", "die", "drill", "drink", "drum", "fan", "fire", "fly", "gear", "gift",
    "goal", "heart", "hook", "key", "map", "match", "painting", "pan", "plug", "ring", "saw", "scales", "scroll", "seal", "shell",
    "shield", "shower", "slide", "star", "sun", "swing", "target", "thread", "tick", "watch", "faces", "faces easy", "car side",
}  # fmt: skip
"""Words that mostly mean something else in a request ("can you", "slide it to the left"), and classes that are no names."""
STRANGERS = 64
"""Nouns in each batch that none of its pictures was drawn for."""


@dataclass(frozen=True)
class NamingOptions:
    epochs: int = 5
    batch: int = 24
    lr: float = 2e-3
    weight_decay: float = 0.05
    dropout: float = 0.2
    seed: int = 0


@dataclass(frozen=True)
class Lesson:
    """One picture: ``features`` (n, 384) of its proposals; which of them show each noun."""

    features: torch.Tensor
    shows: tuple[tuple[str, tuple[int, ...]], ...]


def lesson_of(sight: Sight, named: Sequence[Named]) -> Lesson:
    """Things by their fine names where they have one, else what the detector is sure of. No held-out thing by its name from the assets
    is ever in a training sight (``sights.compose_pictures``)."""
    shows: list[tuple[str, tuple[int, ...]]] = []
    for item in named:
        whole = item.box.area > WHOLE
        fitting = tuple(i for i, region in enumerate(sight.regions) if (i or whole) and region.box.iou(item.box) >= FITS)
        if fitting:
            shows.append((item.name, fitting))
    taken = {index for _, fitting in shows for index in fitting}
    sure = [(region.label, (i,)) for i, region in enumerate(sight.regions) if i and region.score >= SURE and i not in taken]
    features = [region.feature for region in sight.regions if region.feature is not None]
    return Lesson(torch.from_numpy(np.stack(features)), (*shows, *sure))


class NameMaps(nn.Module):
    """``forward(features (n, 384), words (m, hidden))`` -> (m, n) logits."""

    def __init__(self, features: torch.Tensor, words: torch.Tensor, dropout: float) -> None:
        super().__init__()
        self.feature, self.word = nn.Linear(features.shape[1], WIDTH), nn.Linear(words.shape[1], WIDTH)
        self.log_scale, self.bias = nn.Parameter(torch.tensor(2.3)), nn.Parameter(torch.tensor(-6.0))
        self.dropout = nn.Dropout(dropout)
        self.mean, self.deviation = features.mean(0), features.std(0) + 1e-3
        self.word_mean, self.word_deviation = words.mean(0), words.std(0) + 1e-3

    def vectors(self, words: torch.Tensor) -> torch.Tensor:
        return functional.normalize(self.word(self.dropout((words - self.word_mean) / self.word_deviation)), dim=-1)

    def forward(self, features: torch.Tensor, words: torch.Tensor) -> torch.Tensor:
        seen = functional.normalize(self.feature(self.dropout((features - self.mean) / self.deviation)), dim=-1)
        return self.vectors(words) @ seen.T * self.log_scale.exp() + self.bias


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


def learn(lessons: Sequence[Lesson], words: dict[str, torch.Tensor], options: NamingOptions) -> NameMaps:
    """``words``: the state of every noun that a lesson shows. The same for the same seed."""
    torch.manual_seed(options.seed)
    rng = random.Random(options.seed)
    nouns = sorted({noun for lesson in lessons for noun, _ in lesson.shows})
    states, row = torch.stack([words[noun] for noun in nouns]), {noun: index for index, noun in enumerate(nouns)}
    maps = NameMaps(torch.cat([lesson.features for lesson in lessons]), states, options.dropout)
    optimizer = torch.optim.AdamW(maps.parameters(), lr=options.lr, weight_decay=options.weight_decay)
    used = [lesson for lesson in lessons if lesson.shows]
    batches = max(1, len(used) // options.batch)
    rate = torch.optim.lr_scheduler.OneCycleLR(optimizer, options.lr, total_steps=options.epochs * batches)
    for epoch in range(options.epochs):
        rng.shuffle(used)
        losses = []
        for start in range(0, batches * options.batch, options.batch):
            batch = used[start : start + options.batch]
            chosen = sorted(
                {row[noun] for lesson in batch for noun, _ in lesson.shows} | set(rng.sample(range(len(nouns)), min(STRANGERS, len(nouns))))
            )
            loss = _loss(maps, batch, states[chosen], {nouns[index]: place for place, index in enumerate(chosen)})
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            rate.step()
            losses.append(loss.item())
        logger.info("epoch %d: loss %.3f", epoch + 1, sum(losses) / len(losses))
    return maps.eval()


def _loss(maps: NameMaps, batch: Sequence[Lesson], words: torch.Tensor, place: dict[str, int]) -> torch.Tensor:
    """A sigmoid for every pair of noun and proposal, and the choice among the proposals of the noun's own picture."""
    logits = maps(torch.cat([lesson.features for lesson in batch]), words)
    fits = torch.zeros_like(logits)
    choices, start = [], 0
    for lesson in batch:
        own = logits[:, start : start + len(lesson.features)]
        for noun, fitting in lesson.shows:
            fits[place[noun], [start + index for index in fitting]] = 1.0
            choices.append(own[place[noun]].logsumexp(0) - own[place[noun], list(fitting)].logsumexp(0))
        start += len(lesson.features)
    pairs = functional.binary_cross_entropy_with_logits(logits, fits, reduction="sum") / fits.sum()
    return pairs + 0.5 * torch.stack(choices).mean()


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


def save_names(path: Path, maps: NameMaps, nouns: Sequence[str], states: torch.Tensor, words: dict[str, str]) -> None:
    """For ``model.naming.Names.load``; half precision where it does not matter."""
    with torch.no_grad():
        tensors = {
            "vectors": maps.vectors(states).half(), "feature.weight": maps.feature.weight.half(), "feature.bias": maps.feature.bias.half(),
            "mean": maps.mean, "deviation": maps.deviation, "scale": maps.log_scale.exp(), "bias": maps.bias,
        }  # fmt: skip
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"nouns": "\n".join(nouns), "words": "\n".join(f"{spelt}\t{noun}" for spelt, noun in words.items())}
    save_file({name: tensor.detach().contiguous() for name, tensor in tensors.items()}, path, metadata=told)
    path.chmod(0o644)


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m unified_demo.training.naming", description=__doc__)
    parser.add_argument(
        "--sights", type=Path, nargs="+", required=True, help="folders of shards made by 'python -m unified_demo.data look'"
    )
    parser.add_argument("--assets", type=Path, required=True, help="folder that 'data fetch' wrote: its nouns can be asked for")
    parser.add_argument("--weights", type=Path, default=Path("weights/tiny/names.safetensors"), help="where the maps are written")
    parser.add_argument("--epochs", type=int, default=NamingOptions.epochs)
    parser.add_argument("--seed", type=int, default=NamingOptions.seed)
    return carry_out(_run, parser.parse_args(arguments))


def _run(flags: argparse.Namespace) -> None:
    lessons = [lesson_of(sight, named) for folder in flags.sights for sight, named in load_shards(folder)]
    catalogue = read_catalogue(flags.assets)
    nouns = sorted({noun for lesson in lessons for noun, _ in lesson.shows} | set(catalogue.by_noun))
    language_model, tokenizer = frozen_language_model(torch.float32)
    states = word_states(language_model, tokenizer, nouns)
    logger.info(
        "%d pictures, %d nouns, %d of them held out", len(lessons), len(nouns), sum(part_of_noun(noun) == "held_out" for noun in nouns)
    )
    maps = learn(lessons, dict(zip(nouns, states, strict=True)), NamingOptions(epochs=flags.epochs, seed=flags.seed))
    people = {item.noun for item in catalogue.cutouts if item.category == "person"}
    save_names(flags.weights, maps, nouns, states, spellings(nouns, people))


if __name__ == "__main__":
    sys.exit(main())
