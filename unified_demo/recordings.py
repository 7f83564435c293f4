"""Videos and sounds: any common file in, frames or samples out, and back to files that every browser plays.

Videos are written as MP4 (H.264, no sound track), sounds as FLAC with 16 bits. A file is opened by its content, never by its
name, and only as one of the containers listed here, so that no playlist can make the decoder open something else.
"""

import io
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from unified_demo.config import Limits
from unified_demo.errors import MediaError
from unified_demo.grammar import MediaKind

ALLOWED = "MP4, MOV, WebM, MKV and AVI videos and WAV, FLAC, MP3, Ogg and M4A sounds"
MAX_FPS = 30.0
_CRF = "18"
"""Quality of H.264: 18 looks like the original."""
_DAMAGED = f"The recording is damaged or incomplete; {ALLOWED} are allowed, so please save or send it again."


@dataclass(frozen=True)
class Video:
    """``frames`` uint8 T x H x W x 3 (RGB), ``fps`` frames per second."""

    frames: np.ndarray
    fps: float

    @property
    def duration_s(self) -> float:
        return len(self.frames) / self.fps


@dataclass(frozen=True)
class Sound:
    """``samples`` float32 N x channels within -1..1, ``sample_rate`` in Hz."""

    samples: np.ndarray
    sample_rate: int

    @property
    def duration_s(self) -> float:
        return len(self.samples) / self.sample_rate


def kind_of_recording(path: Path) -> MediaKind | None:
    """VIDEO or AUDIO by the file's content, None when it is neither (or does not open)."""
    if not path.is_file() or _container_of(path) is None:
        return None
    try:
        with _opened(path) as container:
            if _pictures(container):
                return MediaKind.VIDEO
            return MediaKind.AUDIO if container.streams.audio else None
    except MediaError:
        return None


# ---- reading ----


def read_video(path: Path, most_frames: int | None = None) -> Video:
    """All frames, or ``most_frames`` of them taken evenly over the whole length (``fps`` is then lower). MediaError."""
    video = Video(np.stack(list(frames_at(path, MAX_FPS))), frame_rate(path))
    count = len(video.frames)
    if most_frames is None or count <= most_frames:
        return video
    chosen = np.linspace(0, count - 1, most_frames).round().astype(int)
    return Video(video.frames[chosen], video.fps * most_frames / count)


def read_sound(path: Path) -> Sound:
    """The first sound track as it is sampled in the file. MediaError."""
    import av

    with _opened(path) as container:
        if not container.streams.audio:
            raise MediaError("The file has no sound track; please send one that has.")
        stream = container.streams.audio[0]
        resampler = av.AudioResampler(format="fltp")
        pieces = [part.to_ndarray() for frame in container.decode(stream) for part in resampler.resample(frame)]
        if not pieces:
            raise MediaError(_DAMAGED)
        return Sound(np.concatenate(pieces, axis=1).T.astype(np.float32).clip(-1, 1), stream.rate)


def frame_rate(path: Path) -> float:
    """Frames per second at which ``frames_at`` hands a file out: its own, at most MAX_FPS."""
    with _opened(path) as container:
        rate = _video_stream(container).average_rate
        return min(float(rate), MAX_FPS) if rate else MAX_FPS


def frames_at(path: Path, most_fps: float, side: int | None = None) -> Iterator[np.ndarray]:
    """Upright RGB frames (uint8 H x W x 3) at an even rate, the longer side at most ``side``. MediaError.

    The rate is the file's own, at most ``most_fps``; a file whose frames come unevenly is evened out.
    """
    with _opened(path) as container:
        stream = _video_stream(container)
        rate = min(float(stream.average_rate or most_fps), most_fps)
        shown, start, given = None, 0.0, 0
        for frame in container.decode(stream):
            moment = frame.time if frame.time is not None else given / rate
            start = moment if shown is None else start
            while shown is not None and given < round((moment - start) * rate):
                yield shown
                given += 1
            shown = _upright(frame, side)
        if shown is None:
            raise MediaError(_DAMAGED)
        yield shown


def _upright(frame: Any, side: int | None) -> np.ndarray:
    scale = min(1.0, side / max(frame.width, frame.height)) if side else 1.0
    width, height = max(round(frame.width * scale), 1), max(round(frame.height * scale), 1)
    return np.ascontiguousarray(np.rot90(frame.reformat(width, height).to_ndarray(format="rgb24"), round(frame.rotation / 90)))


# ---- writing ----


def video_bytes(frames: Iterable[np.ndarray], fps: float, comment: str = "") -> bytes:
    """RGB frames of one size (uint8 H x W x 3) -> an MP4 file; an odd row or column at the edge is doubled. MediaError without frames."""
    import av

    with tempfile.TemporaryDirectory() as folder:
        target = Path(folder) / "video.mp4"
        _write_video(av.open(str(target), "w", options={"movflags": "+faststart"}), frames, fps, comment)
        return target.read_bytes()


def _write_video(container: Any, frames: Iterable[np.ndarray], fps: float, comment: str) -> None:
    import av

    with container:
        container.metadata["comment"] = comment
        stream: Any = None
        for picture in frames:
            picture = np.pad(picture, ((0, picture.shape[0] % 2), (0, picture.shape[1] % 2), (0, 0)), mode="edge")
            if stream is None:
                stream = container.add_stream("libx264", rate=Fraction(fps).limit_denominator(1001), options={"crf": _CRF})
                stream.height, stream.width = picture.shape[:2]
                stream.pix_fmt = "yuv420p"
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        if stream is None:
            raise MediaError("A video needs at least one frame.")
        container.mux(stream.encode())


def sound_bytes(sound: Sound, comment: str = "") -> bytes:
    """A FLAC file with 16 bits; what exceeds -1..1 is cut off. MediaError when there are no samples."""
    import soundfile

    if sound.samples.ndim != 2 or not sound.samples.size or not np.isfinite(sound.samples).all():
        raise MediaError(f"A sound is a finite array of samples x channels; this one has the shape {sound.samples.shape}.")
    buffer = io.BytesIO()
    channels = sound.samples.shape[1]
    with soundfile.SoundFile(buffer, "w", sound.sample_rate, channels, "PCM_16", format="FLAC") as file:
        file.comment = comment
        file.write(sound.samples.clip(-1, 1))
    return buffer.getvalue()


# ---- what a visitor sends ----


def checked_video(path: Path, limits: Limits) -> tuple[Iterator[np.ndarray], float]:
    """(frames reduced to ``limits.video_side``, fps) of a visitor's video. MediaError: too many bytes or seconds, damaged, no pictures."""
    _check_length(path, limits.video_bytes, limits.video_seconds)
    return frames_at(path, MAX_FPS, limits.video_side), frame_rate(path)


def checked_sound(path: Path, limits: Limits) -> Sound:
    """A visitor's sound. MediaError: too many bytes or seconds, damaged."""
    _check_length(path, limits.sound_bytes, limits.sound_seconds)
    return read_sound(path)


def _check_length(path: Path, most_bytes: int, most_seconds: float) -> None:
    if (size := path.stat().st_size) > most_bytes:
        got, allowed = size / 2**20, most_bytes / 2**20
        raise MediaError(f"The file has {got:.0f} MB; at most {allowed:.0f} MB are allowed, so please send a smaller one.")
    with _opened(path) as container:
        seconds = (container.duration or 0) / 1e6 or _length_by_packets(container)
    if seconds > most_seconds:
        raise MediaError(f"The recording lasts {seconds:.0f} s; at most {most_seconds:.0f} s are allowed, so please send a shorter one.")


def _length_by_packets(container: Any) -> float:
    """Seconds, for a file whose header does not say (a recording from a browser)."""
    ends = [float((packet.pts + (packet.duration or 0)) * packet.time_base) for packet in container.demux() if packet.pts is not None]
    return max(ends, default=0.0)


# ---- containers ----


def _container_of(path: Path) -> str | None:
    """The demuxer for a file, by its first bytes; None: not a container we open."""
    with path.open("rb") as file:
        head = file.read(16)
    if head[4:8] == b"ftyp":
        return None if head[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"hevc", b"avif", b"avis") else "mov"
    if head[:4] == b"RIFF":
        return {b"AVI ": "avi", b"WAVE": "wav"}.get(head[8:12])
    if head[:3] == b"ID3" or (head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xE6 == 0xE2):
        return "mp3"
    return {b"\x1aE\xdf\xa3": "matroska", b"OggS": "ogg", b"fLaC": "flac"}.get(head[:4])


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    """The decoder's view of a file; whatever it cannot do becomes a MediaError."""
    import av

    container = _container_of(path)
    if container is None:
        raise MediaError(f"The file is no recording that can be played; {ALLOWED} are allowed, so please send one of these.")
    try:
        with path.open("rb") as file, av.open(file, format=container) as opened:
            yield opened
    except (av.error.FFmpegError, ValueError, OSError, EOFError) as exc:
        raise MediaError(_DAMAGED) from exc


def _pictures(container: Any) -> list[Any]:
    """Video streams that are no cover picture of a sound."""
    import av

    cover = av.stream.Disposition.attached_pic
    return [stream for stream in container.streams.video if not stream.disposition & cover]


def _video_stream(container: Any) -> Any:
    streams = _pictures(container)
    if not streams:
        raise MediaError("The file has no pictures in it; please send a video that has.")
    streams[0].thread_type = "AUTO"
    return streams[0]
