"""Messages that look back: an earlier picture is shown again, or what was done is told, from what stands in the conversation."""

import threading
from dataclasses import replace
from pathlib import Path

import pytest

from unified_demo.config import GenerationOptions, Settings
from unified_demo.grammar import TASKS, MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.looking_back import BEFORE, LONGEST, ORIGINAL, UNCHANGED, Return, account, going_back
from unified_demo.zoo import Zoo

PHOTO = Artefact("img-1", MediaKind.IMAGE, Path("assets/dog.jpg"))
SENT = Message("user", (MediaPart(PHOTO), TextPart("hi")))


def made(number: int, task: str, prompt: str, *refs: str) -> Message:
    return Message("assistant", (TaskCall(0, task, prompt, refs), MediaPart(replace(PHOTO, id=f"img-{number}"))))


CHANGED = (SENT, made(2, "redit", "remove the dog", "img-1"), made(3, "edit", "make it night", "img-2"))
DRAWN = (Message("user", (TextPart("draw a fox"),)), made(1, "gen", "a fox"))


def asking(message: str, *before: Message) -> Conversation:
    return Conversation((*before, Message("user", (TextPart(message),))))


@pytest.mark.parametrize(
    ("message", "key", "phrase"),
    [
        ("undo", "img-2", BEFORE),
        ("No, undo that please!", "img-2", BEFORE),
        ("can you undo the last change?", "img-2", BEFORE),
        ("take that back", "img-2", BEFORE),
        ("go back one step", "img-2", BEFORE),
        ("previous one please", "img-2", BEFORE),
        ("go back two steps", "img-1", BEFORE),
        ("put it back how it was", "img-2", BEFORE),
        ("like before", "img-2", BEFORE),
        ("撤销上一步", "img-2", BEFORE),
        ("bring it back", "img-2", BEFORE),
        ("bring the dog back", "img-1", BEFORE),
        ("please bring back the dog", "img-1", BEFORE),
        ("the original again please", "img-1", ORIGINAL),
        ("go back to my original photo", "img-1", ORIGINAL),
        ("undo everything", "img-1", ORIGINAL),
        ("start over", "img-1", ORIGINAL),
        ("恢复原图", "img-1", ORIGINAL),
    ],
)
def test_the_picture_that_a_message_goes_back_to(message: str, key: str, phrase: str) -> None:
    assert going_back(asking(message, *CHANGED)) == Return(key, phrase)
    assert going_back(asking(message)) is None, "there is no picture"


@pytest.mark.parametrize(
    "message",
    [
        "go back to the original and make it night", "undo the red and make it blue", "bring the cat back", "make it red", "",
        "back up a bit", "I took a step back", "what did you change?", "put a hat back", "original " * LONGEST,
    ],
)  # fmt: skip
def test_what_wishes_for_anything_else_goes_nowhere(message: str) -> None:
    assert going_back(asking(message, *CHANGED)) is None
    assert going_back(Conversation((*CHANGED, Message("user", (RegionPart("this", artefact_id="img-3"), TextPart("undo")))))) is None


def test_one_goes_back_step_by_step_until_nothing_was_changed() -> None:
    told = list(CHANGED)
    for key in ("img-2", "img-1"):
        assert going_back(asking("undo", *told)) == Return(key, BEFORE)
        told += [Message("user", (TextPart("undo"),)), Message("assistant", (TextPart("Here is "), RegionPart(BEFORE, artefact_id=key)))]
    assert going_back(asking("undo", *told)) == Return("img-1", UNCHANGED)
    assert going_back(asking("undo", *DRAWN)) == Return("img-1", UNCHANGED)
    assert going_back(asking("bring the fox back", *DRAWN)) is None
    told.append(made(4, "edit", "in the style of van Gogh", "img-1"))
    assert going_back(asking("undo", *told)) == Return("img-1", BEFORE)


def test_behind_a_video_there_is_no_picture_to_go_back_from() -> None:
    film = Artefact("vid-1", MediaKind.VIDEO, Path("film.mp4"))
    assert going_back(asking("undo", *CHANGED, Message("user", (MediaPart(film), TextPart("a film"))))) is None


def test_conversations_that_go_in_circles_come_to_an_end() -> None:
    circle = (
        made(1, "edit", "night", "img-2"),
        made(2, "edit", "day", "img-1"),
        made(1, "edit", "night", "img-2"),
        made(3, "edit", "", "img-3"),
    )
    for message in ("undo", "undo everything", "bring the dog back", "go back three steps"):
        going_back(asking(message, *circle))
    assert going_back(asking("undo everything", *circle[:3])) == Return("img-1", UNCHANGED)


@pytest.mark.parametrize("message", ["what did you change?", "What have you drawn there?", "so what did you just do to the dog"])
def test_what_was_done_is_told_in_the_words_of_the_calls(message: str) -> None:
    assert account(asking(message, *CHANGED)) == 'The last thing I did was image editing, "make it night".'
    assert account(asking(message, *DRAWN, Message("assistant", (TextPart("Thanks!"),)))).endswith('image generation, "a fox".')
    both = Message("assistant", (TaskCall(0, "gen", "a fox"), MediaPart(PHOTO), TaskCall(1, "redit", "", ("img-1",)), MediaPart(PHOTO)))
    assert account(asking(message, both)).endswith('was image generation, "a fox" and region editing.')
    assert account(asking(message, SENT)) == ""
    failed = Message("assistant", (TaskCall(0, "edit", "put it on a beach", ("img-3",)), TextPart("Sorry.")))
    assert account(asking(message, *CHANGED, failed)).endswith('"make it night".'), "what failed was not done"
    assert account(asking(message, SENT, failed)) == ""


@pytest.mark.parametrize(
    "message", ["what did you say?", "what do you do?", "what should I change?", "what did you change your mind about?"]
)
def test_other_questions_are_not_about_the_calls(message: str) -> None:
    assert account(asking(message, *CHANGED)) == ""


@pytest.mark.weights
def test_the_committed_model_shows_an_earlier_picture_and_goes_on_from_there() -> None:
    from unified_demo.model.tiny import load_multimodal_lm

    settings = Settings()
    model = load_multimodal_lm(settings, Zoo(settings.cache_dir, settings.weights_dir), tuple(TASKS.values())).model

    def said(conversation: Conversation) -> str:
        return "".join(model.generate(conversation, GenerationOptions(max_new_tokens=60), threading.Event()))

    undo = asking("undo that", *CHANGED)
    assert said(undo) == "Here is <p>the picture before that</p><ref>img-2</ref><box>[0,0,999,999]</box>."
    assert said(asking("undo", SENT)) == "Nothing was changed in <p>the picture</p><box>[0,0,999,999]</box>."
    shown = Message("assistant", (TextPart("Here is "), RegionPart(BEFORE, artefact_id="img-2"), TextPart(".")))
    assert "<edit><ref>img-2</ref>" in said(asking("make it black and white", *undo.messages, shown))
    assert said(asking("what did you change?", *CHANGED)) == 'The last thing I did was image editing, "make it night".'
    asked = Message("user", (MediaPart(PHOTO), TextPart("what is this?")))
    assert said(Conversation((asked,))).startswith("<p>A dog</p><box>"), "a bare question is one for what can be seen"
