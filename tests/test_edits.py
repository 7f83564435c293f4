"""Before and after: what changes, what does not, and that the facts of an edit are true."""

import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_cutouts import RGB, write_tiny_assets

from unified_demo.data.catalogue import Catalogue
from unified_demo.data.cutouts import CutoutLibrary
from unified_demo.data.edits import KINDS, draw_edit, draw_edit_plan, in_style, styled
from unified_demo.data.split import held_out_objects
from unified_demo.errors import MediaError
from unified_demo.regions import COLOURS, colour_shares

LOCAL = tuple(kind for kind in KINDS if kind != "restyle")


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> CutoutLibrary:
    """The tiny cut-outs, three of them also as "emoji" in three styles."""
    folder: Path = tmp_path_factory.mktemp("assets")
    catalogue = write_tiny_assets(folder)
    cutouts = list(catalogue.cutouts)
    for noun, colour in (("cat", "gray"), ("apple", "red"), ("car", "blue")):
        base = catalogue.by_key[f"tiny:{noun}"]
        for style, prefix, rgb in (
            ("3d", "emoji", RGB[colour]),
            ("flat", "emoji-flat", (20, 20, 20)),
            ("modern", "emoji-modern", (240, 40, 200)),
        ):
            Image.new("RGBA", (40, 40), (*rgb, 255)).save(folder / f"{prefix}-{noun}.png")
            cutouts.append(replace(base, key=f"{prefix}:{noun}", style=style, file=f"{prefix}-{noun}.png", aspect=1.0))
    return CutoutLibrary(folder, Catalogue(tuple(cutouts), catalogue.backgrounds))


@pytest.mark.parametrize("kind", LOCAL)
def test_outside_the_mask_nothing_changes_and_inside_something_does(library: CutoutLibrary, kind: str) -> None:
    rng = random.Random(1)
    for _ in range(4):
        edit = draw_edit(rng, library.catalogue, library, kind=kind)
        before, after = np.asarray(edit.before), np.asarray(edit.after)
        differs = (before != after).any(-1)
        assert edit.changed is not None and edit.mask is not None and edit.box is not None
        assert not (differs & ~edit.changed).any()
        assert differs[edit.mask].mean() > 0.5, edit.summary()
        assert edit.changed.mean() < 0.75


def test_things_come_and_go(library: CutoutLibrary) -> None:
    rng = random.Random(2)
    for _ in range(10):
        gone = draw_edit_plan(rng, library.catalogue, kind="remove")
        assert len(gone.after.objects) == len(gone.before.objects) - 1
        assert gone.item not in gone.after.objects or gone.before.objects.count(gone.item) > 1
        come = draw_edit_plan(rng, library.catalogue, kind="add")
        assert len(come.after.objects) == len(come.before.objects) + 1 and come.item.noun == come.new
        swapped = draw_edit_plan(rng, library.catalogue, kind="replace")
        other = swapped.after.objects[swapped.thing]
        assert other.noun == swapped.new != swapped.item.noun and other.category == swapped.item.category
        assert other.box.y1 == pytest.approx(swapped.item.box.y1) and other.box.iou(swapped.item.box) > 0.15


def test_nothing_that_carries_is_taken_away(library: CutoutLibrary) -> None:
    rng = random.Random(3)
    for _ in range(100):
        plan = draw_edit_plan(rng, library.catalogue, kind="remove")
        lost = [word for first, word, second in plan.before.links if plan.thing in (first, second)]
        kept = {word for first, word, second in plan.before.links if second == plan.thing}
        assert not kept & {"on", "in"}, lost


def test_an_added_thing_knows_its_anchor(library: CutoutLibrary) -> None:
    rng = random.Random(4)
    anchors = [plan.anchor for plan in (draw_edit_plan(rng, library.catalogue, kind="add") for _ in range(80)) if plan.anchor]
    assert anchors and all(len(anchor) == 2 for anchor in anchors)


def test_a_new_colour_is_the_one_that_is_named(library: CutoutLibrary) -> None:
    rng = random.Random(5)
    for _ in range(4):
        edit = draw_edit(rng, library.catalogue, library, kind="recolour")
        shares = colour_shares(np.asarray(edit.after)[edit.mask][None])
        assert COLOURS[int(shares.argmax())] == edit.plan.new != edit.plan.item.colour
        assert edit.plan.after.objects[edit.plan.thing].colour == edit.plan.new


def test_a_style_changes_everything_but_places(library: CutoutLibrary) -> None:
    rng = random.Random(6)
    edit = draw_edit(rng, library.catalogue, library, kind="restyle")
    assert edit.changed is None and edit.plan.item is None
    assert [item.box for item in edit.plan.before.objects] == [item.box for item in edit.plan.after.objects]
    assert all(item.cutout.startswith("emoji") for item in edit.plan.after.objects)
    assert (np.asarray(edit.before) != np.asarray(edit.after)).any()
    assert styled(library.catalogue) is styled(library.catalogue)
    assert in_style(edit.plan.before, Catalogue(()), "flat") is None


def test_training_edits_know_no_held_out_thing(library: CutoutLibrary) -> None:
    rng = random.Random(7)
    for kind in KINDS:
        for _ in range(15):
            plan = draw_edit_plan(rng, library.catalogue, "train", kind)
            nouns = {item.noun for scene in (plan.before, plan.after) for item in scene.objects}
            assert not nouns & held_out_objects()


def test_edits_are_repeatable_and_the_kind_is_checked(library: CutoutLibrary) -> None:
    for kind in KINDS:
        first, second = (draw_edit_plan(random.Random(8), library.catalogue, kind=kind) for _ in range(2))
        assert first == second
    first, second = (np.asarray(draw_edit(random.Random(9), library.catalogue, library).after) for _ in range(2))
    assert (first == second).all()
    with pytest.raises(MediaError, match="no kind of edit"):
        draw_edit_plan(random.Random(0), library.catalogue, kind="explode")
    plain = Catalogue(tuple(info for info in library.catalogue.cutouts if info.key.startswith("tiny")))
    with pytest.raises(MediaError, match="several styles"):
        draw_edit_plan(random.Random(0), plain, kind="restyle")
