"""The benchmark ``captioning``: one sentence for each photo, against five human ones (CIDEr-D, BLEU-4, ROUGE-L).

Our model is asked in one fixed wording; its boxes are left out of the text. Beside it a detector with a template, and one sentence
for all photos as the floor. Photos are for measuring only, so nothing of them is kept but the answers.
"""

import json
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.config import GenerationOptions
from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import Context, NotReady, Result, Row, stratified
from unified_demo.evaluation.caption_metrics import caption_scores
from unified_demo.evaluation.contact_sheet import Tile, draw_sheet
from unified_demo.evaluation.routers import raw_answer
from unified_demo.grammar import Box
from unified_demo.media import MediaStore, load_image
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextDelta, TextPart
from unified_demo.model.detection import Detection
from unified_demo.nouns import NUMBERS, article, plural
from unified_demo.parser import StreamParser

MEASURES = {
    "CIDEr": "CIDEr-D, 0–10; document frequencies from the photos measured, so different numbers of photos do not compare",
    "BLEU-4": "corpus BLEU of order 4",
    "ROUGE-L": "longest common subsequence, F-measure",
    "words": "mean length of a caption",
}
REQUEST = "Describe this picture in one sentence."
FLOOR = "A man in a blue shirt is standing in front of a building ."
CONFIDENT = 0.35
MOST_TOKENS = 60
FLICKR = "eval_flickr8k"
COCO = "eval_coco"


@dataclass(frozen=True)
class Captioned:
    """A photo and what people wrote about it."""

    source: str
    photo: Path
    captions: tuple[str, ...]


Captioner = Callable[[Artefact], str]


class Captioning:
    name = "captioning"
    title = "Captions of real photos"
    systems = ("model", "template", "floor")

    def run(self, context: Context) -> Result:
        """Raises NotReady without either set of photos, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        captioned, complaints = read_captioned(context)
        chosen = stratified(captioned, lambda item: item.source, context.limit)
        store = MediaStore()
        pictures: list[tuple[Captioned, Artefact]] = []
        for item in chosen:
            try:
                pictures.append((item, store.add_upload(item.photo, "img-1")))
            except MediaError as exc:
                complaints.append(f"{item.photo}: {exc} Left out.")
        rows: list[Row] = []
        samples: list[dict] = []
        for name in names:
            caption = self._captioner(name, context)
            texts = [caption(picture) for _, picture in pictures]
            rows += summarise(name, [item for item, _ in pictures], texts)
            samples += [
                {"system": name, "photo": item.photo.name, "caption": text} for (item, _), text in zip(pictures, texts, strict=True)
            ]
            draw_sheet(_tiles(pictures, texts), context.out / f"{name}.webp")
        return Result(tuple(rows), MEASURES, tuple(samples), tuple(complaints))

    def _captioner(self, name: str, context: Context) -> Captioner:
        if name == "floor":
            return lambda _: FLOOR
        if name == "template":
            detector = context.subjects.detector()
            return lambda picture: template_caption(detector.detect(load_image(picture), tiled=False))
        model, options = context.subjects.trained(), GenerationOptions(max_new_tokens=MOST_TOKENS)
        return lambda picture: spoken(raw_answer(model, Conversation((Message("user", (MediaPart(picture), TextPart(REQUEST))),)), options))


def _tiles(pictures: Sequence[tuple[Captioned, Artefact]], texts: Sequence[str]) -> list[Tile]:
    whole = Box(0, 0, 1, 1)
    return [
        Tile(place, picture.path, text, whole, None, None) for place, ((_, picture), text) in enumerate(zip(pictures, texts, strict=True))
    ]


def read_captioned(context: Context) -> tuple[list[Captioned], list[str]]:
    """Photos with captions of eval_flickr8k and eval_coco, whichever are there; NotReady when neither is."""
    found: list[Captioned] = []
    complaints: list[str] = []
    missing: list[NotReady] = []
    for name, holds, read in ((FLICKR, "captions.json", _read_flickr), (COCO, "annotations.json", _read_coco)):
        try:
            folder = context.folder(name, holds)
        except NotReady as exc:
            missing.append(exc)
            continue
        found += read(folder / holds, complaints)
    if not found:
        raise missing[0] if missing else NotReady("The caption files hold no captions; copy the folders again.")
    return found, complaints


def _read_flickr(path: Path, complaints: list[str]) -> list[Captioned]:
    """``{photo: [captions]}``."""
    content = _read_json(path)
    entries = content.items() if isinstance(content, dict) else [(f"entry {place}", None) for place, _ in enumerate(content)]
    return [item for name, captions in entries if (item := _captioned(FLICKR, path, name, captions, complaints))]


def _read_coco(path: Path, complaints: list[str]) -> list[Captioned]:
    """``[{image, captions, ...}]``."""
    content = _read_json(path)
    rows = [entry if isinstance(entry, dict) else {} for entry in (content if isinstance(content, list) else [])]
    pairs = [(row.get("image"), row.get("captions")) for row in rows]
    return [item for name, captions in pairs if (item := _captioned(COCO, path, name, captions, complaints))]


def _read_json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise MediaError(f"{path} cannot be read ({exc}); copy the folder again.") from exc


def _captioned(source: str, path: Path, name: object, captions: object, complaints: list[str]) -> Captioned | None:
    texts = tuple(text for text in captions if isinstance(text, str) and text.strip()) if isinstance(captions, list) else ()
    if not isinstance(name, str) or not texts:
        complaints.append(f"{path}: {name} has no captions; left out")
        return None
    return Captioned(source, path.parent / Path(name).name, texts)


def spoken(raw: str) -> str:
    """The words of a raw answer, without boxes and calls, on one line."""
    parser = StreamParser()
    events = parser.feed(raw) + parser.close()
    return re.sub(r"\s+", " ", "".join(event.text for event in events if isinstance(event, TextDelta))).strip()


def template_caption(found: Sequence[Detection]) -> str:
    """ "A picture of two dogs and a person." from confident detections, most of a kind first."""
    counts = Counter(thing.label for thing in found if thing.score >= CONFIDENT)
    named = [article(label) if number == 1 else _several(number, label) for label, number in counts.most_common(4)]
    if not named:
        return "A picture."
    return f"A picture of {', '.join(named[:-1])}{' and ' if len(named) > 1 else ''}{named[-1]}."


def _several(number: int, label: str) -> str:
    return f"{NUMBERS[number] if number < len(NUMBERS) else 'many'} {plural(label)}"


def summarise(system: str, items: Sequence[Captioned], texts: Sequence[str]) -> list[Row]:
    rows = []
    for source in dict.fromkeys(item.source for item in items):
        pairs = [(text, item.captions) for item, text in zip(items, texts, strict=True) if item.source == source]
        scores = caption_scores([text for text, _ in pairs], [captions for _, captions in pairs])
        words = sum(len(text.split()) for text, _ in pairs) / len(pairs)
        figures = {"CIDEr": scores.cider, "BLEU-4": scores.bleu[-1], "ROUGE-L": scores.rouge_l, "words": words}
        rows.append(Row(system, source, len(pairs), figures))
    return rows
