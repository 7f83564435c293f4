"""Before and after: pairs of pictures for remove, add, replace, recolour and restyle, with the facts an instruction needs.

An edit plan is two scene plans that differ in one thing (in all things' style for "restyle"). Outside the mask of an edit both
pictures are the same, pixel for pixel; only "restyle" changes the whole picture.
"""

import random
from dataclasses import dataclass, replace

import numpy as np
from PIL import Image

from unified_demo.data.catalogue import RESTYLED, Catalogue, CutoutInfo
from unified_demo.data.compose import Composed, Mask, layer_of, mask_box, render_plan, shadows_of, touched
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.plans import PAINTS, Placed, ScenePlan, draw_plan, without_object
from unified_demo.data.split import Part
from unified_demo.errors import MediaError
from unified_demo.grammar import Box

KINDS = ("remove", "add", "replace", "recolour", "restyle")
STYLES = ("3d", *RESTYLED)
STYLE_PAIRS = (("3d", "flat"), ("flat", "3d"), ("modern", "flat"), ("flat", "modern"))
"""(before, after); 3-D and modern look too much alike to ask for one instead of the other."""
MIN_VISIBLE = 0.7
TRIES = 40


@dataclass(frozen=True)
class EditPlan:
    """``thing``: index of the object in ``after`` for "add", else in ``before``; -1 for "restyle".

    ``new``: the noun that comes, the new colour or the new style; "" for "remove". ``anchor``: (relation word, noun of the other
    thing) that tells where a thing is added, when the scene links it.
    """

    kind: str
    before: ScenePlan
    after: ScenePlan
    thing: int
    new: str
    anchor: tuple[str, str] | None = None

    @property
    def item(self) -> Placed | None:
        """The thing the edit is about; None for "restyle"."""
        if self.thing < 0:
            return None
        return (self.after if self.kind == "add" else self.before).objects[self.thing]

    @property
    def alone(self) -> bool:
        """Whether the noun alone says which thing is meant."""
        item = self.item
        scene = self.after if self.kind == "add" else self.before
        return item is not None and sum(other.noun == item.noun for other in scene.objects) == 1


@dataclass(frozen=True)
class Edit:
    """``changed`` (H, W): pixels that may differ, None for "restyle"; ``mask``: the thing's own pixels; ``box``: their bounds."""

    plan: EditPlan
    before: Image.Image
    after: Image.Image
    changed: Mask | None
    mask: Mask | None
    box: Box | None

    @property
    def kind(self) -> str:
        return self.plan.kind

    def summary(self) -> str:
        """What was done, for people who look: "replace the cat with a dog"."""
        item = self.plan.item
        noun = item.noun if item else "picture"
        where = f" {self.plan.anchor[0]} the {self.plan.anchor[1]}" if self.plan.anchor else ""
        tail = {
            "remove": "",
            "add": where,
            "replace": f" with {self.plan.new}",
            "recolour": f" {self.plan.new}",
            "restyle": f" as {self.plan.new}",
        }
        return f"{self.kind} {noun}{tail[self.kind]}"


def draw_edit_plan(rng: random.Random, catalogue: Catalogue, part: Part = "train", kind: str | None = None) -> EditPlan:
    """A plan of one of KINDS; MediaError when the catalogue has nothing for it."""
    kind = kind or rng.choice(KINDS)
    if kind not in KINDS:
        raise MediaError(f"'{kind}' is no kind of edit; there are: {', '.join(KINDS)}.")
    drawers = {"remove": _remove, "add": _add, "replace": _replace, "recolour": _recolour, "restyle": _restyle}
    for _ in range(TRIES):
        if (plan := drawers[kind](rng, catalogue, part)) is not None:
            return plan
    raise MediaError(f"The catalogue has nothing for an edit of the kind '{kind}' in the part '{part}'.")


def _pick(rng: random.Random, scene: ScenePlan) -> int:
    """A thing to speak of, most often one that is alone of its kind."""
    nouns = [item.noun for item in scene.objects]
    alone = [index for index, noun in enumerate(nouns) if nouns.count(noun) == 1]
    return rng.choice(alone) if alone and rng.random() < 0.75 else rng.randrange(len(nouns))


def _carries(scene: ScenePlan, thing: int) -> bool:
    """Without it something else would hang in the air."""
    return any(thing == (first if word == "holding" else second) for first, word, second in scene.links if word in ("on", "in", "holding"))


def _remove(rng: random.Random, catalogue: Catalogue, part: Part) -> EditPlan | None:
    scene = draw_plan(rng, catalogue, part, max_objects=7)
    thing = _pick(rng, scene)
    return None if _carries(scene, thing) else EditPlan("remove", scene, without_object(scene, thing), thing, "")


def _add(rng: random.Random, catalogue: Catalogue, part: Part) -> EditPlan | None:
    scene = draw_plan(rng, catalogue, part, max_objects=7)
    thing = _pick(rng, scene)
    if _carries(scene, thing):
        return None
    nouns = [item.noun for item in scene.objects]
    anchors = [(word, nouns[other]) for first, word, other in scene.links if first == thing and nouns.count(nouns[other]) == 1]
    return EditPlan("add", without_object(scene, thing), scene, thing, nouns[thing], anchors[0] if anchors else None)


def _replace(rng: random.Random, catalogue: Catalogue, part: Part) -> EditPlan | None:
    """Another thing of the same category, or of like size, on the same spot."""
    scene = draw_plan(rng, catalogue, part, max_objects=7)
    thing = _pick(rng, scene)
    item = scene.objects[thing]
    pool = catalogue if part == "held_out" else catalogue.part("train")
    nouns = [noun for noun in pool.fitting((item.category,)) if noun != item.noun]
    if not nouns:
        return None
    info = rng.choice(pool.by_noun[rng.choice(nouns)])
    placed = Placed(info.key, info.noun, info.category, _same_spot(item.box, info, scene), info.colour, rng.random() < 0.5, 0.0)
    objects = (*scene.objects[:thing], placed, *scene.objects[thing + 1 :])
    return EditPlan("replace", scene, replace(scene, objects=objects), thing, info.noun)


def _same_spot(box: Box, info: CutoutInfo, scene: ScenePlan) -> Box:
    """The largest box of the new thing's shape in the old box, on the same ground line, in whole pixels."""
    width, height = (box.x1 - box.x0) * scene.width, (box.y1 - box.y0) * scene.height
    fitted_w = min(width, height * info.aspect)
    fitted_h = min(height, fitted_w / info.aspect)
    x0 = round(((box.x0 + box.x1) * scene.width - fitted_w) / 2)
    y1 = round(box.y1 * scene.height)
    x1, y0 = min(scene.width, x0 + max(2, round(fitted_w))), max(0, y1 - max(2, round(fitted_h)))
    return Box(x0 / scene.width, y0 / scene.height, x1 / scene.width, y1 / scene.height)


def _recolour(rng: random.Random, catalogue: Catalogue, part: Part) -> EditPlan | None:
    scene = draw_plan(rng, catalogue, part, max_objects=7)
    paintable = [index for index, item in enumerate(scene.objects) if catalogue.by_key[item.cutout].paint]
    if not paintable:
        return None
    thing = rng.choice(paintable)
    item = scene.objects[thing]
    paint = rng.choice([paint for paint in PAINTS if paint != item.colour])
    objects = (*scene.objects[:thing], replace(item, colour=paint), *scene.objects[thing + 1 :])
    return EditPlan("recolour", scene, replace(scene, objects=objects), thing, paint)


def _restyle(rng: random.Random, catalogue: Catalogue, part: Part) -> EditPlan | None:
    """All things in another style; needs cut-outs that exist in both."""
    scene = draw_plan(rng, styled(catalogue), part, max_objects=6)
    first, second = rng.choice(STYLE_PAIRS)
    before, after = in_style(scene, catalogue, first), in_style(scene, catalogue, second)
    return None if before is None or after is None else EditPlan("restyle", before, after, -1, second)


def styled(catalogue: Catalogue) -> Catalogue:
    """The cut-outs that exist in every style; the same object each time."""
    kept = catalogue.__dict__.get("_styled")
    if kept is None:
        codes = [{info.key.split(":", 1)[1] for info in catalogue.cutouts if info.style == style} for style in STYLES]
        shared = set.intersection(*codes)
        cutouts = tuple(info for info in catalogue.cutouts if info.style == "3d" and info.key.split(":", 1)[1] in shared)
        if not cutouts:
            raise MediaError("No cut-out exists in several styles; fetch fluent-emoji-flat and fluent-emoji-modern beside fluent-emoji-3d.")
        kept = catalogue.__dict__["_styled"] = Catalogue(cutouts, catalogue.backgrounds)
    return kept


def in_style(scene: ScenePlan, catalogue: Catalogue, style: str) -> ScenePlan | None:
    """The scene with each cut-out exchanged for the same one in ``style``; None when one does not exist in it."""
    objects = []
    for item in scene.objects:
        code = item.cutout.split(":", 1)[1]
        info = catalogue.by_key.get(f"emoji:{code}" if style == "3d" else f"emoji-{style}:{code}")
        if info is None:
            return None
        objects.append(replace(item, cutout=info.key, colour=info.colour))
    return replace(scene, objects=tuple(objects))


def render_edit(plan: EditPlan, library: CutoutLibrary) -> Edit:
    """Both pictures and the masks. MediaError names a cut-out that cannot be used, or says that the thing is hidden."""
    before, after = render_plan(plan.before, library), render_plan(plan.after, library)
    if plan.thing < 0:
        return Edit(plan, before.image, after.image, None, None, None)
    shown: Composed = after if plan.kind == "add" else before
    if shown.visible[plan.thing] < MIN_VISIBLE:
        raise MediaError("The thing to edit is hidden behind others.")
    size = (plan.before.height, plan.before.width)
    changed = np.zeros(size, bool)
    for scene in (plan.before, plan.after):
        if plan.kind in ("replace", "recolour") or (scene is plan.after) == (plan.kind == "add"):
            strength = shadows_of(scene)[plan.thing]
            changed |= touched(layer_of(scene.objects[plan.thing], scene, library), strength, size)
    mask = shown.masks[plan.thing]
    return Edit(plan, before.image, after.image, changed, mask, mask_box(mask))


def draw_edit(rng: random.Random, catalogue: Catalogue, library: CutoutLibrary, part: Part = "train", kind: str | None = None) -> Edit:
    """Draw a plan whose thing can be seen, and render it; a cut-out that cannot be opened is passed over (see ``library.broken``)."""
    reason: MediaError | None = None
    for _ in range(8):
        plan = draw_edit_plan(rng, catalogue, part, kind)
        try:
            return render_edit(plan, library)
        except MediaError as exc:
            reason = exc
    raise MediaError(f"No edit could be rendered ({reason}).") from reason
