"""What a visitor sends: text limits, several files of which some are bad, ids, and the complaints."""

from pathlib import Path

import pytest
from PIL import Image

from unified_demo.config import Limits
from unified_demo.grammar import Box, MediaKind
from unified_demo.intake import NOTHING_SENT, place_marks, user_message
from unified_demo.media import MediaStore
from unified_demo.messages import Conversation, MediaPart, Message, Part, RegionPart, TextPart

EMPTY = Conversation()


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    Image.new("RGB", (40, 30), "red").save(tmp_path / "good.png")
    Image.new("RGB", (30, 40), "blue").save(tmp_path / "other.png")
    (tmp_path / "broken.jpg").write_bytes(b"\xff\xd8\xff\xe0 not really")
    (tmp_path / "notes.png").write_text("a text with a wrong extension")
    return {path.stem: path for path in tmp_path.iterdir() if path.is_file()}


def sent(message: Message | None) -> list[str]:
    assert message is not None
    return [
        part.artefact.id if isinstance(part, MediaPart) else part.text for part in message.parts if isinstance(part, MediaPart | TextPart)
    ]


def test_pictures_come_before_the_text(store: MediaStore, files: dict[str, Path]) -> None:
    message, complaints = user_message(" what is it? ", [files["good"], files["other"]], EMPTY, store, Limits())
    assert sent(message) == ["img-1", "img-2", "what is it?"] and complaints == []


def test_ids_go_on_in_a_conversation(store: MediaStore, files: dict[str, Path]) -> None:
    first, _ = user_message("a", [files["good"]], EMPTY, store, Limits())
    assert first is not None
    second, _ = user_message("b", [files["good"]], EMPTY.with_message(first), store, Limits())
    assert sent(second) == ["img-2", "b"]
    assert EMPTY.with_message(first).next_id(MediaKind.MASK) == "mask-1"


def test_one_bad_file_does_not_lose_the_others(store: MediaStore, files: dict[str, Path]) -> None:
    chosen = [files["broken"], files["good"], files["notes"], files["other"]]
    message, complaints = user_message("look", chosen, EMPTY, store, Limits())
    assert sent(message) == ["img-1", "img-2", "look"]
    assert [complaint.split(":")[0] for complaint in complaints] == ["broken.jpg", "notes.png"]
    assert all("Traceback" not in complaint and len(complaint) > 20 for complaint in complaints)


def test_only_bad_files_leave_nothing_to_answer(store: MediaStore, files: dict[str, Path], tmp_path: Path) -> None:
    message, complaints = user_message("segment the dog", [files["broken"], tmp_path / "missing.png"], EMPTY, store, Limits())
    assert message is None and len(complaints) == 2


def test_nothing_sent(store: MediaStore) -> None:
    assert user_message(" \n", [], EMPTY, store, Limits()) == (None, [NOTHING_SENT])


def test_a_picture_alone_is_a_message(store: MediaStore, files: dict[str, Path]) -> None:
    message, complaints = user_message("", [files["good"]], EMPTY, store, Limits())
    assert sent(message) == ["img-1"] and not complaints


@pytest.mark.parametrize(("length", "accepted"), [(10_000, True), (10_001, False)])
def test_text_limit(store: MediaStore, length: int, accepted: bool) -> None:
    message, complaints = user_message("x" * length, [], EMPTY, store, Limits())
    assert (message is not None) == accepted == (not complaints)
    assert accepted or "10,000" in complaints[0]


def test_too_many_files(store: MediaStore, files: dict[str, Path]) -> None:
    message, complaints = user_message("look", [files["good"]] * 5, EMPTY, store, Limits(files=2))
    assert sent(message) == ["img-1", "img-2", "look"]
    assert len(complaints) == 1 and "5" in complaints[0] and "2" in complaints[0]


def test_tags_typed_by_a_visitor_stay_text(store: MediaStore) -> None:
    message, _ = user_message("<seg>the dog</seg>", [], EMPTY, store, Limits())
    assert message is not None and message.parts == (TextPart("<seg>the dog</seg>"),)


def attached(store: MediaStore, files: dict[str, Path], count: int = 1) -> Conversation:
    message, _ = user_message("look", [files["good"]] * count, EMPTY, store, Limits())
    assert message is not None
    return Conversation((message,))


def test_media_that_come_back_with_an_edited_message_are_not_stored_anew(store: MediaStore, files: dict[str, Path]) -> None:
    (artefact,) = attached(store, files).artefacts().values()
    message, _ = user_message("again", [artefact.path], EMPTY, store, Limits(), [marked()], {artefact.path.name: artefact})
    assert message is not None and message.parts[0] == MediaPart(artefact)
    assert isinstance(message.parts[-1], RegionPart)
    dropped, _ = user_message("again", [], EMPTY, store, Limits(), [marked()])
    assert dropped is not None and dropped.parts == (TextPart("again"),)


def marked(artefact_id: str = "img-1") -> RegionPart:
    return RegionPart("", (Box(0.1, 0.1, 0.5, 0.5),), artefact_id=artefact_id)


def said(parts: tuple[Part, ...]) -> str:
    return "".join(part.text if isinstance(part, TextPart) else f"[{part.phrase}@{part.artefact_id}]" for part in parts)


@pytest.mark.parametrize(
    ("text", "spelt"),
    [
        ("what is this?", "what is [this@img-1]?"),
        ("is it warm in this area?", "is it warm in [this area@img-1]?"),
        ("make it blue", "make [it@img-1] blue"),
        ("这是什么", "[这@img-1]是什么"),
        ("describe", "describe [this@img-1]"),
        ("", "[this@img-1]"),
        ("a thistle with italics", "a thistle with italics [this@img-1]"),
    ],
)
def test_a_mark_takes_the_place_of_the_word_that_points(text: str, spelt: str) -> None:
    assert said(place_marks(text, [marked()])) == spelt


def test_several_marks_go_in_order_and_what_is_left_over_to_the_end() -> None:
    marks = [marked("img-1"), marked("img-2"), marked("img-3")]
    assert said(place_marks("put that on this", marks)) == "put [that@img-1] on [this@img-2] [this@img-3]"


def test_a_whole_artefact_is_named_by_its_id(store: MediaStore, files: dict[str, Path]) -> None:
    message, _ = user_message("make it blue", [], attached(store, files, 2), store, Limits(), [RegionPart("", artefact_id="img-2")])
    assert message is not None and message.parts == (TextPart("make it blue (I mean img-2)"),)


def test_a_mark_alone_is_a_message_and_an_artefact_alone_is_not(store: MediaStore, files: dict[str, Path]) -> None:
    message, _ = user_message("", [], attached(store, files), store, Limits(), [marked()])
    assert message is not None and said(message.parts) == "[this@img-1]"
    assert user_message("", [], EMPTY, store, Limits(), [RegionPart("", artefact_id="img-2")]) == (None, [NOTHING_SENT])
