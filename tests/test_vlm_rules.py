"""Rules of the surface form, letter by letter: what they let through is what the parser understands without a warning."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unified_demo.grammar import TASKS, MediaKind
from unified_demo.messages import GrammarWarning, TaskCall
from unified_demo.model.vlm_rules import Offer, Place, SurfaceRules, next_letters
from unified_demo.parser import StreamParser

OFFERS = [Offer(spec.tag, spec.title, spec.description, spec.needs, spec.needs_box) for spec in TASKS.values()]
BOX = "<box>[1,2,30,1000]</box>"


def rules(*references: str, offers: list[Offer] = OFFERS, grid: int = 1000) -> SurfaceRules:
    return SurfaceRules(offers, references, grid)


def accepts(text: str, *references: str, offers: list[Offer] = OFFERS) -> bool:
    place = rules(*references, offers=offers).advance(Place(), text)
    return place is not None and place.may_end


@pytest.mark.parametrize(
    "text",
    [
        "Plain words, 3 < 4 and an <u>odd</u> one.",
        f"Here is <p>the dog</p>{BOX}{BOX} and so on.",
        f"<p>the dog</p><ref>img-2</ref>{BOX}",
        f"<seg><ref>img-1</ref>the dog{BOX}</seg>",
        f"<vseg><ref>vid-1</ref>the dog{BOX}<time>[0,500]</time></vseg>",
        "<gen>a fox in the snow</gen> <gen>another</gen>",
        f"<layout>a still life <p>an apple</p>{BOX} beside <p>pears</p>{BOX}{BOX}</layout>",
        f"<layout><p>an apple</p>{BOX}</layout>",
        "<edit><ref>img-2</ref>make it night</edit>",
        f"<redit><ref>img-1</ref>replace it{BOX}</redit>",
        "<agen>rain, 5 seconds</agen>",
        "<p>she speaks</p><time>[100,300]</time>",
    ],
)
def test_what_may_be_written(text: str) -> None:
    assert accepts(text, "img-1", "img-2", "vid-1")


@pytest.mark.parametrize(
    "text",
    [
        "<p>the dog</p> and no box",
        "<p></p>",
        "<p> !</p>",
        f"<p>two\nlines</p>{BOX}",
        BOX,
        f"word {BOX}",
        "</seg>",
        "<ref>img-1</ref>",
        f"<seg>the dog{BOX}</seg>",
        "<seg><ref>img-1</ref>the dog</seg>",
        f"<seg><ref>img-7</ref>the dog{BOX}</seg>",
        f"<seg><ref>vid-1</ref>the dog{BOX}</seg>",
        f"<seg><ref>img-1</ref>the <b>dog{BOX}</seg>",
        "<gen></gen>",
        f"<gen>a fox{BOX}</gen>",
        "<layout>a still life</layout>",
        f"<layout>apple{BOX}</layout>",
        "<layout><p>apple</p></layout>",
        "<seg><ref>img-1</ref>dog<box>[10,10,5,20]</box></seg>",
        "<seg><ref>img-1</ref>dog<box>[1,1,1001,20]</box></seg>",
        "<gen>open",
        "<gen",
    ],
)
def test_what_may_not_be_written(text: str) -> None:
    assert not accepts(text, "img-1", "img-2", "vid-1")


def test_a_task_without_its_medium_or_not_on_offer_cannot_begin() -> None:
    assert rules().advance(Place(), "<se") is None and rules().advance(Place(), "<p>") is None
    assert rules("img-1", offers=OFFERS[1:2]).advance(Place(), "<g") is None
    assert rules("img-1").advance(Place(), "<seg>") is not None


def test_what_is_only_heard_has_moments_and_no_boxes() -> None:
    assert accepts("<p>a bark</p><time>[0,500]</time>", "aud-1") and not accepts(f"<p>a bark</p>{BOX}", "aud-1")
    assert not accepts("<p>the dog</p><time>[0,500]</time>", "img-1")


def test_a_plugin_task_is_known_by_its_offer_alone() -> None:
    speak = Offer("speak", "speech", "say something aloud")
    assert accepts("<speak>hello</speak>", offers=[speak]) and not accepts("<speak></speak>", offers=[speak])
    hear = Offer("hear", "hearing", "write down what is said", (MediaKind.AUDIO,))
    assert accepts("<hear><ref>aud-1</ref>all of it</hear>", "aud-1", offers=[hear])


@given(st.integers(1, 2000), st.sampled_from([2, 4]), st.randoms(use_true_random=False))
def test_numbers_are_in_order_whatever_is_chosen(grid: int, numbers: int, chooser: random.Random) -> None:
    written = ""
    while follow := sorted(next_letters(written, grid, numbers)):
        written += chooser.choice(follow)
    values = [int(value) for value in written.strip("[]").split(",")]
    half = numbers // 2
    assert len(values) == numbers and all(0 <= a < b <= grid for a, b in zip(values[:half], values[half:], strict=True))


ALPHABET = [*"<>/[],0123456789 ab\n", "<p>", "</p>", "<box>[", "</box>", *(f"<{offer.tag}>" for offer in OFFERS), "</", "<ref>", "img-1"]


@pytest.mark.parametrize("seed", range(40))
def test_whatever_the_rules_let_through_the_parser_takes_without_a_warning(seed: int) -> None:
    chooser = random.Random(seed)
    known = ["img-1", "vid-1", "aud-1"]
    judge, place, text = rules(*known, grid=999), Place(), ""
    while len(text) < 300 or not place.may_end:
        pieces = [*chooser.sample(ALPHABET, len(ALPHABET)), *"abcdefghijklmnopqrstuvwxyz-<>/0123456789[],"]
        if len(text) > 300:
            pieces.sort(key=lambda piece: not piece.startswith("</"))
        piece = next(piece for piece in pieces if judge.advance(place, piece) is not None)
        place, text = judge.advance(place, piece) or place, text + piece
        assert len(text) < 20_000
    parser = StreamParser()
    events = [*parser.feed(text), *parser.close()]
    assert not [event for event in events if isinstance(event, GrammarWarning)], text
    assert all(call.prompt or call.regions for call in events if isinstance(call, TaskCall))
