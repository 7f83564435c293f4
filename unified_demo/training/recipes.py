"""What is trained on what: frozen recipes, each a stream of examples.

``grounding`` is the first recipe: scenes of regions alone, real photos as the detector saw them, and requests without a picture.
``multitask`` adds dialogues over all tasks and kept chat.
The loop knows nothing of this; numbers here are the only dials.
"""

import random
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from unified_demo.data.chinese import ChineseWriter
from unified_demo.data.context import Context
from unified_demo.data.creations import Creator
from unified_demo.data.dialogues import DialogueWriter, without_picture
from unified_demo.data.exchanges import Exchange, countable_of
from unified_demo.data.knowledge import knowledge
from unified_demo.data.layout_prompts import Planned, draw_told, read_planned
from unified_demo.data.multitask import write_dialogue
from unified_demo.data.requests import about_ourselves, draw_request
from unified_demo.data.scenes import Scene, draw_scene, read_pairs
from unified_demo.data.sights import Named, load_shards
from unified_demo.data.typos import misspelt
from unified_demo.data.wordings import draw_bare_prompt
from unified_demo.messages import Conversation, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.focus import in_focus, since
from unified_demo.regions import SURE, Floats, Sight, with_second_names, without_feature
from unified_demo.training.chats import own_questions, read_chats, whole_sentences
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
    """Share of multi-task dialogues."""
    layouts: float = 0.0
    """Share of lone requests for layouts."""
    created: float = 0.0
    """Share of lone requests for something new, most of them a picture of a bare noun."""
    ourselves: float = 0.0
    """Share of lone questions about the assistant itself."""
    plain: float = 0.0
    """Share of plain chat that is kept as it was, where such chats are given."""


GROUNDING = Recipe()
MULTITASK = Recipe(multitask=0.75, layouts=0.08, created=0.04, ourselves=0.06, plain=0.04)
RECIPES = {"grounding": GROUNDING, "multitask": MULTITASK}

HASTY = 0.06
"""Share of messages in dialogues with a slip of the keyboard."""
DIALOGUE_TURNS = (1, 1, 1, 1, 2, 2, 3, 4)


def stream(
    recipe: Recipe, sights_folder: Path | None, pairs_file: Path | None, chats_file: Path | None = None, photos: slice = slice(None)
) -> Callable[[random.Random], Example]:
    """``draw(rng)`` for the loop. Without ``sights_folder`` all scenes are drawn; without ``pairs_file`` none come from NSR-1K;
    without ``chats_file`` no plain chat is kept. ``photos``: which of the photos are used."""
    labels = tuple(knowledge())
    pairs = read_pairs(pairs_file) if pairs_file else []
    planned = read_planned(pairs_file.parent) if pairs_file and recipe.layouts else []
    seen = [scene_of_sight(sight, named) for sight, named in load_shards(sights_folder)[photos]] if sights_folder else []

    ours = {question for question, _ in about_ourselves()}
    chats = [chat for chat in read_chats(chats_file) if _text(chat.messages[0]) not in ours] if chats_file else []
    frozen = _frozen_answers(chats)
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
        if chats and rng.random() < recipe.plain:
            return Example({}, rng.choice(chats), keep=True)
        if rng.random() < recipe.layouts:
            return _answered(layout_request(rng, labels, planned))
        if rng.random() < recipe.created:
            return _answered(created(rng, labels))
        if rng.random() < recipe.ourselves:
            return _alone(*rng.choice(about_ourselves()))
        if rng.random() < recipe.multitask:
            return _multitask(rng, draw_any, labels, frozen)
        if rng.random() < recipe.without_picture:
            return Example({}, without_picture(rng, labels))
        scene = draw_any(rng)
        return Example({"img-1": scene}, DialogueWriter(scene, labels, rng).write(rng.randint(*recipe.turns)))

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


def _frozen_answers(chats: list[Conversation]) -> dict[str, str]:
    """Question of our own data -> the frozen model's answer, where the chats have one."""
    own = set(own_questions()) if chats else set()
    pairs = [[_text(message) for message in chat.messages] for chat in chats]
    return {question: answer for question, cut in pairs if question in own and (answer := whole_sentences(cut))}


def _text(message: Message) -> str:
    return "".join(part.text for part in message.parts if isinstance(part, TextPart))


def _multitask(
    rng: random.Random, draw_any: Callable[[random.Random], Scene], labels: tuple[str, ...], frozen: Mapping[str, str]
) -> Example:
    """A dialogue as the model will meet it at its last question: pictures in focus only, the others by their ids.

    Learnt are the answers whose pictures are the same ones. Plain questions have the ``frozen`` model's answers, so that chat stays.
    """
    while True:
        dialogue = write_dialogue(rng, draw_any, labels, rng.choice(DIALOGUE_TURNS))
        messages = list(dialogue.conversation.messages)
        for turn, exchange in enumerate(dialogue.exchanges):
            asked = _text(messages[2 * turn]) if exchange.task == "chat" else ""
            question = max((known for known in frozen if asked.startswith(known) or asked.endswith(known)), key=len, default="")
            if question:
                messages[2 * turn + 1] = Message("assistant", (TextPart(frozen[question]),))
            elif exchange.task != "chat" and rng.random() < HASTY:
                messages[2 * turn] = _hasty(rng, messages[2 * turn])
        focus = in_focus(Conversation(tuple(messages[:-1])))
        learn = {
            number for number in range(1, len(messages), 2) if in_focus(Conversation(tuple(messages[:number]))) == focus
            and _answerable(messages[number], focus)
        }  # fmt: skip
        if len(messages) - 1 not in learn:
            continue
        kept = since(Conversation(tuple(messages)), focus)
        cut = len(messages) - len(kept.messages)
        scenes = {key: scene for key in focus if (scene := dialogue.seen[key].scene)}
        return Example(scenes, kept, frozenset(number - cut for number in learn))


def _hasty(rng: random.Random, message: Message) -> Message:
    """With a slip of the keyboard."""
    return replace(
        message, parts=tuple(replace(part, text=misspelt(rng, part.text)) if isinstance(part, TextPart) else part for part in message.parts)
    )


def layout_request(rng: random.Random, labels: tuple[str, ...], planned: list[Planned]) -> Exchange:
    """Somebody asks for a picture with things in their places, often in the words of NSR-1K where those are given.

    One time in four it is just a picture, of the same kind of prompt: what asks for places are the words around it.
    """
    context = Context(labels)
    roll = rng.random()
    if roll < 0.25:
        asked: Exchange | None = Creator(rng, context).picture(draw_told(rng, labels, countable_of(labels))[0])
    elif roll < 0.4:
        asked = ChineseWriter(rng, context).write("layout")
    else:
        asked = Creator(rng, context).layout(rng.choice(planned) if planned and roll < 0.75 else None)
    assert asked is not None
    return asked


def created(rng: random.Random, labels: tuple[str, ...]) -> Exchange:
    """Somebody asks for a picture, a film or a sound, and nothing is attached: "draw a comb" is not about a comb that is missing."""
    context = Context(labels)
    task = rng.choices(("gen", "vgen", "agen"), (4, 1, 1))[0]
    roll = rng.random()
    asked: Exchange | None = None
    if roll < 0.15:
        asked = ChineseWriter(rng, context).write(task)
    elif task == "gen" and roll < 0.85:
        asked = Creator(rng, context).picture(draw_bare_prompt(rng))
    asked = asked or draw_request(rng, task, context)
    assert asked is not None
    return asked


def _answered(asked: Exchange) -> Example:
    return Example({}, Conversation((Message("user", asked.user), Message("assistant", asked.answer))))


def _alone(question: str, answer: str) -> Example:
    return Example({}, Conversation((Message("user", (TextPart(question),)), Message("assistant", (TextPart(answer),)))))


def _answerable(answer: Message, focus: list[str]) -> bool:
    """Every box of the answer lies in a picture in focus, or in none (a layout)."""
    regions = [part for part in answer.parts if isinstance(part, RegionPart)]
    regions += [region for part in answer.parts if isinstance(part, TaskCall) for region in part.regions]
    return all(region.artefact_id in (None, *focus) for region in regions if region.boxes)


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
