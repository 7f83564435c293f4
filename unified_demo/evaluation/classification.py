"""The benchmark ``classification``: the name of the one thing in a picture, or of a sound, among known classes; by modality.

The model is asked in words and its first class name counts, so that nothing is trained for the set. Pictures: the test part of the
grocery photos (coarse classes); sounds: ESC-10's last fold, once sound is an input.
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from unified_demo.config import GenerationOptions
from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, grouped, stratified
from unified_demo.evaluation.captioning import spoken
from unified_demo.evaluation.classification_metrics import confusions, top_accuracy
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.routers import raw_answer
from unified_demo.grammar import Box
from unified_demo.media import MediaStore, load_image
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart

MEASURES = {"top 1": "the first class named in the answer is right", "low": "95 % interval (Wilson)", "high": "95 % interval (Wilson)"}
QUESTION = "What is this? Answer with one of these: {names}."
SUFFIXES = (".webp", ".jpg", ".jpeg", ".png")
NO_SOUND = "sound is no input yet"
MOST_TOKENS = 24
MOST_MISTAKES = 20


@dataclass(frozen=True)
class Example:
    modality: str
    path: Path
    name: str


Namer = Callable[[Artefact], str]


class Classification:
    name = "classification"
    title = "Classification, by modality"
    systems = ("model", "detector")

    def run(self, context: Context) -> Result:
        """Raises NotReady without the photos, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        examples = read_grocery(context.folder("grocery", "test") / "test")
        classes = sorted({example.name for example in examples})
        chosen = stratified(examples, lambda example: example.name, context.limit)
        store, complaints = MediaStore(), []
        pictures: list[tuple[Example, Artefact]] = []
        for example in chosen:
            try:
                pictures.append((example, store.add_upload(example.path, "img-1")))
            except MediaError as exc:
                complaints.append(f"{example.path}: {exc} Left out.")
        rows: list[Row] = []
        samples: list[dict] = []
        mistaken: dict[str, list[tuple[str, str, int]]] = {}
        for name in names:
            namer = self._namer(name, classes, context)
            answers = [(example, namer(picture)) for example, picture in pictures]
            rows += [Row(name, modality, len(items), figures(items, classes)) for modality, items in grouped(answers, _modality).items()]
            rows.append(Row(name, "sound", 0, note=NO_SOUND))
            mistaken[name] = mistakes(answers, classes)
            draw_sheet(_tiles(answers, classes), context.out / f"{name}.webp")
            samples += [{"system": name, "path": example.path.name, "class": example.name, "answer": text} for example, text in answers]
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints), {"mistakes": mistaken})

    def _namer(self, name: str, classes: Sequence[str], context: Context) -> Namer:
        if name == "detector":
            detector = context.subjects.detector()
            return lambda picture: next((thing.label for thing in detector.detect(load_image(picture), tiled=False)), "")
        model, options = context.subjects.trained(), GenerationOptions(max_new_tokens=MOST_TOKENS)
        question = TextPart(QUESTION.format(names=", ".join(classes)))
        return lambda picture: spoken(raw_answer(model, Conversation((Message("user", (MediaPart(picture), question)),)), options))


def _modality(answer: tuple[Example, str]) -> list[str]:
    return [answer[0].modality]


def read_grocery(folder: Path) -> list[Example]:
    """``test/<group>/<coarse>/[<fine>/]<photo>``: the coarse class counts. NotReady when there is no photo."""
    photos = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
    examples = [Example("picture", path, path.relative_to(folder).parts[1].replace("-", " ").lower()) for path in photos]
    if not examples:
        raise NotReady(f"{folder} holds no photos; pass --data with the folder that holds grocery.")
    return examples


def first_named(answer: str, classes: Sequence[str]) -> str | None:
    """The class that is named first, singular or plural; the longer name where two begin at the same place."""
    found = []
    for name in classes:
        match = re.search(rf"\b{re.escape(name)}(?:e?s)?\b", answer.lower())
        if match:
            found.append((match.start(), -len(name), name))
    return min(found)[2] if found else None


Answers = Sequence[tuple[Example, str]]


def figures(answers: Answers, classes: Sequence[str]) -> dict[str, float | None]:
    share = top_accuracy(_rankings(answers, classes), [example.name for example, _ in answers])
    return {"top 1": share.value, "low": share.low, "high": share.high}


def _rankings(answers: Answers, classes: Sequence[str]) -> list[list[str]]:
    return [[name] if (name := first_named(text, classes)) else [] for _, text in answers]


def mistakes(answers: Answers, classes: Sequence[str]) -> list[tuple[str, str, int]]:
    """(true class, class named or "", how often) of the commonest wrong answers."""
    counted = confusions(_rankings(answers, classes), [example.name for example, _ in answers])
    return [(truth, named, number) for (truth, named), number in counted.most_common() if truth != named][:MOST_MISTAKES]


def _tiles(answers: Answers, classes: Sequence[str]) -> list[Tile]:
    whole = Box(0, 0, 1, 1)
    return [
        Tile(float(first_named(text, classes) == example.name), example.path, f"{example.name}\n{text}", whole, None, None)
        for example, text in answers
    ]
