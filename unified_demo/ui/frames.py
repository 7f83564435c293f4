"""Media of the conversation to HTML: one kind of frame for what a visitor sent, what answers point at and what experts made.

A frame has the artefact's id, what is found in it, tools (use, inspect, download) and its recipe. The page script draws marks
into it. Everything from outside is escaped; nothing here reads events or keeps state.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Literal
from urllib.parse import quote

import numpy as np
from markupsafe import Markup

from unified_demo.errors import UnifiedError
from unified_demo.grammar import DATA_KINDS, Box, MediaKind
from unified_demo.media import load_masklet, mask_to_svg_path, poster_path
from unified_demo.messages import Artefact, Stroke
from unified_demo.ui.facts import facts_html, facts_of, kind_words
from unified_demo.ui.theme import region_colour
from unified_demo.ui.view import SceneObject
from unified_demo.ui.words import say

EMPTY = Markup("")
LABEL_CHARACTERS = 34
"""Longer names are shortened in the picture, where they would hide other things; the text has them in full."""
TOP_ROOM = 0.14
"""A label stands above its box when this share of the picture is free there, else inside of it."""
PAINT_ROOM = 1.3
"""Side of the cut-out around what was painted, relative to the longer side of its box."""
MASKLET_TOLERANCE = 1.5
"""Outlines that change with every frame may be coarser, in pixels."""

Role = Literal["attachment", "picture", "output"]
_ICONS = {
    "use": Markup('<path d="M10 16V5M5.500 9.200 10 4.700l4.500 4.500"/>'),
    "inspect": Markup('<path d="M3.500 7.500v-4h4M16.500 7.500v-4h-4M3.500 12.500v4h4M16.500 12.500v4h-4"/>'),
    "download": Markup('<path d="M10 3.500v9M6 9l4 4 4-4M4 16.500h12"/>'),
}


def join(pieces: Sequence[Markup]) -> Markup:
    return EMPTY.join(pieces)


def media_url(path: Path) -> str:
    """Address of a stored file, relative to the page, through Gradio's file route (which checks login and allowed paths)."""
    return "gradio_api/file=" + quote(path.as_posix())


def shown_path(artefact: Artefact) -> Path:
    """The picture that stands for an artefact where none of its own can be seen."""
    still = artefact.kind in DATA_KINDS or artefact.kind == MediaKind.VIDEO
    return poster_path(artefact.path) if still else artefact.path


def frame_html(artefact: Artefact, role: Role, things: Sequence[SceneObject] = ()) -> Markup:
    """One artefact with its tools and everything that was found in it: masks and boxes as SVG in its pixels, labels above."""
    things = sorted(things, key=lambda thing: -sum(box.area for box in thing.boxes))
    player = {MediaKind.VIDEO: _video, MediaKind.AUDIO: _sound}.get(artefact.kind, _picture)
    data = " um-data" if artefact.kind in DATA_KINDS else ""
    return Markup(
        '<figure class="um-media um-{role}{data}" data-artefact="{id}" data-kind="{kind}" style="--w:{w};--h:{h}">{stage}{timeline}'
        "<figcaption><b>{id}</b>{words}{masks}{tools}</figcaption>{recipe}</figure>"
    ).format(
        role=role,
        data=data,
        id=artefact.id,
        kind=artefact.kind.value,
        w=artefact.width or 1,
        h=artefact.height or 1,
        stage=player(artefact, things),
        timeline=_timeline(artefact, things),
        words=_caption(artefact, role),
        masks=join([_mask_chip(thing, mask) for thing in things for mask in thing.masks]),
        tools=_tools(artefact),
        recipe=_recipe(artefact),
    )


def _picture(artefact: Artefact, things: Sequence[SceneObject]) -> Markup:
    count = say("1 thing") if len(things) == 1 else say("{n} things", n=len(things))
    told = ": ".join([kind_words(artefact.kind), *facts_of(artefact)]) if artefact.kind in DATA_KINDS else artefact.label
    alt = say("{id} with {count} marked", id=artefact.id, count=count) if things else f"{artefact.id} {told}".strip()
    image = Markup('<img src="{url}" alt="{alt}" width="{w}" height="{h}" draggable="false">').format(
        url=media_url(shown_path(artefact)), alt=alt, w=artefact.width, h=artefact.height
    )
    return _stage(artefact, image, things)


def _video(artefact: Artefact, things: Sequence[SceneObject]) -> Markup:
    player = Markup('<video src="{url}" poster="{poster}" aria-label="{id}" controls loop muted playsinline></video>').format(
        url=media_url(artefact.path), poster=media_url(shown_path(artefact)), id=artefact.id
    )
    return _stage(artefact, player, things)


def _sound(artefact: Artefact, things: Sequence[SceneObject]) -> Markup:
    return Markup(
        '<div class="um-sound"><canvas aria-hidden="true"></canvas><audio src="{url}" aria-label="{id}" controls></audio></div>'
    ).format(url=media_url(artefact.path), id=artefact.id)


def _timeline(artefact: Artefact, things: Sequence[SceneObject]) -> Markup:
    """When the things are there; a click goes to the beginning."""
    spans = [(thing, span) for thing in things for span in thing.spans]
    if not spans or not artefact.duration_s:
        return EMPTY
    bars = [
        Markup(
            '<button type="button" class="um-span" data-object="{n}" data-um="seek" data-start="{start:.3f}" '
            'style="left:{left:.2f}%;width:{width:.2f}%;--hue:{hue}" aria-label="{words}" title="{words}"></button>'
        ).format(
            n=thing.number,
            start=span.start * artefact.duration_s,
            left=100 * span.start,
            width=100 * (span.end - span.start),
            hue=region_colour(thing.number)[0],
            words=f"{thing.number}: {thing.name}, {span.start * artefact.duration_s:.1f}–{span.end * artefact.duration_s:.1f} s",
        )
        for thing, span in spans
    ]
    return Markup('<div class="um-timeline" role="group" aria-label="{}">{}</div>').format(say("When"), join(bars))


def _stage(artefact: Artefact, player: Markup, things: Sequence[SceneObject]) -> Markup:
    return Markup(
        '<div class="um-stage">{player}'
        '<svg viewBox="0 0 {w} {h}" preserveAspectRatio="none">{shapes}</svg><div class="um-labels">{labels}</div>'
        '<div class="um-marks"></div></div>'
    ).format(
        w=artefact.width,
        h=artefact.height,
        player=player,
        shapes=join([shapes_html(thing, artefact) for thing in things]),
        labels=join([label_html(thing, box) for thing in things for box in thing.boxes]),
    )


def _caption(artefact: Artefact, role: Role) -> Markup:
    if artefact.kind in DATA_KINDS:
        return facts_html(artefact)
    if role == "attachment":
        return EMPTY
    size = f"{artefact.width} × {artefact.height}" if artefact.width else ""
    seconds = f"{artefact.duration_s:.1f} s" if artefact.duration_s else ""
    return join([Markup("<span>{}</span>").format(words) for words in (size, seconds) if words])


def _tools(artefact: Artefact) -> Markup:
    name = f"{artefact.id}{artefact.path.suffix}"
    link = Markup('<a class="um-tool" href="{url}" download="{name}" aria-label="{words}" title="{words}">{icon}</a>').format(
        url=media_url(artefact.path), name=name, words=say("Download {id} with its recipe", id=artefact.id), icon=icon("download")
    )
    inspect = _tool("inspect", artefact, say("Inspect {id} and mark regions", id=artefact.id)) if artefact.width else EMPTY
    return Markup('<span class="um-tools">{}{}{}</span>').format(
        inspect, _tool("use", artefact, say("Use {id} as input", id=artefact.id)), link
    )


def _tool(action: str, artefact: Artefact, words: str) -> Markup:
    return Markup(
        '<button type="button" class="um-tool" data-um="{action}" data-of="{id}" aria-label="{words}" title="{words}">{icon}</button>'
    ).format(action=action, id=artefact.id, words=words, icon=icon(action))


def icon(name: str) -> Markup:
    return Markup('<svg viewBox="0 0 20 20" aria-hidden="true">{}</svg>').format(_ICONS[name])


def _recipe(artefact: Artefact) -> Markup:
    """How it came to be, for the viewer; hidden in the conversation."""
    return Markup('<dl class="um-recipe" hidden>{}</dl>').format(
        join(
            [
                Markup("<dt>{}</dt><dd>{}</dd>").format(say(name.replace("_", " ")), _plain(value))
                for name, value in artefact.recipe.items()
                if value not in (None, "", [])
            ]
        )
    )


def _plain(value: object) -> str:
    if isinstance(value, bool):
        return say("yes") if value else say("no")
    if isinstance(value, Mapping):  # one of several things, with its place
        return str(value.get("phrase", ""))
    return ", ".join(map(_plain, value)) if isinstance(value, list | tuple) else str(value)


# ---- what was found in it ----


def shapes_html(thing: SceneObject, picture: Artefact) -> Markup:
    """Masks and boxes of one thing; reachable with the keyboard."""
    masks = [_mask(mask) for mask in thing.masks]
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
        label=thing.name,
        masks=join(masks),
        boxes=join(boxes),
    )


def _mask(mask: Artefact) -> Markup:
    """The outline; of a masklet one for each frame, of which the page script shows the one that is due."""
    shapes = outlines(mask)[0]
    if len(shapes) == 1:
        return Markup('<path class="um-mask" fill-rule="evenodd" d="{}"/>').format(shapes[0])
    return Markup('<g class="um-masklet" data-seconds="{:.3f}">{}</g>').format(
        mask.duration_s,
        join(
            [
                Markup('<path class="um-mask" fill-rule="evenodd" d="{}"{}/>').format(
                    shape, Markup(' style="display:none"') if index else EMPTY
                )
                for index, shape in enumerate(shapes)
            ]
        ),
    )


def label_html(thing: SceneObject, box: Box) -> Markup:
    """Name tag of a box: it grows towards the side with room and wraps there, so the picture's edge never cuts it off.

    Of the boxes of one thing ("four people") the largest has the name, the others the number; so has one that nobody named ("this").
    """
    named = bool(thing.label) and box == max(thing.boxes or [box], key=lambda one: one.area)
    leftwards = box.x0 > 0.5
    room = box.x1 if leftwards else 1 - box.x0
    side = f"right:{100 * (1 - box.x1):.2f}%" if leftwards else f"left:{100 * box.x0:.2f}%"
    height = f"bottom:{100 * (1 - box.y0):.2f}%" if box.y0 >= TOP_ROOM else f"top:{100 * box.y0:.2f}%"
    hue, ink = region_colour(thing.number)
    return Markup(
        '<span class="um-label{again}" data-object="{n}" style="{side};{height};max-width:{room:.2f}%;'
        '--hue:{hue};--ink:{ink}"><b>{n}</b>{label}</span>'
    ).format(
        again="" if named else " um-again",
        n=thing.number,
        side=side,
        height=height,
        room=100 * room,
        hue=hue,
        ink=ink,
        label=_short(thing.label) if named else "",
    )


def _short(label: str) -> str:
    return label if len(label) <= LABEL_CHARACTERS else label[: LABEL_CHARACTERS - 1].rstrip() + "…"


def _mask_chip(thing: SceneObject, mask: Artefact) -> Markup:
    hue, _ = region_colour(thing.number)
    return Markup(
        '<a class="um-chip" data-object="{n}" style="--hue:{hue}" href="{url}" download="{id}.png" title="{title}">'
        "<i></i>{id}<small>{share}</small></a>"
    ).format(
        n=thing.number,
        hue=hue,
        url=media_url(mask.path),
        id=mask.id,
        title=say("Download the mask"),
        share=say("{share} of the picture", share=f"{outlines(mask)[1]:.0%}"),
    )


def outlines(mask: Artefact) -> tuple[tuple[str, ...], float]:
    """SVG path of a stored mask in its pixels, one for each frame, and the share of the picture it covers; empty when the file is gone."""
    return _outlines(mask.path, mask.width, mask.height)


@lru_cache(maxsize=256)
def _outlines(path: Path, width: int, height: int) -> tuple[tuple[str, ...], float]:
    try:
        masklet = load_masklet(Artefact("mask-0", MediaKind.MASK, path, width, height))
    except UnifiedError:
        return ("",), 0.0
    tolerance = (MASKLET_TOLERANCE,) if len(masklet) > 1 else ()
    return tuple(mask_to_svg_path(mask, *tolerance) for mask in masklet), float(np.mean(masklet))


# ---- regions that a visitor marked ----


def crop_html(artefact: Artefact, box: Box | None = None, strokes: Sequence[Stroke] = ()) -> Markup:
    """A small cut-out of a picture (or of a video's first frame), for chips; what was painted lies over it."""
    if not artefact.width:
        return Markup('<i class="um-crop um-note">♪</i>')
    x0, y0, x1, y1 = _roomy(box, artefact) if box and strokes else box.as_tuple() if box else (0.0, 0.0, 1.0, 1.0)
    return Markup(
        '<svg class="um-crop" viewBox="{x:.1f} {y:.1f} {cw:.1f} {ch:.1f}" preserveAspectRatio="xMidYMid slice" aria-hidden="true">'
        '<image href="{url}" width="{w}" height="{h}"/>{paint}</svg>'
    ).format(
        x=x0 * artefact.width,
        y=y0 * artefact.height,
        cw=(x1 - x0) * artefact.width,
        ch=(y1 - y0) * artefact.height,
        url=media_url(shown_path(artefact)),
        w=artefact.width,
        h=artefact.height,
        paint=_paint(artefact, strokes),
    )


def _roomy(box: Box, artefact: Artefact) -> tuple[float, float, float, float]:
    """A square around the box with room on all sides, so that one sees what shape lies in it; it may leave the picture."""
    side = PAINT_ROOM * max((box.x1 - box.x0) * artefact.width, (box.y1 - box.y0) * artefact.height)
    across, down = side / artefact.width / 2, side / artefact.height / 2
    x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
    return (x - across, y - down, x + across, y + down)


def _paint(artefact: Artefact, strokes: Sequence[Stroke]) -> Markup:
    """Strokes as lines with round ends, in the picture's pixels; the page script draws them into the large picture, too."""
    if not strokes:
        return EMPTY
    lines = [
        Markup('<polyline points="{points}" stroke-width="{width:.1f}"/>').format(
            points=" ".join(f"{x * artefact.width:.1f},{y * artefact.height:.1f}" for x, y in (*stroke.points, stroke.points[-1])),
            width=2 * stroke.radius * min(artefact.width, artefact.height),
        )
        for stroke in strokes
    ]
    return Markup('<g class="um-paint">{}</g>').format(join(lines))
