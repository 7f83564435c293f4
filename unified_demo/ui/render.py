"""Views to HTML: one small renderer for each thing an answer can show. Everything from outside is escaped.

``Markup.format`` escapes each value that is not Markup itself. Nothing here reads events, runs models or keeps state.
"""

import base64
import io
import re
from functools import lru_cache
from pathlib import Path
from urllib.parse import quote
from weakref import WeakKeyDictionary

from markupsafe import Markup

from unified_demo.errors import UnifiedError
from unified_demo.grammar import TASK_TAGS, TASKS, Box, MediaKind, Task
from unified_demo.media import load_mask, mask_to_svg_path
from unified_demo.messages import Artefact, MediaPart, Message, TextPart
from unified_demo.ui.theme import region_colour
from unified_demo.ui.view import AnswerView, SceneObject, Step

EMPTY = Markup("")
LABEL_CHARACTERS = 34
"""Longer names are shortened in the picture, where they would hide other things; the text has them in full."""
TOP_ROOM = 0.14
"""A label stands above its box when this share of the picture is free there, else inside of it."""

_STEP_WORDS = {
    "writing": "writing the call",
    "queued": "waiting for the expert",
    "running": "working",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
}
_ANY_TAG = re.compile(r"(</?[a-z]+>)")


def media_url(path: Path) -> str:
    """Address of a stored file, relative to the page, through Gradio's file route (which checks login and allowed paths)."""
    return "gradio_api/file=" + quote(path.as_posix())


def _join(pieces: "list[Markup]") -> Markup:
    return EMPTY.join(pieces)


# ---- the visitor's message ----


def question_html(message: Message) -> Markup:
    """Pictures with their ids, then the text as it was typed."""
    media = [_attachment(part.artefact) for part in message.parts if isinstance(part, MediaPart)]
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return Markup('<div class="um-question">{}{}</div>').format(
        Markup('<div class="um-attachments">{}</div>').format(_join(media)) if media else EMPTY,
        Markup('<div class="um-said">{}</div>').format(text) if text else EMPTY,
    )


def _attachment(artefact: Artefact) -> Markup:
    return Markup(
        '<figure class="um-attachment"><img src="{url}" alt="Your picture {id}" width="{w}" height="{h}">'
        "<figcaption>{id}</figcaption></figure>"
    ).format(url=media_url(artefact.path), id=artefact.id, w=artefact.width, h=artefact.height)


# ---- an answer ----


_complete: WeakKeyDictionary[AnswerView, dict[bool, Markup]] = WeakKeyDictionary()


def answer_html(view: AnswerView, raw: bool = False) -> Markup:
    """The whole answer; one that is complete is drawn once, for every step of a later one shows it again."""
    if not view.finished:
        return _draw(view, raw)
    drawn = _complete.setdefault(view, {})
    if raw not in drawn:
        drawn[raw] = _draw(view, raw)
    return drawn[raw]


def _draw(view: AnswerView, raw: bool) -> Markup:
    """The children stay in the same order while the answer grows, so that the page updates them in place."""
    return Markup(
        '<article class="um-answer" data-state="{state}">'
        '<div class="um-text" aria-live="polite">{text}</div><div class="um-pictures">{pictures}</div>'
        '<div class="um-steps">{steps}</div><div class="um-outputs">{outputs}</div><div class="um-foot">{foot}</div></article>'
    ).format(
        state=view.state,
        text=text_html(view),
        pictures=_join([picture_html(picture, view) for picture in view.pictures()]),
        steps=_join([step_html(step) for step in view.steps.values()]),
        outputs=_join([output_html(artefact) for artefact in view.outputs()]),
        foot=foot_html(view, raw),
    )


def text_html(view: AnswerView) -> Markup:
    """The words, grounded phrases coloured from their first letter on."""
    pieces = []
    for run in view.runs:
        number = view.phrases.get(run.phrase) if run.phrase is not None else None
        pieces.append(_phrase_html(run.text, number) if number else Markup("<span>{}</span>").format(run.text))
    return _join(pieces)


def _phrase_html(text: str, number: int) -> Markup:
    return Markup('<mark class="um-phrase" data-object="{n}" tabindex="0" style="--hue:{hue}">{text}</mark>').format(
        n=number, hue=region_colour(number)[0], text=text
    )


def picture_html(picture: Artefact, view: AnswerView) -> Markup:
    """The picture with everything the answer found in it: masks and boxes as SVG in pixels of the picture, labels above."""
    things = [thing for thing in view.objects.values() if thing.artefact_id == picture.id and (thing.boxes or thing.masks)]
    things.sort(key=lambda thing: -sum(box.area for box in thing.boxes))
    return Markup(
        '<figure class="um-picture"><div class="um-stage" style="--w:{w};--h:{h}">'
        '<img src="{url}" alt="{id} with {count} marked" width="{w}" height="{h}">'
        '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none">{shapes}</svg><div class="um-labels">{labels}</div></div>'
        "<figcaption><span>{id}</span><span>{w} × {h}</span>{masks}</figcaption></figure>"
    ).format(
        w=picture.width,
        h=picture.height,
        url=media_url(picture.path),
        id=picture.id,
        count="1 thing" if len(things) == 1 else f"{len(things)} things",
        shapes=_join([shapes_html(thing, picture) for thing in things]),
        labels=_join([label_html(thing, box) for thing in things for box in thing.boxes]),
        masks=_join([_mask_chip(thing, mask) for thing in things for mask in thing.masks]),
    )


def shapes_html(thing: SceneObject, picture: Artefact) -> Markup:
    """Masks and boxes of one thing; reachable with the keyboard."""
    masks = [Markup('<path class="um-mask" fill-rule="evenodd" d="{}"/>').format(outline(mask.path)[0]) for mask in thing.masks]
    boxes = [
        Markup('<rect class="um-box" x="{:.2f}" y="{:.2f}" width="{:.2f}" height="{:.2f}"/>').format(
            box.x0 * picture.width, box.y0 * picture.height, (box.x1 - box.x0) * picture.width, (box.y1 - box.y0) * picture.height
        )
        for box in thing.boxes
    ]
    return Markup(
        '<g class="um-thing{masked}" data-object="{n}" style="--hue:{hue}" tabindex="0" role="img" '
        'aria-label="{n}: {label}">{masks}{boxes}</g>'
    ).format(
        masked=" um-masked" if masks else "",
        n=thing.number,
        hue=region_colour(thing.number)[0],
        label=thing.label,
        masks=_join(masks),
        boxes=_join(boxes),
    )


def label_html(thing: SceneObject, box: Box) -> Markup:
    """Name tag of a box: it grows towards the side with room and wraps there, so the picture's edge never cuts it off."""
    leftwards = box.x0 > 0.5
    room = box.x1 if leftwards else 1 - box.x0
    side = f"right:{100 * (1 - box.x1):.2f}%" if leftwards else f"left:{100 * box.x0:.2f}%"
    height = f"bottom:{100 * (1 - box.y0):.2f}%" if box.y0 >= TOP_ROOM else f"top:{100 * box.y0:.2f}%"
    hue, ink = region_colour(thing.number)
    return Markup(
        '<span class="um-label" data-object="{n}" style="{side};{height};max-width:{room:.2f}%;'
        '--hue:{hue};--ink:{ink}"><b>{n}</b>{label}</span>'
    ).format(n=thing.number, side=side, height=height, room=100 * room, hue=hue, ink=ink, label=_short(thing.label))


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1].rstrip() + "…"


def _mask_chip(thing: SceneObject, mask: Artefact) -> Markup:
    hue, _ = region_colour(thing.number)
    return Markup(
        '<a class="um-chip" data-object="{n}" style="--hue:{hue}" href="{url}" download="{id}.png" title="Download the mask">'
        "<i></i>{id}<small>{share:.0%} of the picture</small></a>"
    ).format(n=thing.number, hue=hue, url=media_url(mask.path), id=mask.id, share=outline(mask.path)[1])


@lru_cache(maxsize=256)
def outline(path: Path) -> tuple[str, float]:
    """SVG path of a stored mask in its pixels, and the share of the picture it covers; empty when the file is gone."""
    try:
        mask = load_mask(Artefact("mask-0", MediaKind.MASK, path))
    except UnifiedError:
        return "", 0.0
    return mask_to_svg_path(mask), float(mask.mean())


# ---- experts ----


def step_html(step: Step) -> Markup:
    """One task call: the summary says how it goes, the body what was asked and with which weights."""
    counter = f"{step.step}/{step.steps}" if step.status == "running" and step.steps else ""
    clock = f"{step.seconds:.1f} s" if step.status in ("done", "failed") else ""
    return Markup(
        '<details class="um-step" data-status="{status}"{unfolded}><summary><i class="um-dot"></i>'
        '<span class="um-step-title">{title}</span>'
        '<span class="um-step-note">{note}</span><span class="um-step-count">{counter}</span>'
        '<span class="um-clock" data-run="{run}">{clock}</span></summary><div class="um-step-body">{error}{preview}'
        "<dl>{facts}</dl></div></details>"
    ).format(
        status=step.status,
        unfolded=Markup(" open") if step.status == "failed" else EMPTY,
        title=task_title(step.task),
        note=_step_note(step),
        counter=counter,
        run="on" if step.status in ("queued", "running") else "off",
        clock=clock,
        error=Markup('<p class="um-error" role="alert">{}</p>').format(_sentence(step.error)) if step.error else EMPTY,
        preview=_preview(step.preview),
        facts=_join([Markup("<dt>{}</dt><dd>{}</dd>").format(*fact) for fact in _facts(step)]),
    )


def _sentence(text: str) -> str:
    """With a capital and a full stop, for errors come as they suit a log line."""
    text = text.strip()
    start = text[:1].upper() if text.split(" ")[0].isalpha() else text[:1]
    return start + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")


def _step_note(step: Step) -> str:
    """What the summary of a call says: the progress while it runs, what was asked for once it is over."""
    asked = step.call.prompt if step.call else ""
    notes = {"running": step.note, "done": asked}
    return notes.get(step.status) or _STEP_WORDS[step.status]


def task_title(task: str) -> str:
    """Name of a task for people; a plug-in's tag stands for itself."""
    return TASKS[Task(task)].title.capitalize() if task in TASK_TAGS else task


def _facts(step: Step) -> list[tuple[str, str]]:
    """What is worth knowing of a call, as (name, value)."""
    facts = [("status", _STEP_WORDS[step.status])]
    if step.call:
        facts += [("asked for", step.call.prompt)] if step.call.prompt else []
        facts += [("in", ", ".join(step.call.refs))] if step.call.refs else []
        boxes = [box for region in step.call.regions for box in region.boxes]
        facts += [("region", "; ".join(" ".join(f"{value:.3f}" for value in box.as_tuple()) for box in boxes))] if boxes else []
    for key in ("expert", "weights", "licence", "seed"):
        value = step.recipe.get(key)
        if value not in (None, "", []):
            facts.append((key, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    facts += [("took", f"{step.seconds:.2f} s")] if step.status in ("done", "failed") else []
    facts += [("gave", ", ".join(artefact.id for artefact in step.artefacts))] if step.artefacts else []
    return facts


def _preview(picture: object) -> Markup:
    if picture is None:
        return EMPTY
    buffer = io.BytesIO()
    small = picture.convert("RGB")  # type: ignore[attr-defined]
    small.thumbnail((320, 320))
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup('<img class="um-preview" alt="Preview" src="data:image/jpeg;base64,{}">').format(data)


def output_html(artefact: Artefact) -> Markup:
    """A picture, video or sound that an expert made, with its id and a download link."""
    players = {
        MediaKind.IMAGE: Markup('<img src="{url}" alt="{id}: {label}" width="{w}" height="{h}">'),
        MediaKind.VIDEO: Markup('<video src="{url}" controls loop playsinline></video>'),
        MediaKind.AUDIO: Markup('<audio src="{url}" controls></audio>'),
    }
    player = players.get(artefact.kind, EMPTY)
    return Markup(
        '<figure class="um-output">{player}<figcaption><span>{id}</span><span>{label}</span>'
        '<a href="{url}" download="{id}{suffix}">Download</a>'
        "</figcaption></figure>"
    ).format(
        player=player.format(url=media_url(artefact.path), id=artefact.id, label=artefact.label, w=artefact.width, h=artefact.height),
        url=media_url(artefact.path),
        id=artefact.id,
        label=artefact.label,
        suffix=artefact.path.suffix,
    )


# ---- what stands below an answer ----


def foot_html(view: AnswerView, raw: bool) -> Markup:
    """Waiting note, error, stop mark, warnings, and the raw representation when it is wanted."""
    return _join([_status_line(view), _warnings(view), raw_html(view.raw) if raw and view.finished else EMPTY])


def _status_line(view: AnswerView) -> Markup:
    if view.error:
        return Markup('<p class="um-error" role="alert">{}</p>').format(_sentence(view.error))
    if view.note or view.state == "waiting":
        return Markup('<p class="um-waiting" role="status"><i></i><i></i><i></i><span>{}</span></p>').format(view.note or "thinking")
    if view.state == "stopped":
        return Markup('<p class="um-stopped">{}</p>').format(
            "Stopped. What was said so far is kept." if view.runs else "Stopped before the first word."
        )
    if view.state == "done" and not view.runs and not view.steps:
        return Markup('<p class="um-stopped">The model had nothing to say; try other words.</p>')
    return EMPTY


def _warnings(view: AnswerView) -> Markup:
    if not view.warnings or not view.finished:
        return EMPTY
    lines = _join([Markup("<li>{}</li>").format(warning) for warning in dict.fromkeys(view.warnings)])
    return Markup('<details class="um-warnings"><summary>{} in this answer</summary><ul>{}</ul></details>').format(
        "1 slip of notation" if len(view.warnings) == 1 else f"{len(view.warnings)} slips of notation", lines
    )


def raw_html(raw: str) -> Markup:
    """What the model really wrote, tags in another colour."""
    pieces = [
        Markup("<b>{}</b>").format(piece) if index % 2 else Markup("{}").format(piece) for index, piece in enumerate(_ANY_TAG.split(raw))
    ]
    return Markup('<div class="um-raw"><span>raw representation</span><pre>{}</pre></div>').format(_join(pieces))
