"""Videos and sounds: written, read, recognised by content, refused with a sentence, kept by the store and by the engine."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unified_demo.assembly import load_engine
from unified_demo.config import Limits, Settings
from unified_demo.errors import MediaError
from unified_demo.fakes import FakeExpert, ScriptedModel, fake_spec
from unified_demo.grammar import MediaKind
from unified_demo.intake import user_message
from unified_demo.media import MediaStore, load_masklet, load_sound, load_video, poster_path, upload_kind
from unified_demo.messages import CallDone, Conversation, MediaPart
from unified_demo.recordings import (
    Sound,
    checked_sound,
    checked_video,
    frame_rate,
    frames_at,
    read_sound,
    read_video,
    sound_bytes,
    video_bytes,
)

RAMP = [np.full((34, 50, 3), 10 * index, np.uint8) for index in range(20)]
TONE = Sound(0.5 * np.sin(np.arange(8000, dtype=np.float32) / 6)[:, None], 16000)


@pytest.fixture
def video(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(video_bytes(RAMP, 8.0, "a comment"))
    return path


@pytest.fixture
def sound(tmp_path: Path) -> Path:
    path = tmp_path / "tone.flac"
    path.write_bytes(sound_bytes(TONE, "a comment"))
    return path


def written(path: Path, codec: str, rate: int = 10, rotation: int = 0, frames: int = 6) -> Path:
    """A video as some camera or browser writes it."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        stream.width, stream.height, stream.pix_fmt = 64, 32, "yuv420p"
        for index in range(frames):
            picture = np.zeros((32, 64, 3), np.uint8)
            picture[:, : 8 * (index + 1)] = 255
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode())
    return path


def test_a_video_round_trip(video: Path) -> None:
    back = read_video(video)
    assert back.frames.shape == (20, 34, 50, 3) and back.fps == 8 and back.duration_s == 2.5
    assert np.abs(back.frames.astype(int) - np.stack(RAMP).astype(int)).max() <= 4


def test_some_frames_are_taken_evenly_and_keep_the_length(video: Path) -> None:
    some = read_video(video, 5)
    assert len(some.frames) == 5 and some.duration_s == 2.5
    assert np.allclose(some.frames[:, 0, 0, 0], [0, 50, 100, 140, 190], atol=4)


def test_an_odd_size_is_made_even(tmp_path: Path) -> None:
    artefact = MediaStore(tmp_path).add_video([np.zeros((33, 51, 3), np.uint8)], 4.0, "vid-1")
    assert (artefact.width, artefact.height) == (52, 34) and load_video(artefact).frames.shape == (1, 34, 52, 3)


def test_a_faster_video_is_thinned(tmp_path: Path) -> None:
    path = written(tmp_path / "fast.mp4", "libx264", rate=60, frames=60)
    assert frame_rate(path) == 30 and 29 <= len(list(frames_at(path, 30.0))) <= 31


@pytest.mark.parametrize(("name", "codec"), [("a.webm", "libvpx-vp9"), ("a.mkv", "libx264"), ("a.avi", "mpeg4"), ("a.mov", "libx264")])
def test_common_containers(tmp_path: Path, name: str, codec: str) -> None:
    path = written(tmp_path / name, codec)
    assert upload_kind(path) == MediaKind.VIDEO and read_video(path).frames.shape == (6, 32, 64, 3)


def test_content_decides_not_the_name(tmp_path: Path, video: Path, sound: Path) -> None:
    disguised = video.rename(tmp_path / "clip.wav")
    assert upload_kind(disguised) == MediaKind.VIDEO
    assert upload_kind(sound.rename(tmp_path / "tone.mp4")) == MediaKind.AUDIO
    photo = tmp_path / "photo.mp3"
    Image.new("RGB", (20, 20)).save(photo, "PNG")
    assert upload_kind(photo) == MediaKind.IMAGE


def test_a_playlist_opens_nothing(tmp_path: Path, video: Path) -> None:
    playlist = tmp_path / "list.mp4"
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:3\n#EXTINF:3,\n{video}\n#EXT-X-ENDLIST\n")
    assert upload_kind(playlist) == MediaKind.IMAGE
    with pytest.raises(MediaError, match="can be played"):
        read_video(playlist)


def test_a_sound_round_trip(sound: Path) -> None:
    import soundfile

    back = read_sound(sound)
    assert back.sample_rate == 16000 and back.samples.shape == (8000, 1) and np.abs(back.samples - TONE.samples).max() < 1e-4
    with soundfile.SoundFile(sound) as file:
        assert file.comment == "a comment"


@pytest.mark.parametrize(("suffix", "form"), [("wav", "WAV"), ("ogg", "OGG"), ("mp3", "MP3")])
def test_common_sounds(tmp_path: Path, suffix: str, form: str) -> None:
    import soundfile

    path = tmp_path / f"tone.{suffix}"
    soundfile.write(path, np.repeat(TONE.samples, 2, axis=1), 16000, format=form)
    back = read_sound(path)
    assert upload_kind(path) == MediaKind.AUDIO and back.samples.shape[1] == 2 and 0.45 < back.duration_s < 0.6


@pytest.mark.parametrize("samples", [np.zeros((0, 1), np.float32), np.zeros(5, np.float32), np.full((5, 1), np.nan, np.float32)])
def test_what_is_no_sound_is_refused(samples: np.ndarray) -> None:
    with pytest.raises(MediaError, match="finite"):
        sound_bytes(Sound(samples, 16000))


def test_limits_are_told(video: Path, sound: Path) -> None:
    with pytest.raises(MediaError, match="lasts 2 s; at most 1 s"):
        checked_video(video, Limits(video_seconds=1))
    with pytest.raises(MediaError, match="at most 0 MB"):
        checked_video(video, Limits(video_bytes=100))
    with pytest.raises(MediaError, match="shorter"):
        checked_sound(sound, Limits(sound_seconds=0.1))
    frames, fps = checked_video(video, Limits(video_side=24))
    assert fps == 8 and next(frames).shape == (16, 24, 3)


def test_damaged_recordings(tmp_path: Path, video: Path) -> None:
    content = video.read_bytes()
    for name, broken in (("header", content[:200]), ("noise", content[:40] + bytes(range(256)) * 8)):
        path = tmp_path / name
        path.write_bytes(broken)
        with pytest.raises(MediaError, match=r"damaged or incomplete|no pictures in it"):
            read_video(path)
        with pytest.raises(MediaError):
            MediaStore(tmp_path / "m").add_upload(path, "vid-1")
    with pytest.raises(MediaError, match="at least one frame"):
        video_bytes([], 8.0)
    with pytest.raises(MediaError, match="no sound track"):
        checked_sound(video, Limits())


def test_uploads_of_every_kind_in_one_message(tmp_path: Path, video: Path, sound: Path) -> None:
    photo = tmp_path / "photo.png"
    Image.new("RGB", (20, 20)).save(photo)
    message, complaints = user_message("look", [video, photo, sound, video], Conversation(), MediaStore(tmp_path / "m"), Limits())
    assert message and not complaints
    artefacts = [part.artefact for part in message.parts if isinstance(part, MediaPart)]
    assert [item.id for item in artefacts] == ["vid-1", "img-1", "aud-1", "vid-2"]
    assert (artefacts[0].width, artefacts[0].height, artefacts[0].duration_s) == (50, 34, 2.5) and artefacts[2].duration_s == 0.5
    assert artefacts[0].path == artefacts[3].path and artefacts[0].path.suffix == ".mp4"


def test_a_kept_video_has_a_poster_and_its_recipe(tmp_path: Path) -> None:
    import av

    artefact = MediaStore(tmp_path).add_video(RAMP[10:], 8.0, "vid-1", label="waves", recipe={"seed": 3})
    with Image.open(poster_path(artefact.path)) as poster:
        assert poster.size == (50, 34) and abs(poster.getpixel((0, 0))[0] - 100) < 4
    with av.open(str(artefact.path)) as container:
        assert '"seed": 3' in container.metadata["comment"] and "waves" in container.metadata["comment"]


def test_a_masklet_round_trip(tmp_path: Path) -> None:
    masks = np.random.default_rng(0).random((5, 12, 20)) > 0.5
    store = MediaStore(tmp_path)
    artefact = store.add_mask(masks, "mask-1", fps=2.5, of="vid-1")
    assert (artefact.width, artefact.height, artefact.duration_s) == (20, 12, 2.0) and (load_masklet(artefact) == masks).all()
    assert load_masklet(store.add_mask(masks[0], "mask-2")).shape == (1, 12, 20)
    with pytest.raises(MediaError, match="frames first"):
        store.add_mask(masks, "mask-3")


def test_what_is_gone_says_so(tmp_path: Path) -> None:
    store = MediaStore(tmp_path)
    for artefact, load in ((store.add_video(RAMP, 8.0, "vid-1"), load_video), (store.add_sound(TONE, "aud-1"), load_sound)):
        artefact.path.unlink()
        with pytest.raises(MediaError, match="no longer stored"):
            load(artefact)


@pytest.mark.parametrize(("task", "gives"), [("vgen", MediaKind.VIDEO), ("agen", MediaKind.AUDIO)])
def test_outputs_become_artefacts(tmp_path: Path, task: str, gives: MediaKind) -> None:
    script = [f"<{task}>waves</{task}>"]
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel(script), [fake_spec(FakeExpert(gives), task)])
    message, _ = user_message("go", [], Conversation(), engine.store, Limits())
    assert message
    done = next(event for event in engine.respond(Conversation((message,))) if isinstance(event, CallDone))
    (artefact,) = done.artefacts
    assert artefact.kind == gives and artefact.id == f"{gives.value}-1" and artefact.duration_s == 1.0 and artefact.path.is_file()


def test_a_thing_followed_through_a_video_becomes_a_masklet(tmp_path: Path, video: Path) -> None:
    script = ["<vseg><ref>vid-1</ref>the dog<box>[0,0,500,999]</box></vseg>"]
    engine = load_engine(Settings(media_dir=tmp_path), ScriptedModel(script), [fake_spec(FakeExpert(), "vseg")])
    message, _ = user_message("follow the dog", [video], Conversation(), engine.store, Limits())
    assert message
    done = next(event for event in engine.respond(Conversation((message,))) if isinstance(event, CallDone))
    assert done.artefacts[0].of == "vid-1" and load_masklet(done.artefacts[0]).shape == (2, 34, 50)
