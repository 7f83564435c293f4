"""What is trained on what: frozen recipes, each a stream of (scene, conversation) examples.

``grounding`` is the first recipe: scenes of regions alone, real photos as the detector saw them, and requests without a picture.
The loop knows nothing of this; numbers here are the only dials.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from unified_demo.data.dialogues import DialogueWriter, without_picture
from unified_demo.data.knowledge import knowledge
from unified_demo.data.scenes import Scene, draw_scene, read_pairs
from unified_demo.data.sights import Named, load_shards
from unified_demo.messages import Conversation
from unified_demo.regions import SURE, Sight, with_second_names, without_feature


@dataclass(frozen=True)
class Recipe:
    """Shares of the stream (the rest are scenes of regions alone) and turns per conversation."""

    sights: float = 0.35
    without_picture: float = 0.04
    drop_features: float = 0.3
    turns: tuple[int, int] = (4, 7)


GROUNDING = Recipe()


def stream(
    recipe: Recipe, sights_folder: Path | None, pairs_file: Path | None
) -> Callable[[random.Random], tuple[Scene | None, Conversation]]:
    """``draw(rng)`` for the loop. Without ``sights_folder`` all scenes are drawn; without ``pairs_file`` none come from NSR-1K."""
    labels = tuple(knowledge())
    pairs = read_pairs(pairs_file) if pairs_file else []
    seen = [scene_of_sight(sight, named) for sight, named in load_shards(sights_folder)] if sights_folder else []

    def draw(rng: random.Random) -> tuple[Scene | None, Conversation]:
        roll = rng.random()
        if roll < recipe.without_picture:
            return None, without_picture(rng, labels)
        if seen and roll < recipe.without_picture + recipe.sights:
            scene = rng.choice(seen)
            if rng.random() < recipe.drop_features:
                scene = replace(scene, regions=tuple(without_feature(region) for region in scene.regions), image=None, names={})
        else:
            scene = draw_scene(rng, labels, pairs)
        return scene, DialogueWriter(scene, labels, rng).write(rng.randint(*recipe.turns))

    return draw


def scene_of_sight(sight: Sight, named: list[Named]) -> Scene:
    """A real picture as a scene: sure detections are things, known class names go to the region that covers their photo."""
    sight = Sight(sight.image, tuple(with_second_names(sight.regions)))
    things = [index for index, region in enumerate(sight.regions) if index and region.score >= SURE]
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
