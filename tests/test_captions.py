"""Captions as training writes them: groups with their numbers, shirts of people, everyday names of photos."""

import random

import numpy as np
import pytest

from unified_demo.data.captions import NOTHING, caption
from unified_demo.data.scenes import Scene
from unified_demo.grammar import Box
from unified_demo.messages import RegionPart, TextPart
from unified_demo.regions import COLOURS, PARTS, Region, with_whole_picture

BOXES = [Box(0.1 * place, 0.1, 0.08 + 0.1 * place, 0.9 - 0.05 * place) for place in range(9)]
GREY = np.full((PARTS, len(COLOURS)), 1 / len(COLOURS), np.float32)


def coloured(colour: str) -> np.ndarray:
    colours = GREY.copy()
    colours[2] = np.eye(len(COLOURS), dtype=np.float32)[COLOURS.index(colour)]
    return colours


def scene(*labels: str, colours: np.ndarray = GREY, score: float = 0.9, **more) -> Scene:
    regions = [Region(label, score, box, colours) for label, box in zip(labels, BOXES, strict=False)]
    return Scene(tuple(with_whole_picture(regions, GREY, None)), tuple(range(1, len(labels) + 1)), **more)


def said(given: Scene) -> str:
    """The caption's words; ``random.Random(1)`` begins with a relation where there is one."""
    parts = caption(
        given, lambda phrase, targets: RegionPart(phrase, tuple(given.regions[index].box for index in targets)), random.Random(1)
    )
    assert all(part.boxes for part in parts if isinstance(part, RegionPart))
    return "".join(part.text if isinstance(part, TextPart) else part.phrase for part in parts if isinstance(part, TextPart | RegionPart))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (scene("dog"), "A dog."),
        (scene("dog", "cat", "cat"), "A dog and two cats."),
        (scene(*["dog"] * 4), "Four dogs."),
        (scene(*["dog"] * 5), "A group of dogs."),
        (scene("person", colours=coloured("red")), "A person in a red shirt."),
        (scene("person", "person", colours=coloured("red")), "Two people."),
        (scene("person", "horse", colours=coloured("orange"), links=((1, "riding", 2),)), "A person in an orange shirt riding a horse."),
        (scene("person", "horse", "person", links=((1, "riding", 2),)), "A person riding a horse and another person."),
        (scene("cat", names={1: "starfish"}), "A starfish."),
        (scene("apple", names={1: "golden delicious"}), "An apple."),
        (scene("apple", score=0.1, names={1: "golden delicious"}), "A golden delicious."),
        (scene(names={0: "starfish"}), "A starfish."),
        (scene(), NOTHING),
    ],
)
def test_a_caption(given: Scene, sentence: str):
    assert said(given) == sentence
