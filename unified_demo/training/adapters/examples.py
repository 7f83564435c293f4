"""What adapters of the vision-language model learn from: conversations with pictures, in the words the served model is prompted with.

Dialogues over the tasks about composed scenes, and RefCOCO's expressions for objects of photos. Videos are not drawn, so what needs
one is not learnt; what a call made is not drawn either, so a dialogue ends with the call that made a picture.
"""

import random
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from unified_demo.data.building import BuildOptions, scene_source
from unified_demo.data.catalogue import read_catalogue
from unified_demo.data.compose import render_plan
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.multitask import Dialogue, write_dialogue
from unified_demo.data.planned import PlannedScene
from unified_demo.data.published.reading import Complaints
from unified_demo.data.published.refcoco import ReferringExample, read_refcoco
from unified_demo.errors import MediaError
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.media import MediaStore, open_image
from unified_demo.messages import Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.vlm_prompt import NATIVE_GRID, Turn, offers_from, render_turns, surface
from unified_demo.model.vlm_rules import Offer, Place, SurfaceRules

Draw = Callable[[random.Random], list[Turn]]
"""One conversation, ready for the model; its answers are what is learnt."""
Source = Callable[[random.Random], list[Turn] | None]
"""None: what was drawn cannot be learnt from."""
REFERRING = 0.4
"""Share of RefCOCO's photos where both sources are at hand."""
REFUSED = 0.1
"""How often the task of the last call is not on offer, and the answer says so."""
TURNS = (1, 1, 2, 2, 3)
_WISHES = ("segment {e}", "outline {e}", "cut out {e}, please", "I need a mask of {e}", "where is {e}?", "find {e}")
_CALLED = 4
"""So many of the wishes want a mask; the others only to see where it is."""
_MADE = (MediaKind.IMAGE, MediaKind.VIDEO)


def lessons(descriptions: dict[str, str], assets: Path | None, refcoco: Path | None = None, photos: Path | None = None) -> Draw:
    """``descriptions``: what each task's expert says of itself, as the served model is told. MediaError without any source."""
    offers = offers_from({TASKS[Task(tag)]: words for tag, words in descriptions.items()})
    sources: list[tuple[float, Source]] = []
    if assets:
        sources.append((1 - REFERRING, _dialogues(offers, assets)))
    if refcoco:
        sources.append((REFERRING, _referring(offers, refcoco, photos)))
    if not sources:
        raise MediaError("There is nothing to learn from; name a folder with --assets ('python -m unified_demo.data fetch') or --refcoco.")
    weights = [weight for weight, _ in sources]

    def draw(rng: random.Random) -> list[Turn]:
        while not (turns := rng.choices(sources, weights)[0][1](rng)):
            continue
        return turns

    return draw


def _dialogues(offers: Sequence[Offer], assets: Path) -> Source:
    library = CutoutLibrary(assets, read_catalogue(assets))
    draw_scene, labels = scene_source(BuildOptions(1, assets=assets))

    def planned(rng: random.Random) -> PlannedScene:
        while not (isinstance(scene := draw_scene(rng), PlannedScene) and scene.plan):
            continue
        return scene

    def draw(rng: random.Random) -> list[Turn] | None:
        dialogue = write_dialogue(rng, planned, labels, rng.choice(TURNS))
        if any(seen.kind == MediaKind.VIDEO and not seen.made for seen in dialogue.seen.values()):
            return None
        return _rendered(rng, _with_pictures(dialogue, library), offers)

    return draw


def _with_pictures(dialogue: Dialogue, library: CutoutLibrary) -> Callable[[MediaStore], Conversation]:
    """The dialogue up to the first answer that makes a picture or video, with the uploaded pictures composed into a store."""

    def compose(store: MediaStore) -> Conversation:
        kept: list[Message] = []
        for message in dialogue.conversation.messages:
            made = message.role == "assistant" and any(
                isinstance(part, MediaPart) and part.artefact.kind in _MADE for part in message.parts
            )
            parts = [part for part in message.parts if not (made and isinstance(part, MediaPart))]
            for number, part in enumerate(parts):
                if isinstance(part, MediaPart) and part.artefact.kind == MediaKind.IMAGE:
                    scene = dialogue.seen[part.artefact.id].scene
                    assert isinstance(scene, PlannedScene) and scene.plan
                    parts[number] = MediaPart(store.add_image(render_plan(scene.plan, library).image, part.artefact.id))
            kept.append(replace(message, parts=tuple(parts)))
            if made:
                break
        return Conversation(tuple(kept))

    return compose


def _referring(offers: Sequence[Offer], folder: Path, photos: Path | None) -> Source:
    examples = [example for example in read_refcoco(folder, Complaints(), photos) if example.split == "train"]
    if not examples:
        raise MediaError(f"{folder} has no training examples whose photos are there; name their folder with --photos.")

    def draw(rng: random.Random) -> list[Turn] | None:
        example = rng.choice(examples)
        return _rendered(rng, lambda store: _asked(rng, example, store), offers)

    return draw


def _asked(rng: random.Random, example: ReferringExample, store: MediaStore) -> Conversation:
    expression, wish = rng.choice(example.expressions), rng.randrange(len(_WISHES))
    picture = store.add_image(open_image(example.picture), "img-1")
    region = RegionPart(expression, (example.box,), (), "img-1")
    called = TaskCall(0, Task.IMAGE_SEGMENTATION.value, expression, ("img-1",), (region,))
    answer = (TextPart("Here is its mask. "), called) if wish < _CALLED else (TextPart("Here is "), region, TextPart("."))
    asked = Message("user", (MediaPart(picture), TextPart(_WISHES[wish].format(e=expression))))
    return Conversation((asked, Message("assistant", answer)))


def _rendered(rng: random.Random, make: Callable[[MediaStore], Conversation], offers: Sequence[Offer]) -> list[Turn] | None:
    """The conversation as the model reads it, with some of the tasks on offer, always with those it calls (but for a refusal).

    None when the served model could not write one of its answers.
    """
    with tempfile.TemporaryDirectory(prefix="unified_demo-") as folder:
        conversation = make(MediaStore(folder))
        last = {part.task for part in conversation.messages[-1].parts if isinstance(part, TaskCall)}
        before = {part.task for message in conversation.messages[:-1] for part in message.parts if isinstance(part, TaskCall)}
        refused = last - before if rng.random() < REFUSED else set()
        if refused:
            titles = " and ".join(offer.title for offer in offers if offer.tag in refused)
            sorry = Message("assistant", (TextPart(f"I cannot do that here: {titles} is not among my tools."),))
            conversation = Conversation((*conversation.messages[:-1], sorry))
        share = rng.choice((1.0, 1.0, 0.7, 0.4))
        told = [offer for offer in offers if offer.tag not in refused and (offer.tag in before | last or rng.random() < share)]
        return render_turns(conversation, told) if _decodable(conversation, told) else None


def _decodable(conversation: Conversation, told: Sequence[Offer]) -> bool:
    """The rules that hold while the served model decodes allow each answer; they know no reference to what is yet to be made."""
    for number, message in enumerate(conversation.messages):
        if message.role == "assistant":
            before = Conversation(conversation.messages[:number])
            place = SurfaceRules(told, tuple(before.artefacts()), NATIVE_GRID).advance(Place(), surface(message, NATIVE_GRID))
            if place is None or not place.may_end:
                return False
    return True
