"""Ablations: variants of the tiny model see the same conversations in the same order; then words, calls and boxes on held-out photos.

``python -m unified_demo.training ablate`` runs what is not done yet, each variant in a folder of its own, and writes one table.
"""

import json
import logging
import random
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from unified_demo import grammar, provenance
from unified_demo.errors import GrammarError
from unified_demo.grammar import Box
from unified_demo.model.backend import Decoder
from unified_demo.model.decoding import BoxHoldsOneBox, choose
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.multimodal_lm import MultimodalNetwork, ProjectedPicture
from unified_demo.model.tokens import REGION_SLOT, Tokens, Vocabulary
from unified_demo.training.coordinates import CoordinateVocabulary, add_coordinates
from unified_demo.training.loop import Drawn, Example, LoopOptions, Trainer

logger = logging.getLogger(__name__)

HIT_IOU = 0.5
LONGEST_BOX = 24
MOST_BOXES = 80
WHOLE = 1 << 16
"""Conversations are measured whole, whatever their boxes cost."""
Draw = Callable[[random.Random], Example]


@dataclass(frozen=True)
class Variant:
    """What differs. ``rank`` keeps the number of adapter weights the same, as do ``neurons`` (Neural Tuning in place of LoRAMoE); without
    ``adapters`` the language model's upper layers are trained themselves; without ``pointing`` boxes are digits, or with ``coordinates``
    one token per coordinate; without ``regions`` the prompt has no proposals either; without ``reader`` the region reader is not trained
    beforehand but along.
    """

    name: str
    adapters: int = 4
    rank: int = 8
    lora_lr: float = 5e-4
    balance: float = 0.01
    pointing: bool = True
    coordinates: bool = False
    regions: bool = True
    reader: bool = True
    neurons: int = 0

    def config(self) -> dict[str, Any]:
        """What ``build_network`` takes."""
        return {"tuning": "neural", "neurons": self.neurons} if self.neurons else {"adapters": self.adapters, "rank": self.rank}


VARIANTS = (
    Variant("LoRAMoE, 4 adapters"),
    Variant("one LoRA", adapters=1, rank=32),
    Variant("LoRAMoE, 2 adapters", adapters=2, rank=16),
    Variant("LoRAMoE, 8 adapters", adapters=8, rank=4),
    Variant("LoRAMoE, 4 adapters, no balance", balance=0.0),
    Variant("Neural Tuning", neurons=160),
    Variant("full fine-tuning of the upper layers", adapters=0, lora_lr=5e-5),
    Variant("no stage for the region reader", reader=False),
    Variant("boxes as digits", pointing=False),
    Variant("boxes as one token per coordinate", pointing=False, coordinates=True),
    Variant("boxes as digits, no region tokens", pointing=False, regions=False),
)


@dataclass(frozen=True)
class Figures:
    """``words``: nats per token of the answers outside of boxes; ``calls``: share of task tags that are the likeliest token at their
    place; ``boxes``: share of boxes with IoU >= 0.5, decoded after the right words. Counts beside them; ``trained``: weights.
    """

    words: float
    word_count: int
    calls: float
    call_count: int
    boxes: float
    box_count: int
    trained: int
    minutes: float


class VariantTrainer(Trainer):
    """Hides the proposals where the variant does; a checkpoint has whatever is trained."""

    variant: Variant

    def tokenize(self, example: Example) -> Drawn:
        drawn = super().tokenize(example)
        if self.variant.regions:
            return drawn
        kept = [place for place, token in enumerate(drawn.tokens.ids) if token != REGION_SLOT]
        rows = {name: [getattr(drawn.tokens, name)[place] for place in kept] for name in ("ids", "labels", "slots")}
        return drawn._replace(tokens=Tokens(**rows))

    def mixed(self) -> torch.autocast:
        """Layers that are trained themselves are kept in float32."""
        return torch.autocast(self.device, torch.bfloat16, enabled=not self.variant.adapters)

    def loss(self, batch: list[Drawn]) -> tuple[torch.Tensor, dict]:
        with self.mixed():
            return super().loss(batch)

    def state(self) -> dict[str, Any]:
        trained = {name: weight for name, weight in self.network.named_parameters() if weight.requires_grad}
        return {"model": trained, "optimizer": self.optimizer.state_dict()}

    def load_state(self, state: dict[str, Any]) -> None:
        self.network.load_state_dict(state["model"], strict=False)
        self.optimizer.load_state_dict(state["optimizer"])


def prepare(network: MultimodalNetwork, vocabulary: Vocabulary, variant: Variant) -> Vocabulary:
    """Switch on and off what the variant says, before an optimizer is made; the vocabulary to use."""
    vocabulary.pointing = variant.pointing
    if not variant.adapters:
        for layer in network.language_model.model.layers[network.first_layer :]:
            layer.float().requires_grad_(True)
    return add_coordinates(network, vocabulary) if variant.coordinates else vocabulary


def ablate(
    variants: Sequence[Variant],
    build: Callable[[Variant], tuple[MultimodalNetwork, Vocabulary]],
    draws: tuple[Draw, Draw],
    options: LoopOptions,
    examples: int,
    folder: Path,
) -> dict[str, Figures]:
    """Train and measure each variant that has no figures in ``folder`` yet; ``draws`` give training and held-out examples."""
    done = {}
    for variant in variants:
        place = folder / re.sub(r"\W+", "-", variant.name)
        kept = place / "figures.json"
        if not kept.is_file():
            torch.manual_seed(options.seed)
            network, vocabulary = build(variant)
            vocabulary = prepare(network, vocabulary, variant)
            ours = replace(options, balance=variant.balance, lora_lr=variant.lora_lr)
            device = network.word_mean.device.type
            trainer = VariantTrainer(network, vocabulary, draws[0], ours, place, device, along=not variant.reader)
            trainer.variant = variant
            trainer.run(lambda figures: logger.info("%s", json.dumps(figures)) if figures["step"] % 10 == 1 else None)
            rng = random.Random(options.seed + 7)
            with trainer.mixed():
                found = measure(trainer, [draws[1](rng) for _ in range(examples)])
            kept.write_text(json.dumps(asdict(found)))
            (place / trainer.checkpoint).unlink()
        done[variant.name] = Figures(**json.loads(kept.read_text()))
        logger.info("%s: %s", variant.name, done[variant.name])
    return done


@torch.no_grad()
def measure(trainer: VariantTrainer, examples: Sequence[Example]) -> Figures:
    """The same examples for every variant; the answers' right words are given, each next token is judged."""
    network, vocabulary = trainer.network.eval(), trainer.vocabulary
    trainer.options = replace(trainer.options, most_tokens=WHOLE)
    tasks = {vocabulary.tag_ids[grammar.open_tag(tag)] for tag in grammar.TASK_TAGS}
    nats: list[float] = []
    calls: list[bool] = []
    boxes: list[bool] = []
    for example in examples:
        drawn = trainer.tokenize(example)
        tokens = drawn.tokens
        projected = {key: trainer.project(scene) for key, scene in drawn.scenes.items()}
        inputs, injection = network.embed(tokens, projected)
        hidden = network.run(inputs[None], injection[None], use_cache=False)[0]
        open_box = _places_in_boxes(tokens.ids, vocabulary)
        places = [place for place in tokens.learnt() if place not in open_box]
        proposals = network.proposals(tokens, projected)
        readings = [network.reading(tokens.ids[:place], proposals) for place in places]
        logits = network.logits(hidden[[place - 1 for place in places]], readings, len(tokens.proposals))
        labels = torch.tensor([tokens.labels[place] for place in places], device=logits.device)
        nats += torch.nn.functional.cross_entropy(logits, labels, reduction="none").tolist()
        calls += [int(best) == label for best, label in zip(logits.argmax(-1), labels.tolist(), strict=True) if label in tasks]
        for place in tokens.learnt():
            if tokens.ids[place] == network.open_box and len(boxes) < MOST_BOXES:
                wanted = _box_behind(tokens, place + 1, drawn, vocabulary)
                if wanted:
                    got = _decode_box(network, vocabulary, tokens, place + 1, projected, drawn)
                    boxes.append(got is not None and got.iou(wanted) >= HIT_IOU)
    trained = sum(weight.numel() for weight in network.parameters() if weight.requires_grad)
    return Figures(_mean(nats), len(nats), _mean(calls), len(calls), _mean(boxes), len(boxes), trained, round(trainer.spent_s / 60, 1))


def _mean(values: Sequence[float]) -> float:
    return round(sum(values) / max(len(values), 1), 4)


def _places_in_boxes(ids: Sequence[int], vocabulary: Vocabulary) -> set[int]:
    """Places between ``<box>`` and ``</box>``: coordinates, in whatever form."""
    begin, end = (vocabulary.tag_ids[tag] for tag in (grammar.open_tag(grammar.BOX), grammar.close_tag(grammar.BOX)))
    places, inside = set(), False
    for place, token in enumerate(ids):
        inside = inside and token != end
        if inside:
            places.add(place)
        inside = inside or token == begin
    return places


def _box_behind(tokens: Tokens, start: int, drawn: Drawn, vocabulary: Vocabulary) -> Box | None:
    """The box that is written from ``start`` on; None where the tokens were cut off or its picture is not shown."""
    run = tokens.ids[start:]
    end = vocabulary.tag_ids[grammar.close_tag(grammar.BOX)]
    return _read_box(run[: run.index(end)], tokens, drawn, vocabulary) if end in run else None


def _read_box(run: Sequence[int], tokens: Tokens, drawn: Drawn, vocabulary: Vocabulary) -> Box | None:
    if run and run[0] >= vocabulary.point_base:
        key, index = tokens.proposals[run[0] - vocabulary.point_base]
        return drawn.scenes[key].regions[index].box
    if isinstance(vocabulary, CoordinateVocabulary):
        return vocabulary.read_box(run)
    try:
        return grammar.read_box(vocabulary.tokenizer.decode(run))
    except GrammarError:
        return None


def _decode_box(
    network: MultimodalNetwork, vocabulary: Vocabulary, tokens: Tokens, start: int, projected: dict[str, ProjectedPicture], drawn: Drawn
) -> Box | None:
    """What the model writes behind the ``<box>`` that stands before ``start``."""
    prefix = Tokens(tokens.ids[:start], tokens.labels[:start], tokens.slots[:start], tokens.proposals)
    decoder = Decoder(network, prefix, projected)
    if isinstance(vocabulary, CoordinateVocabulary):
        return vocabulary.read_box(vocabulary.decode_box(decoder))
    state = DecodingState(vocabulary, tokens.proposals, {}, (), inside=[grammar.BOX])
    rule, chance = BoxHoldsOneBox(vocabulary), torch.Generator()
    while state.inside and len(state.written) < LONGEST_BOX:
        rule.apply(decoder.logits, state)
        state.add(choose(decoder.logits, 0.0, chance))
        decoder.step(state.written[-1])
    return _read_box(state.written[:-1], tokens, drawn, vocabulary)


def table(done: Mapping[str, Figures], steps: int, batch: int) -> str:
    """The figures as a Markdown table, with what they were measured on."""
    first, machine = next(iter(done.values())), provenance.machine()
    head = (
        f"Each variant saw the same {steps * batch:,} conversations about photos from the untrained state ({steps} steps of {batch}); "
        f"{first.word_count:,} tokens of answers, {first.call_count} calls and {first.box_count} boxes on photos that none saw. "
        "*words*: of the answers outside of boxes; *calls*: share of task tags that are the likeliest token at their place; *boxes*: "
        f"decoded after the right words. Commit {provenance.commit()[:10]}, {machine['cores']} cores of {machine['processor']}, "
        f"torch {machine['torch']}. With and without constrained decoding: `routing` in [results.md](results.md).\n\n"
    )
    rows = ["| variant | trained weights | words, nats per token | calls | boxes, Acc@0.5 | minutes |", "|---|---|---|---|---|---|"]
    for name, item in done.items():
        rows.append(
            f"| {name} | {item.trained / 1e6:.2f} M | {item.words:.3f} | {item.calls:.3f} | {item.boxes:.3f} | {item.minutes:.0f} |"
        )
    return head + "\n".join(rows) + "\n"
