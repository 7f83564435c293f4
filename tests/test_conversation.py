"""The one renderer: turns, loss, escaping, and how regions, references and calls are laid out as pieces."""

from pathlib import Path

import pytest

from unified_demo.conversation import NO_PICTURE, SYSTEM_TEXT, Coordinates, Picture, Piece, Tag, Text, render_conversation
from unified_demo.grammar import TAGS, Box, MediaKind, Task, TimeSpan, close_tag, open_tag
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart

PICTURE = Artefact("img-1", MediaKind.IMAGE, Path("nowhere.png"))
MASK = Artefact("mask-1", MediaKind.MASK, Path("nowhere.png"), of="img-1")
BOX, OTHER = Box(0.1, 0.2, 0.3, 0.4), Box(0.5, 0.5, 0.6, 0.6)


def user(*parts: Part) -> Message:
    return Message("user", parts)


def assistant(*parts: Part) -> Message:
    return Message("assistant", parts)


def render(*messages: Message, add_answer_start: bool = False) -> list[Piece]:
    return render_conversation(Conversation(messages), add_answer_start)


def spelt(pieces: list[Piece]) -> str:
    """Pieces as one readable line: a picture is {img-1}, a box {box}."""
    words = {Picture: lambda p: f"{{{p.artefact_id}}}", Coordinates: lambda _: "{box}", Tag: lambda p: p.token, Text: lambda p: p.text}
    return "".join(words[type(piece)](piece) for piece in pieces)


def learnt(pieces: list[Piece]) -> str:
    return spelt([piece for piece in pieces if getattr(piece, "loss", False)])


def body(part: Part) -> list[Piece]:
    """The pieces of one part of an answer, without the turn around it."""
    pieces = render(user(MediaPart(PICTURE)), assistant(part))
    start = next(place for place, piece in enumerate(pieces) if piece == Text("<|im_start|>assistant\n", trusted=True))
    return pieces[start + 1 : -2]


def test_roles_and_turns() -> None:
    pieces = render(user(MediaPart(PICTURE), TextPart("hello")), assistant(TextPart("hi")), user(TextPart("more")))
    assert spelt(pieces) == (
        "<|im_start|>user\n<ref>img-1</ref>{img-1}hello<|im_end|>\n<|im_start|>assistant\nhi<|im_end|>\n<|im_start|>user\nmore<|im_end|>\n"
    )


def test_the_answer_is_opened_for_chat_and_not_for_training() -> None:
    asked = user(TextPart("hello"))
    opened, closed = render(asked, add_answer_start=True), render(asked)
    assert opened[:-1] == closed
    assert opened[-1] == Text("<|im_start|>assistant\n", trusted=True)


def test_the_system_text_stands_only_where_no_media_are() -> None:
    assert SYSTEM_TEXT in spelt(render(user(TextPart("hello"))))
    assert SYSTEM_TEXT not in spelt(render(user(MediaPart(PICTURE), TextPart("hello"))))
    assert "system" not in spelt(render(user(TextPart("hello")), assistant(TextPart("hi")), user(MediaPart(PICTURE))))


def test_the_loss_lies_on_what_the_assistant_says() -> None:
    region = RegionPart("the dog", (BOX,), artefact_id="img-1")
    call = TaskCall(0, Task.IMAGE_SEGMENTATION, "the dog", ("img-1",), (region,))
    pieces = render(
        user(MediaPart(PICTURE), TextPart("segment the dog"), region),
        assistant(TextPart("Here is "), region, call),
        user(TextPart("thanks")),
    )
    expected = "Here is <p> the dog</p><box>{box}</box><seg><ref>img-1</ref> the dog<box>{box}</box></seg><|im_end|>"
    assert learnt(pieces) == expected


def test_media_in_an_answer_are_shown_but_not_learnt() -> None:
    pieces = render(user(TextPart("draw")), assistant(TextPart("Done."), MediaPart(PICTURE)))
    assert learnt(pieces) == "Done.<|im_end|>"
    assert Picture("img-1") in pieces


def test_masks_are_not_shown_to_the_model() -> None:
    pieces = render(user(MediaPart(PICTURE), TextPart("segment")), assistant(TextPart("Done."), MediaPart(MASK)))
    assert "mask-1" not in spelt(pieces)


def test_only_turn_marks_are_trusted() -> None:
    pieces = render(user(MediaPart(PICTURE), TextPart("hello")), assistant(TextPart("hi"), RegionPart("it", (BOX,))), add_answer_start=True)
    trusted = {piece.text for piece in pieces if isinstance(piece, Text) and piece.trusted}
    assert trusted == {"<|im_start|>user\n", "<|im_start|>assistant\n", "<|im_end|>", "\n"}


@pytest.mark.parametrize("tag", TAGS)
@pytest.mark.parametrize("role", ["user", "assistant"])
def test_tags_in_words_are_escaped(tag: str, role: str) -> None:
    hostile = f"a {open_tag(tag)}b{close_tag(tag)}"
    parts = (
        TextPart(hostile),
        RegionPart(hostile, (BOX,)),
        TaskCall(0, "seg", hostile),
        TaskCall(1, "seg", "", (), (RegionPart(hostile, (BOX,)),)),
    )
    pieces = render(Message(role, parts))  # type: ignore[arg-type]
    words = [piece.text for piece in pieces if isinstance(piece, Text) and not piece.trusted]
    assert sum(f"‹{tag}›b‹/{tag}›" in text for text in words) == 4
    assert not [text for text in words if open_tag(tag) in text or close_tag(tag) in text]


def test_other_angle_brackets_stay() -> None:
    assert "if a < b then <b>bold</b>" in spelt(render(user(TextPart("if a < b then <b>bold</b>"))))


# ---- spelling of parts ----


def test_a_region_is_a_phrase_and_its_boxes() -> None:
    pieces = body(RegionPart("two dogs", (BOX, OTHER), artefact_id="img-1"))
    assert spelt(pieces) == "<p> two dogs</p><box>{box}</box><box>{box}</box>"
    assert [piece for piece in pieces if isinstance(piece, Coordinates)] == [
        Coordinates(BOX, "img-1", True),
        Coordinates(OTHER, "img-1", True),
    ]


def test_a_span_of_time_is_spelt_in_digits() -> None:
    assert spelt(body(RegionPart("the jump", spans=(TimeSpan(0.25, 0.5),)))) == "<p> the jump</p><time>[250,500]</time>"


def test_a_call_with_regions_names_each_before_its_boxes() -> None:
    regions = (RegionPart("the dog", (BOX,)), RegionPart("the cat", (OTHER, BOX)))
    call = TaskCall(0, Task.IMAGE_SEGMENTATION, "ignored, the regions carry the words", ("img-1", "img-2"), regions)
    expected = "<seg><ref>img-1</ref><ref>img-2</ref> the dog<box>{box}</box> the cat<box>{box}</box><box>{box}</box></seg>"
    assert spelt(body(call)) == expected


def test_a_plan_marks_its_phrases_where_they_stand() -> None:
    regions = (RegionPart("two dogs", (BOX, OTHER)), RegionPart("a cat", (BOX,)))
    pieces = body(TaskCall(0, Task.LAYOUT_GENERATION, "two dogs, to the left of a cat at night", (), regions))
    assert spelt(pieces) == (
        "<layout><p> two dogs</p><box>{box}</box><box>{box}</box>, to the left of<p> a cat</p><box>{box}</box> at night</layout>"
    )
    assert {piece.artefact_id for piece in pieces if isinstance(piece, Coordinates)} == {NO_PICTURE}


def test_a_phrase_that_the_prompt_lacks_stands_before_the_rest_of_it() -> None:
    call = TaskCall(0, Task.LAYOUT_GENERATION, "a street", (), (RegionPart("a car", (BOX,)),))
    assert spelt(body(call)) == "<layout><p> a car</p><box>{box}</box> a street</layout>"


def test_a_call_without_regions_carries_its_prompt() -> None:
    assert spelt(body(TaskCall(0, Task.IMAGE_GENERATION, " a red kite "))) == "<gen> a red kite</gen>"


def test_words_in_tags_begin_with_one_space() -> None:
    assert spelt(body(RegionPart("  the dog ", (BOX,)))).startswith("<p> the dog</p>")


def test_only_the_named_answers_are_learnt() -> None:
    turns = Conversation((user(TextPart("a")), assistant(TextPart("one")), user(TextPart("b")), assistant(TextPart("two"))))
    assert learnt(render_conversation(turns, False, learn={3})) == "two<|im_end|>"
    assert learnt(render_conversation(turns, False, learn={0, 2})) == ""


def test_what_an_expert_returned_stands_behind_the_answer() -> None:
    """It was not there while the answer was written, and the answer ends where the model must end it."""
    call = TaskCall(0, Task.IMAGE_GENERATION, "a cat")
    pieces = render(user(TextPart("draw a cat")), assistant(call, MediaPart(PICTURE), TextPart("There.")))
    assert spelt(pieces).endswith("<gen> a cat</gen>There.<|im_end|><ref>img-1</ref>{img-1}\n")
    assert learnt(pieces) == "<gen> a cat</gen>There.<|im_end|>"
