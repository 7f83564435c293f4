"""The benchmark ``gates``: which adapters of LoRAMoE work for which task, as shares of the gate while an answer is written.

Held-out requests are read together with their right answers, so the figures speak of the weights, not of mistakes. Nothing is
generated. ``draw_gates`` makes the picture: one row for each task, one cell for each layer and adapter.
"""

import random
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import numpy.typing as npt
import torch

from unified_demo.conversation import render_conversation
from unified_demo.data.compact import compact_scene
from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.scenes import draw_scene
from unified_demo.errors import UnifiedError
from unified_demo.evaluation.bars import INK
from unified_demo.evaluation.benchmark import ALL, Context, Result, Row, grouped, stratified
from unified_demo.evaluation.symbolic import SymbolicModel
from unified_demo.messages import Conversation
from unified_demo.model.focus import in_focus, since
from unified_demo.model.lora_moe import LoraMoeLinear

Floats = npt.NDArray[np.floating]
DRAWN, SEED = 600, 20261121
CELL, GAP, LEFT, TOP, LINE = 9, 5, 84, 46, 22


class Gates:
    name = "gates"
    title = "Adapters by task"
    systems = ("model", "untrained")

    def run(self, context: Context) -> Result:
        """``limit`` counts requests for each system. Raises ModelLoadError without weights."""
        chosen = stratified([draw_request(number) for number in range(DRAWN)], lambda dialogue: dialogue.exchanges[0].task, context.limit)
        rows: list[Row] = []
        pictures: dict[str, dict[str, list[list[float]]]] = {}
        for name in context.chosen(self.systems):
            model = context.subjects.symbolic() if name == "model" else context.subjects.untrained()
            assert isinstance(model, SymbolicModel)
            measured = [(dialogue.exchanges[0].task, gates_of(model, dialogue)) for dialogue in chosen]
            groups = grouped(measured, lambda item: (ALL, item[0]))
            means = {group: np.mean([gates for _, gates in items], axis=0) for group, items in sorted(groups.items())}
            rows += [Row(name, group, len(groups[group]), figures(gates)) for group, gates in means.items()]
            pictures[name] = {group: gates.round(3).tolist() for group, gates in means.items()}
        count = len(next(iter(next(iter(pictures.values())).values()))[0])
        measures = {f"adapter {number + 1}": "mean share of the gate over layers and tokens of the answer" for number in range(count)}
        return Result(tuple(rows), measures | {"largest": "mean over layers of the largest share"}, extra={"gates": pictures})


def draw_request(number: int) -> Dialogue:
    """One held-out request with its right answer, always the same for a number."""
    rng, labels = random.Random(f"{SEED}/{number}"), tuple(knowledge())
    return write_dialogue(rng, lambda chance: draw_scene(chance, labels, []), labels, 1, "held_out", compact_scene)


def gates_of(model: SymbolicModel, dialogue: Dialogue) -> Floats:
    """(layers, adapters): the gate over the tokens of the answer, mean over the projections of a layer; rows sum to 1. UnifiedError
    where there are no gates."""
    if not model.network.lora_layers:
        raise UnifiedError("These weights are not tuned by LoRAMoE, so there are no gates to look at.")
    conversation, network = dialogue.conversation, model.network
    focus = in_focus(Conversation(conversation.messages[:-1]))
    model.scenes = {key: seen.scene for key, seen in dialogue.seen.items() if seen.scene}
    seen = {key: model.look(dialogue.seen[key].artefact) for key in focus}
    pieces = render_conversation(since(conversation, focus), add_answer_start=False)
    counts, boxes = {key: len(item.projected.image) for key, item in seen.items()}, {key: item.boxes for key, item in seen.items()}
    tokens = model.vocabulary.tokenize(pieces, counts, boxes)
    places = [place - 1 for place in tokens.learnt()]
    for layer in network.lora_layers:
        layer.record = True
    try:
        with torch.no_grad():
            inputs, injection = network.embed(tokens, {key: item.projected for key, item in seen.items()})
            network.run(inputs[None], injection[None], use_cache=False)
        gates = [layer.last_gate[0, places].float().mean(0) for layer in network.lora_layers if layer.last_gate is not None]
    finally:
        for layer in network.lora_layers:
            layer.record = False
    adapted = sum(any(isinstance(part, LoraMoeLinear) for part in layer.modules()) for layer in network.language_model.model.layers)
    return torch.stack(gates).unflatten(0, (adapted, -1)).mean(1).cpu().numpy()


def figures(gates: Floats) -> dict[str, float | None]:
    """Shares over all layers, and how unequal the adapters of a layer are."""
    shares = {f"adapter {number + 1}": float(share) for number, share in enumerate(gates.mean(0))}
    return {**shares, "largest": float(gates.max(1).mean())}


def draw_gates(by_task: Mapping[str, Sequence[Sequence[float]]], title: str) -> str:
    """SVG: a row for each task, for each layer the adapters side by side, dark where the gate is; equal shares are half dark."""
    layers, adapters = len(next(iter(by_task.values()))), len(next(iter(by_task.values()))[0])
    step = adapters * CELL + GAP
    rows = [_text(8, 18, title, "start")]
    rows += [_text(LEFT + place * step + adapters * CELL / 2, TOP - 8, str(place + 1), "middle") for place in range(layers)]
    for line, (task, gates) in enumerate(by_task.items()):
        y = TOP + line * LINE
        rows.append(_text(LEFT - 8, y + 13, task, "end"))
        for place, shares in enumerate(gates):
            for number, share in enumerate(shares):
                at = f'x="{LEFT + place * step + number * CELL}" y="{y}" width="{CELL - 1}" height="{LINE - 6}"'
                told = f"{task}, layer {place + 1} of those adapted, adapter {number + 1}: {share:.2f}"
                shade = min(1.0, share * adapters / 2)
                rows.append(f'<rect {at} fill="#3b82c4" fill-opacity="{shade:.2f}"><title>{escape(told)}</title></rect>')
    width, height = LEFT + layers * step + 8, TOP + len(by_task) * LINE + 6
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" font-family="sans-serif" font-size="12">'
    return "\n".join([head, *rows, "</svg>", ""])


def _text(x: float, y: float, text: str, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" fill="{INK}">{escape(text)}</text>'
