"""The image editing expert for photographs: styles by small networks, tones, light and weather by photographic filters.

The words of the instruction choose from a committed table (styles.toml). What is not in it goes to an instruct pipeline where
the profile has one; else the answer names what is known. The second of two pictures is taken as the style of the first. Drawn pictures
go to the small editor (drawn_editing.py) for what it knows.
"""

import re
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache, partial
from pathlib import Path
from typing import Any

from PIL import Image

from unified_demo.errors import ExpertError
from unified_demo.experts.base import Expert, ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.experts.diffusion import PipelineSource, load_pipeline
from unified_demo.experts.drawn_editing import DrawnEditExpert, autoencoder_cover, is_drawn
from unified_demo.experts.drawn_edits import longest_edit_word
from unified_demo.experts.editing import PIPELINE as INSTRUCTED
from unified_demo.experts.photo_filters import apply
from unified_demo.experts.sizes import enlarged, read_size
from unified_demo.experts.small_generators import EDITOR, GENERATOR, memory_bytes, source
from unified_demo.experts.small_generators import PIPELINE as DRAWN
from unified_demo.experts.strength import read_strength
from unified_demo.experts.style_nets import StyleNets
from unified_demo.experts.turning import read_turn, turned
from unified_demo.grammar import MediaKind, Task
from unified_demo.media import load_image
from unified_demo.messages import Artefact
from unified_demo.remembered import TURN
from unified_demo.zoo import Zoo

ROLES = ("styles", "style_reader", "style_painter")
TABLE = Path(__file__).with_name("styles.toml")
STRENGTH = 1.0
"""Where nothing is said."""


RESIZED, TURNED = "Lanczos, sharpened", "pixels turned or mirrored"
"""In the recipe of a picture that got nothing but another size, or was turned."""
_FILLER = re.compile(
    r"(?:\W|\b(?:please|can|could|you|i|want|need|would|like|to|make|get|give|me|turn|have|let|it|this|that|the|my|an?|of|in|be|into|as|is"
    r"|up|look|size|version|picture|image|photo|photograph|drawing)\b)*",
    re.IGNORECASE,
)
"""Words that ask for no change of what is to be seen."""


@dataclass(frozen=True)
class Style:
    """One row of the table: ``net`` is a style of the 26-style network, else ``filter`` is a key of ``photo_filters.FILTERS``."""

    name: str
    words: tuple[str, ...]
    net: int | None = None
    filter: str = ""

    @property
    def method(self) -> str:
        return "photographic filter" if self.filter else "style network"


@cache
def styles() -> tuple[Style, ...]:
    """The table."""
    return tuple(Style(**{**row, "words": tuple(row["words"])}) for row in tomllib.loads(TABLE.read_text(encoding="utf-8"))["style"])


def find_style(instruction: str) -> Style | None:
    """The style whose longest word occurs in the instruction; None when none does."""
    return _longest(instruction)[1]


def _longest(instruction: str) -> tuple[int, Style | None]:
    """Letters of the longest word that occurs, and its style."""
    said = " ".join(instruction.lower().split())
    found = [(len(word), style) for style in styles() for word in style.words if re.search(rf"\b{re.escape(word)}\b", said)]
    return max(found, key=lambda item: item[0]) if found else (0, None)


def for_editor(instruction: str) -> bool:
    """Whether the small editor's table has the longer word for it, or as long a one: "at night" yes, "a watercolour of the night" no."""
    edits = longest_edit_word(instruction)
    return edits > 0 and edits >= _longest(instruction)[0]


class RestylingExpert:
    """``instructed`` does what the table does not know, ``drawn`` what it knows to drawn pictures; either may be None."""

    def __init__(self, nets: StyleNets, instructed: Expert | None = None, drawn: DrawnEditExpert | None = None) -> None:
        self._nets = nets
        self._instructed = instructed
        self._drawn = drawn

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        """One step, then a picture of the input's size, or turned, or of the size that is asked for. ExpertError without a picture, for a
        style that is not known and for a size that cannot be made."""
        pictures = [artefact for artefact in request.inputs if artefact.kind == MediaKind.IMAGE]
        if not pictures:
            raise ExpertError("Image editing got no picture; one picture and what shall change in it are needed.")
        if turn := read_turn(request.prompt):
            yield from _turned(request, pictures[0], turn)
            return
        words, size = read_size(request.prompt)
        if size is None:
            yield from self._change(request, pictures)
            return
        sides = size.kept((pictures[0].width, pictures[0].height))
        if len(pictures) == 1 and _FILLER.fullmatch(words):
            changed = _as_it_is(request, pictures[0])
        else:
            changed = self._change(replace(request, prompt=words), pictures)
        for event in changed:
            if isinstance(event, Output):
                recipe = event.recipe | {"width": sides[0], "height": sides[1]}
                event = replace(event, value=enlarged(event.value, sides), label=request.prompt, recipe=recipe)
            yield event

    def _change(self, request: ExpertRequest, pictures: list[Artefact]) -> Iterator[ExpertEvent]:
        """One step, then a picture of the input's size."""
        instruction, strength = read_strength(request.prompt, request.strength, STRENGTH)
        drawn = self._drawn if len(pictures) == 1 and for_editor(instruction) else None
        if drawn and drawn.knows(instruction) and is_drawn(pictures[0], load_image(pictures[0])):
            yield from drawn.run(request)
            return
        style = find_style(instruction)
        if style is None and len(pictures) == 1:
            yield from self._pass_on(request)
            return
        name = style.name if style else f"the style of {pictures[1].id}"
        yield Progress(0, 1, name)
        if request.cancel.is_set():
            return
        picture = load_image(pictures[0])
        changed = self._paint(picture, style, request.seed) if style else self._nets.paint_like(picture, load_image(pictures[1]))
        mixed = Image.blend(picture, changed, strength)
        yield Progress(1, 1, name)
        recipe: dict[str, Any] = {"style": name, "strength": round(strength, 3), "method": style.method if style else "style network"}
        yield Output(MediaKind.IMAGE, mixed, of=pictures[0].id, label=request.prompt, recipe=recipe)

    def _paint(self, picture: Image.Image, style: Style, seed: int) -> Image.Image:
        return apply(style.filter, picture, seed) if style.net is None else self._nets.paint(picture, style.net)

    def _pass_on(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        if self._instructed is None:
            names = [style.name for style in styles()]
            known = ", ".join(names)
            drawn = f" Drawn pictures alone can also become: {self._drawn.known(names)}." if self._drawn else ""
            wish = request.prompt[:60]
            if self._drawn and self._drawn.knows(request.prompt):
                raise ExpertError(
                    f"'{wish}' can be done to drawn pictures alone, and this one looks like a photograph; "
                    f"photographs can become: {known}.{drawn}"
                )
            raise ExpertError(f"'{wish}' is not among the changes of whole pictures known here; known: {known}.{drawn}")
        yield from self._instructed.run(request)


def _as_it_is(request: ExpertRequest, artefact: Artefact) -> Iterator[ExpertEvent]:
    """What is only to become larger or smaller."""
    yield Progress(0, 1, RESIZED)
    if not request.cancel.is_set():
        yield Progress(1, 1, RESIZED)
        yield Output(MediaKind.IMAGE, load_image(artefact).convert("RGB"), of=artefact.id, recipe={"method": RESIZED})


def _turned(request: ExpertRequest, artefact: Artefact, turn: str) -> Iterator[ExpertEvent]:
    yield Progress(0, 1, TURNED)
    if not request.cancel.is_set():
        yield Progress(1, 1, TURNED)
        recipe = {"method": TURNED, TURN: turn}
        yield Output(
            MediaKind.IMAGE, turned(load_image(artefact).convert("RGB"), turn), of=artefact.id, label=request.prompt, recipe=recipe
        )


def load_restyling(zoo: Zoo, editor: PipelineSource | None = None) -> RestylingExpert:
    """Fetch the weights if need be. ``editor``: the small editor, for drawn pictures in another style."""
    nets = StyleNets(*(zoo.path(role) for role in ROLES))
    generator = source(zoo, GENERATOR, DRAWN)
    cover = autoencoder_cover(Path(generator.place)) if generator else None
    return RestylingExpert(nets, drawn=DrawnEditExpert(load_pipeline(editor) if editor else None, cover))


def build_specs(zoo: Zoo) -> tuple[ExpertSpec, ...]:
    """The experts of this file; nothing is loaded or fetched here. Drawn pictures are for the small editor, if there."""
    editor = source(zoo, EDITOR, INSTRUCTED)
    edited = (f"tiny/{EDITOR}",) if editor else ()
    return (
        ExpertSpec(
            task=Task.IMAGE_EDITING.value,
            name="styles and filters",
            description=f"changes a whole photo or drawing: {len(styles())} styles, tones, seasons, places and kinds of weather",
            needs=(MediaKind.IMAGE,),
            gives=MediaKind.IMAGE,
            licence=zoo.file(ROLES[0]).licence,
            weights=(*ROLES, *edited),
            memory_bytes=500 * 2**20 + (memory_bytes(zoo, EDITOR) if editor else 0),
            load=partial(load_restyling, zoo, editor),
            options=("strength",),
        ),
    )
