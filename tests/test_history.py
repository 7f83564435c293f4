"""Kept conversations: owners, search, deletion with files, exports that come back, damage that is named."""

import json
import zipfile
from pathlib import Path

import pytest
from PIL import Image

from unified_demo.errors import UnifiedError
from unified_demo.grammar import Box, MediaKind
from unified_demo.history import INDEX, History
from unified_demo.media import MediaStore
from unified_demo.messages import (
    Artefact,
    CallDone,
    CallFailed,
    CallProgress,
    CallStarted,
    Event,
    MediaPart,
    Message,
    RegionFound,
    RegionPart,
    Stroke,
    TaskCall,
    TextDelta,
    TextPart,
    TurnDone,
)
from unified_demo.transcript import event_records, message_record, read_events, read_message
from unified_demo.ui.keeping import read_body, restore_visit, visit_body, visit_title, visit_words
from unified_demo.ui.visit import Visit

BOX = Box(0.1, 0.2, 0.5, 0.9)


@pytest.fixture
def store(tmp_path: Path) -> MediaStore:
    return MediaStore(tmp_path / "media")


@pytest.fixture
def history(tmp_path: Path, store: MediaStore) -> History:
    return History(tmp_path / "kept.sqlite", store.root)


def picture(store: MediaStore, colour: str = "red", key: str = "img-1") -> Artefact:
    return store.add_image(Image.new("RGB", (40, 30), colour), key, recipe={"prompt": "x"})


def visited(store: MediaStore) -> Visit:
    """A question with a marked picture, an answer with a region, a call that failed and was carried out again."""
    shown = picture(store)
    visit = Visit()
    turn = visit.begin(Message("user", (MediaPart(shown), TextPart("what is "), RegionPart("this", (BOX,), artefact_id="img-1"))))
    call = TaskCall(0, "gen", "a fox")
    events: list[Event] = [
        TextDelta("A "), TextDelta("do", 0), TextDelta("g", 0), RegionFound(0, "dog", BOX, artefact_id="img-1"), CallStarted(0, "gen"),
        call, CallProgress(0, 1, 2), CallFailed(0, 0.5, "The brush is dry."),
        TurnDone(Message("assistant", (TextPart("A "), RegionPart("dog", (BOX,), (), "img-1"), call)), "raw", {"total_s": 1.0}),
    ]  # fmt: skip
    for event in events:
        turn.view.apply(event)
    visit.settle(turn)
    visit.begin_again(0, 0)
    visit.answers[0].apply_again(CallDone(0, 0.7, (picture(store, "blue", "img-2"),), {"seed": 3}))
    visit.settle_again()
    assert visit.judge(0, False)
    return visit


def test_a_visit_comes_back_as_it_was(store: MediaStore) -> None:
    visit, back = visited(store), Visit()
    restore_visit(back, "key", json.loads(json.dumps(visit_body(visit))), store.root)
    assert back.conversation == visit.conversation
    assert visit_body(back) == visit_body(visit)
    old, new = visit.answers[0], back.answers[0]
    assert (new.runs, new.phrases, new.state, new.timings, new.raw) == (old.runs, old.phrases, old.state, old.timings, old.raw)
    assert (new.steps[0].status, new.steps[0].artefacts, new.objects) == ("done", old.steps[0].artefacts, old.objects)
    assert new.liked is False
    assert visit_title(back) == "what is this"
    assert visit_words(back) == "what is this\nA dog"


def test_what_was_painted_comes_back_and_what_is_no_stroke_is_refused(tmp_path: Path) -> None:
    stroke = Stroke(((0.25, 0.5), (0.75, 0.5)), 0.125)
    message = Message("user", (RegionPart("this", (BOX,), artefact_id="img-1", strokes=(stroke,)),))
    record = json.loads(json.dumps(message_record(message)))
    assert read_message(record, tmp_path) == message
    for points in ([], [[0.5, 2]], [["a", 0]], [[0.5]]):
        record["parts"][0]["strokes"][0]["points"] = points
        with pytest.raises(UnifiedError, match="damaged"):
            read_message(record, tmp_path)
    del record["parts"][0]["strokes"]
    assert read_message(record, tmp_path).parts == (RegionPart("this", (BOX,), artefact_id="img-1"),), "as before there was paint"


def test_stopped_and_failed_answers_come_back_as_they_were(store: MediaStore) -> None:
    visit = Visit()
    turn = visit.begin(Message("user", (TextPart("one"),)))
    turn.view.apply(TextDelta("half"))
    visit.settle(turn)
    turn = visit.begin(Message("user", (TextPart("two"),)))
    turn.view.fail("The weights are missing.")
    visit.settle(turn)
    conversation, answers = read_body(visit_body(visit), store.root)
    assert conversation == visit.conversation
    assert [(view.state, view.error) for view in answers] == [("stopped", ""), ("failed", "The weights are missing.")]


def test_no_folder_of_the_server_is_told(store: MediaStore) -> None:
    assert str(store.root) not in json.dumps(visit_body(visited(store)))


@pytest.mark.parametrize("name", ["../../secret.png", "a.png", "/etc/passwd", "0" * 64 + ".png/..", "0" * 64 + ".html", 7])
def test_a_file_name_that_no_store_gives_is_refused(tmp_path: Path, name: object) -> None:
    record = message_record(Message("user", (MediaPart(Artefact("img-1", MediaKind.IMAGE, tmp_path / ("0" * 64 + ".png"))),)))
    assert read_message(record, tmp_path).parts
    record["parts"][0]["artefact"]["path"] = name
    with pytest.raises(UnifiedError, match="damaged"):
        read_message(record, tmp_path)


@pytest.mark.parametrize(
    "body",
    [None, {}, {"messages": 1}, {"messages": [3]}, {"messages": [{"answer": {}}]},
     {"messages": [{"question": {"role": "user", "parts": [1]}}]},
     {"messages": [{"answer": {"state": "done", "error": "", "events": [{"is": "Popen"}]}}]},
     {"messages": [{"answer": {"state": "done", "error": "", "events": [{"is": "TextDelta", "text": ["x"]}]}}]}],
)  # fmt: skip
def test_damage_is_named(body: object, tmp_path: Path) -> None:
    with pytest.raises(UnifiedError, match="damaged"):
        read_body(body, tmp_path)


def test_regions_outside_of_pictures_are_refused(tmp_path: Path) -> None:
    (row,) = event_records([RegionFound(0, "x", BOX)])
    row["box"]["x1"] = 7
    with pytest.raises(UnifiedError, match="damaged"):
        read_events([row], tmp_path)


def test_nobody_reads_renames_deletes_or_overwrites_what_is_another_s(history: History) -> None:
    history.save("ann", "k1", "mine", "words", {"messages": []})
    assert history.entries("ben") == []
    with pytest.raises(UnifiedError, match="gone"):
        history.load("ben", "k1")
    history.rename("ben", "k1", "stolen")
    history.delete("ben", "k1")
    with pytest.raises(UnifiedError, match="somebody else"):
        history.save("ben", "k1", "x", "x", {})
    assert [entry.title for entry in history.entries("ann")] == ["mine"]


def test_list_search_and_rename(history: History) -> None:
    history.save("ann", "k1", "Foxes", "a red fox", {})
    history.save("ann", "k2", "Hens", "50% of hens", {})
    assert [entry.id for entry in history.entries("ann")] == ["k2", "k1"]
    assert [entry.id for entry in history.entries("ann", "RED")] == ["k1"]
    assert [entry.id for entry in history.entries("ann", "50%")] == ["k2"]
    assert history.entries("ann", "_") == []
    history.rename("ann", "k1", "  Old   foxes ")
    history.rename("ann", "k2", " ")
    history.save("ann", "k1", "another title", "more words", {"n": 2})
    assert [entry.title for entry in history.entries("ann")] == ["Old foxes", "Hens"]
    assert history.load("ann", "k1") == {"n": 2}


def test_it_survives_a_restart_with_its_secret(tmp_path: Path, history: History, store: MediaStore) -> None:
    history.save("ann", "k1", "mine", "", visit_body(visited(store)))
    again = History(tmp_path / "kept.sqlite", store.root)
    assert again.secret == history.secret and len(again.secret) == 32
    assert read_body(again.load("ann", "k1"), store.root)[0].messages


def test_deleting_removes_files_that_nobody_else_names(history: History, store: MediaStore) -> None:
    shared, own = picture(store), picture(store, "green")
    history.save("ann", "k1", "", "", message_record(Message("user", (MediaPart(shared), MediaPart(own)))))
    history.save("ben", "k2", "", "", message_record(Message("user", (MediaPart(shared),))))
    history.delete("ann", "k1")
    assert shared.path.is_file() and not own.path.exists()


def test_an_export_comes_back_elsewhere(tmp_path: Path, history: History, store: MediaStore) -> None:
    history.save("ann", "k1", "mine", "words", visit_body(visited(store)))
    history.save("ben", "k2", "not hers", "", {})
    (tmp_path / "out.zip").write_bytes(history.export("ann"))
    other = MediaStore(tmp_path / "elsewhere")
    rows = History(tmp_path / "other.sqlite", other.root).read_export(tmp_path / "out.zip")
    assert [row["title"] for row in rows] == ["mine"]
    conversation, _ = read_body(rows[0]["body"], other.root)
    assert all(artefact.path.is_file() for artefact in conversation.artefacts().values())


def test_what_is_no_export_is_refused(tmp_path: Path, history: History, store: MediaStore) -> None:
    (tmp_path / "text.zip").write_text("no zip")
    with pytest.raises(UnifiedError, match="no export"):
        history.read_export(tmp_path / "text.zip")
    name = "0" * 64 + ".png"
    body = message_record(Message("user", (MediaPart(Artefact("img-1", MediaKind.IMAGE, store.root / name)),)))
    with zipfile.ZipFile(tmp_path / "forged.zip", "w") as archive:
        archive.writestr(INDEX, json.dumps({"version": 1, "conversations": [{"title": "", "words": "", "body": body}]}))
        archive.writestr(f"media/{name}", "something else")
    with pytest.raises(UnifiedError, match="not what its name says"):
        history.read_export(tmp_path / "forged.zip")
    assert not (store.root / name).exists()
