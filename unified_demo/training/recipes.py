"""What is trained on what: frozen recipes, each a stream of examples.

``grounding`` is the first recipe: scenes of regions alone, real photos as the detector saw them, and requests without a picture.
``multitask`` adds dialogues over all tasks, with the tasks on offer told at the beginning and refusals of those that are not.
The loop knows nothing of this; numbers here are the only dials.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unified_demo.data.dialogues import DialogueWriter, without_picture
from unified_demo.data.exchanges import Exchange
from unified_demo.data.knowledge import knowledge
from unified_demo.data.multitask import write_dialogue
from unified_demo.data.scenes import Scene, draw_scene, read_pairs
from unified_demo.data.sights import Named, load_shards
from unified_demo.grammar import TASK_TAGS, TASKS, Task
from unified_demo.messages import Conversation, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.backend import in_focus, since
from unified_demo.regions import SURE, Floats, Sight, with_second_names, without_feature
from unified_demo.training.chats import read_chats
from unified_demo.training.loop import Example


@dataclass(frozen=True)
class Recipe:
    """Shares of the stream (the rest are scenes of regions alone) and turns per conversation."""

    sights: float = 0.35
    without_picture: float = 0.04
    drop_features: float = 0.3
    fine_names: bool = True
    """Whether photos are spoken of by the names of their classes; those need features, which the region reader does not see."""
    turns: tuple[int, int] = (4, 7)
    multitask: float = 0.0
    """Share of multi-task dialogues; when not 0, all examples tell the tasks on offer."""
    plain: float = 0.0
    """Share of plain chat that is kept as it was, where such chats are given."""


GROUNDING = Recipe()
MULTITASK = Recipe(multitask=0.6, plain=0.12)
RECIPES = {"grounding": GROUNDING, "multitask": MULTITASK}

WITHOUT_GENERATOR = (Task.IMAGE_SEGMENTATION, Task.REASONING_EDITING, Task.IMAGE_EDITING)
DIALOGUE_TURNS = (1, 1, 2, 2, 3, 4)


def stream(
    recipe: Recipe, sights_folder: Path | None, pairs_file: Path | None, chats_file: Path | None = None
) -> Callable[[random.Random], Example]:
    """``draw(rng)`` for the loop. Without ``sights_folder`` all scenes are drawn; without ``pairs_file`` none come from NSR-1K;
    without ``chats_file`` no plain chat is kept."""
    labels = tuple(knowledge())
    pairs = read_pairs(pairs_file) if pairs_file else []
    seen = [scene_of_sight(sight, named) for sight, named in load_shards(sights_folder)] if sights_folder else []

    chats = read_chats(chats_file) if chats_file else []
    palette = palette_of(seen)

    def draw_any(rng: random.Random) -> Scene:
        if not seen or rng.random() >= recipe.sights:
            return draw_scene(rng, labels, pairs, palette)
        scene = rng.choice(seen)
        if not recipe.fine_names:
            scene = replace(scene, names={})
        if rng.random() < recipe.drop_features:
            scene = replace(scene, regions=tuple(without_feature(region) for region in scene.regions), image=None, names={})
        return scene

    def draw(rng: random.Random) -> Example:
        tasks = _offer(rng) if recipe.multitask else ()
        if chats and rng.random() < recipe.plain:
            return Example({}, rng.choice(chats), tasks, keep=True)
        if rng.random() < recipe.multitask:
            return _multitask(rng, draw_any, labels, tasks)
        if rng.random() < recipe.without_picture:
            return Example({}, without_picture(rng, labels), tasks)
        scene = draw_any(rng)
        tasks = tasks if Task.IMAGE_SEGMENTATION in tasks else (*tasks, Task.IMAGE_SEGMENTATION.value)
        return Example({"img-1": scene}, DialogueWriter(scene, labels, rng).write(rng.randint(*recipe.turns)), tasks)

    return draw


def palette_of(scenes: list[Scene]) -> dict[str, list[Floats]]:
    """Colours of the sure things in photos by label, and of all of them under ""; empty without photos."""
    palette: dict[str, list[Floats]] = {}
    for scene in scenes:
        for region in scene.regions[1:]:
            if region.score >= SURE:
                palette.setdefault(region.label, []).append(region.colours)
                palette.setdefault("", []).append(region.colours)
    return palette


def _offer(rng: random.Random) -> tuple[str, ...]:
    """The tasks on offer: often all, often those that need no generator (as on the page of the tiny profile), else some."""
    roll = rng.random()
    if roll < 0.45:
        return TASK_TAGS
    if roll < 0.8:
        return tuple(task.value for task in WITHOUT_GENERATOR)
    return tuple(tag for tag in TASK_TAGS if rng.random() < 0.6) or TASK_TAGS


def _multitask(rng: random.Random, draw_any: Callable[[random.Random], Scene], labels: tuple[str, ...], tasks: tuple[str, ...]) -> Example:
    """A dialogue as the model will meet it at its last question: pictures in focus only, the others by their ids.

    Learnt are the answers whose pictures are the same ones. An answer that needs a task which is not on offer is a refusal.
    """
    while True:
        dialogue = write_dialogue(rng, draw_any, labels, rng.choice(DIALOGUE_TURNS))
        messages = list(dialogue.conversation.messages)
        focus = in_focus(Conversation(tuple(messages[:-1])))
        learn = {
            number for number in range(1, len(messages), 2) if in_focus(Conversation(tuple(messages[:number]))) == focus
            and _answerable(messages[number], focus)
        }  # fmt: skip
        if len(messages) - 1 not in learn:
            continue
        asked = dialogue.exchanges[-1]
        if any(call.task not in tasks for call in asked.calls()):
            messages[-1] = _refusal(rng, asked)
        kept = since(Conversation(tuple(messages)), focus)
        cut = len(messages) - len(kept.messages)
        scenes = {key: scene for key in focus if (scene := dialogue.seen[key].scene)}
        called = {part.task for message in messages[:-1] for part in message.parts if isinstance(part, TaskCall)}
        return Example(scenes, kept, tuple(dict.fromkeys((*tasks, *sorted(called)))), frozenset(number - cut for number in learn))


def _answerable(answer: Message, focus: list[str]) -> bool:
    """Every box of the answer lies in a picture in focus, or in none (a layout)."""
    regions = [part for part in answer.parts if isinstance(part, RegionPart)]
    regions += [region for part in answer.parts if isinstance(part, TaskCall) for region in part.regions]
    return all(region.artefact_id in (None, *focus) for region in regions if region.boxes)


def _refusal(rng: random.Random, asked: Exchange) -> Message:
    kinds = {TASKS[Task(call.task)].title for call in asked.calls()}
    what = " and ".join(sorted(kinds))
    text = rng.choice(["I cannot do {w} here yet.", "Sorry, {w} is not among my tools here.", "That needs {w}, which is not at hand here."])
    return Message("assistant", (TextPart(text.format(w=what)),))


def scene_of_sight(sight: Sight, named: list[Named]) -> Scene:
    """A real picture as a scene: sure detections are things, known class names go to the region that covers their photo.

    A box with two likely names is one thing, by the likelier name.
    """
    sight = Sight(sight.image, tuple(with_second_names(sight.regions)))
    boxes = [region.box for region in sight.regions]
    things = [index for index, region in enumerate(sight.regions) if index and region.score >= SURE and boxes.index(region.box) == index]
    names = {}
    for item in named:
        inside = [i for i in range(1, len(sight.regions)) if sight.regions[i].box.iou(item.box) > 0.35]
        alone = 0 if len(named) == 1 else None
        best = max(inside, key=lambda i: sight.regions[i].box.iou(item.box)) if inside else alone
        if best is not None and best not in names:
            names[best] = item.name.removesuffix(" easy")
            if best not in things and best:
                things.append(best)
    return Scene(tuple(sight.regions), tuple(sorted(things)), (), names, sight.image)
