"""The benchmark ``mmud``: each picture is asked for all four of its labels: caption, reasoning, referring, generation.

After MMUD (Neural Tuning, arXiv 2408.03001), on the composed pictures of ``python -m unified_demo.data mmud``. Generation is measured by
what is called and with which things, not by what is drawn; that is the benchmark ``generation``. Beside our model a detector with a
template.
"""

from collections.abc import Sequence

from unified_demo.config import GenerationOptions
from unified_demo.data.mmud import LINES_FILE, MmudSample, read_mmud
from unified_demo.data.published.reading import Complaints
from unified_demo.errors import MediaError
from unified_demo.evaluation.benchmark import Context, Result, Row, stratified
from unified_demo.evaluation.captioning import REQUEST, Captioned, spoken, summarise, template_caption
from unified_demo.evaluation.composed import FOLDER, targets_of
from unified_demo.evaluation.referring_benchmark import MEASURES as REFERRING
from unified_demo.evaluation.referring_benchmark import measure
from unified_demo.evaluation.routers import MOST_TOKENS, raw_answer
from unified_demo.evaluation.routing_metrics import parse_answer
from unified_demo.grammar import Task
from unified_demo.media import MediaStore, load_image
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TaskCall, TextPart
from unified_demo.nouns import plural

DRAW = "Draw this for me: {prompt}"
DRAWS = (Task.IMAGE_GENERATION.value, Task.LAYOUT_GENERATION.value)
MEASURES = {
    "CIDEr": "caption: CIDEr-D, 0–10, against the picture's own captions; document frequencies from the pictures measured",
    "gIoU": "reasoning, grounding (referring): " + REFERRING["gIoU"],
    "Acc@0.5": "reasoning, grounding: " + REFERRING["Acc@0.5"],
    "called": "generation: share of prompts whose first call is image or layout generation, and no other is made",
    "things": "generation: share of the kinds of things in the prompt that the call names, 0 when it is none of these",
}


class Mmud:
    name = "mmud"
    title = "One picture, four labels (MMUD-style): caption, reasoning, referring, generation"
    systems = ("template", "model")

    def run(self, context: Context) -> Result:
        """``limit`` counts pictures. Raises NotReady without the pictures, ModelLoadError without weights."""
        names = context.chosen(self.systems)
        complaints = Complaints()
        samples = stratified(list(read_mmud(context.folder(FOLDER, LINES_FILE), complaints)), lambda sample: sample.part, context.limit)
        targets = [target for sample in samples for target in targets_of(sample)]
        pointed = measure(names, targets, [str(item) for item in complaints.found], context)
        rows = [Row(row.system, row.group, row.count, {key: row.figures.get(key) for key in ("gIoU", "Acc@0.5")}) for row in pointed.rows]
        skipped = list(pointed.skipped)
        store = MediaStore()
        pictures = _open(samples, store, skipped)
        told: list[dict] = []
        for name in names:
            texts = [_caption(name, picture, context) for _, picture in pictures]
            captioned = [Captioned("caption", sample.picture, sample.captions) for sample, _ in pictures]
            rows += [Row(name, row.group, row.count, {"CIDEr": row.figures["CIDEr"]}) for row in summarise(name, captioned, texts)]
            told += [{"system": name, "image": item.photo.name, "caption": text} for item, text in zip(captioned, texts, strict=True)]
        if "model" in names and samples:
            drawn = [_calls(sample, context) for sample in samples]
            scores = [(sum(len(calls) == 1 and call.task in DRAWS for call in calls[:1]), things(sample, calls)) for sample, calls in drawn]
            called, named = (sum(column) / len(scores) for column in zip(*scores, strict=True))
            rows.append(Row("model", "generation", len(scores), {"called": called, "things": named}))
            told += [{"system": "model", "prompt": sample.prompt, "calls": [call.prompt for call in calls]} for sample, calls in drawn]
        return Result(tuple(rows), MEASURES, (*pointed.samples, *told), tuple(skipped), {"pictures": len(samples), **pointed.extra})


def things(sample: MmudSample, calls: Sequence[TaskCall]) -> float:
    """Share of the kinds of things in a picture's prompt that the first call names in its words or phrases; 0 when it does not draw."""
    wanted = {thing.noun for thing in sample.things if _says(sample.prompt, thing.noun)}
    if not calls or not wanted or calls[0].task not in DRAWS:
        return 0.0
    said = " ".join([calls[0].prompt, *(region.phrase for region in calls[0].regions)])
    return sum(_says(said, noun) for noun in wanted) / len(wanted)


def _says(text: str, noun: str) -> bool:
    padded = f" {''.join(letter if letter.isalnum() else ' ' for letter in text.lower())} "
    return any(f" {' '.join(form.lower().replace('-', ' ').split())} " in padded for form in (noun, plural(noun)))


def _open(samples: Sequence[MmudSample], store: MediaStore, skipped: list[str]) -> list[tuple[MmudSample, Artefact]]:
    found = []
    for sample in samples:
        try:
            found.append((sample, store.add_upload(sample.picture, "img-1")))
        except MediaError as exc:
            skipped.append(f"{sample.picture}: {exc} Left out.")
    return found


def _caption(name: str, picture: Artefact, context: Context) -> str:
    if name == "template":
        return template_caption(context.subjects.detector().detect(load_image(picture), tiled=False))
    conversation = Conversation((Message("user", (MediaPart(picture), TextPart(REQUEST))),))
    return spoken(raw_answer(context.subjects.trained(), conversation, GenerationOptions(max_new_tokens=MOST_TOKENS)))


def _calls(sample: MmudSample, context: Context) -> tuple[MmudSample, Sequence[TaskCall]]:
    conversation = Conversation((Message("user", (TextPart(DRAW.format(prompt=sample.prompt)),)),))
    return sample, parse_answer(raw_answer(context.subjects.trained(), conversation, GenerationOptions(max_new_tokens=MOST_TOKENS))).calls
