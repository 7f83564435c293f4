"""From unpacked assets to ``catalogue.json``: which picture shows what, how wide it is, which colours it has.

Emoji are named by codepoint, furniture by its library (and rendered from its models), stamps by their captions, shots on white by
their folders. What has no plain name is left out; what cannot be opened is named, counted and left out.
"""

import fnmatch
import json
import logging
import re
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from unified_demo.data.catalogue import CATALOGUE_FILE, MAIN_SHARE, Background, Catalogue, CutoutInfo, read_catalogue, write_catalogue
from unified_demo.data.cutouts import SOLID, open_picture, painted, trimmed
from unified_demo.data.fetching import Asset
from unified_demo.data.naming import Name, name_of_emoji, name_of_furniture, name_of_stamp, named, things
from unified_demo.data.split import part_of_noun
from unified_demo.errors import MediaError
from unified_demo.hues import PAINT_HUES
from unified_demo.regions import COLOURS, Floats, colour_shares

logger = logging.getLogger(__name__)

SIDE = 256
"""Longer side of pictures made here: renders, rasterised drawings, shots on white."""
MIN_SIDE = 40
LOOK_SIDE = 96
"""Colours are counted on a copy about this large."""
PAINT_SHARE = 0.5
VIEW_ANGLES = ((32.0, 18.0), (-40.0, 22.0), (8.0, 12.0), (150.0, 18.0), (-75.0, 15.0), (205.0, 24.0))
"""(azimuth, elevation) of the views of a model, degrees, in the order in which they are taken."""
BACKGROUND_SIDE = 640

Maker = Callable[[Asset, Path, dict[str, Path], Path, int], Iterator[CutoutInfo]]


class Skipped(Counter[str]):
    """Reasons why files were left out, with counts; each is logged with its file."""

    def note(self, path: object, reason: str) -> None:
        self[reason] += 1
        logger.warning("%s left out: %s", path, reason)


def make_catalogue(assets: dict[str, Asset], folders: dict[str, Path], out: Path, views: int = 2) -> Catalogue:
    """Catalogue everything in ``folders`` (asset name -> unpacked folder) and write ``catalogue.json`` into ``out``.

    What an earlier run catalogued from other assets stays.
    """
    earlier = read_catalogue(out) if (out / CATALOGUE_FILE).exists() else Catalogue(())
    cutouts = {info.key: info for info in earlier.cutouts if info.source not in folders}
    if (out / "emojibase-data").is_dir():
        folders = {"emojibase-data": out / "emojibase-data", **folders}
    for name, folder in folders.items():
        maker = MAKERS.get(name)
        if maker is None:
            continue
        made = {info.key: info for info in maker(assets[name], folder, folders, out, views)}
        logger.info("%s: %d cut-outs of %d kinds", name, len(made), len({info.noun for info in made.values()}))
        cutouts |= made
    backgrounds = [item for item in earlier.backgrounds if item.source not in folders]
    backgrounds += [item for name in folders if name in BACKGROUNDS for item in _photos(assets[name], folders[name], out)]
    catalogue = Catalogue(tuple(cutouts.values()), tuple(backgrounds))
    if not cutouts:
        raise MediaError("None of the assets holds cut-outs that can be named; fetch fluent-emoji-3d and emojibase-data together.")
    path = write_catalogue(catalogue, out)
    held = [noun for noun in catalogue.by_noun if part_of_noun(noun) == "held_out"]
    logger.info(
        "%s: %d cut-outs, %d nouns of %d categories (%d held out), %d backgrounds",
        path, len(cutouts), len(catalogue.by_noun), len(catalogue.nouns_by_category), len(held), len(backgrounds),
    )  # fmt: skip
    return catalogue


def describe(
    key: str, name: Name, asset: Asset, file: Path, out: Path, *, tags: tuple[str, ...], style: str, licence: str = ""
) -> CutoutInfo:
    """Open a picture below ``out`` and note its shape and colours. MediaError when it cannot be used or is too small."""
    picture = open_picture(file, "RGBA")
    if max(picture.size) < MIN_SIDE:
        raise MediaError(f"it is only {picture.width} x {picture.height} pixels")
    small = np.asarray(picture.reduce(max(1, max(picture.size) // LOOK_SIDE)))
    shares, coverage = _shares(small), float((small[..., 3] >= SOLID).mean())
    if coverage < 0.04:
        raise MediaError("hardly anything of it is visible")
    info = CutoutInfo(
        key, name.noun, name.category, tags, asset.name, licence or asset.licence, round(picture.width / picture.height, 4),
        tuple(round(float(share), 4) for share in shares), file.relative_to(out).as_posix(), name.size_m, style, name.paint,
    )  # fmt: skip
    return replace(info, paint=info.paint and _can_be_painted(small, info))


def _shares(pixels: np.ndarray) -> Floats:
    return colour_shares(pixels[pixels[..., 3] >= SOLID][:, :3][None])


def _can_be_painted(pixels: np.ndarray, info: CutoutInfo) -> bool:
    """Painted in any colour it has that colour more than any other, and its name is then true."""
    if max(info.colours) < PAINT_SHARE:
        return False
    for paint in PAINT_HUES:
        shares = _shares(painted(pixels, info.colour, paint))
        if COLOURS[int(shares.argmax())] != paint or shares.max() < MAIN_SHARE:
            return False
    return True


# ---- emoji ----


def _emoji(asset: Asset, folder: Path, folders: dict[str, Path], out: Path, views: int) -> Iterator[CutoutInfo]:
    """3-D style pictures named by codepoint; needs emojibase-data beside them."""
    yield from _emoji_files(asset, folders, {path.stem: path for path in sorted((folder / "assets").glob("*.webp"))}, out, "emoji", "3d")


def _emoji_drawn(asset: Asset, folder: Path, folders: dict[str, Path], out: Path, views: int) -> Iterator[CutoutInfo]:
    """Flat and modern drawings of the same emoji, rasterised once; keys "emoji-flat:<codepoint>"."""
    style = asset.name.rsplit("-", 1)[-1]
    target = out / "rasterised" / style
    target.mkdir(parents=True, exist_ok=True)
    files = {path.name.removesuffix("svg").rstrip("."): path for path in sorted((folder / "assets").iterdir()) if path.name.endswith("svg")}
    wanted = {key for key, _, _ in _emoji_names(folders, set(files))}
    yield from _emoji_files(
        asset,
        folders,
        {key: _rasterised(files[key], target / f"{key}.webp") for key in files if key in wanted},
        out,
        f"emoji-{style}",
        style,
    )


def _rasterised(drawing: Path, target: Path) -> Path:
    if not target.exists():
        from unified_demo.data.renders import optional

        content = optional("resvg_py").svg_to_bytes(svg_string=drawing.read_text("utf-8"), width=SIDE, height=SIDE)
        target.with_suffix(".png").write_bytes(bytes(content))
        with Image.open(target.with_suffix(".png")) as picture:
            picture.save(target, lossless=True)
        target.with_suffix(".png").unlink()
    return target


def _emoji_names(folders: dict[str, Path], files: set[str]) -> Iterator[tuple[str, Name, tuple[str, ...]]]:
    """(file stem, name, tags) of every emoji with a file and a plain name."""
    if "emojibase-data" not in folders:
        raise MediaError("Emoji have no names without emojibase-data; fetch it together with them.")
    base = folders["emojibase-data"]
    subgroups = json.loads((base / "meta" / "groups.json").read_text("utf-8"))["subgroups"]
    for row in json.loads((base / "en" / "data.json").read_text("utf-8")):
        code = row["hexcode"].lower()
        stem = next((stem for stem in (code, f"{code}-fe0f") if stem in files), None)
        name = name_of_emoji(row["label"], subgroups.get(str(row.get("subgroup")), "")) if stem else None
        if stem and name:
            yield stem, name, (row["label"], *row.get("tags", ()))


def _emoji_files(
    asset: Asset, folders: dict[str, Path], files: dict[str, Path], out: Path, prefix: str, style: str
) -> Iterator[CutoutInfo]:
    skipped = Skipped()
    for stem, name, tags in _emoji_names(folders, set(files)):
        try:
            yield describe(f"{prefix}:{stem.removesuffix('-fe0f')}", name, asset, files[stem], out, tags=tags, style=style)
        except MediaError as exc:
            skipped.note(files[stem], str(exc))


# ---- furniture ----


def _furniture(asset: Asset, folder: Path, folders: dict[str, Path], out: Path, views: int) -> Iterator[CutoutInfo]:
    """Models of the Sweet Home 3D libraries, rendered from a few sides; keys "furniture:<library>/<number>/<view>"."""
    skipped = Skipped()
    for row in furniture_models(folder, out / "furniture"):
        target = out / "furniture-views" / row["library"]
        target.mkdir(parents=True, exist_ok=True)
        try:
            files = _rendered(row, target, views)
        except MediaError as exc:
            skipped.note(row["model"], str(exc))
            continue
        for number, file in enumerate(files):
            key = f"furniture:{row['library']}/{row['number']}/{number}"
            name = replace(row["name"], size_m=max(max(row["size_m"]), 0.02))
            try:
                yield describe(key, name, asset, file, out, tags=(row["title"],), style="render", licence=row["licence"])
            except MediaError as exc:
                skipped.note(file, str(exc))


def furniture_models(folder: Path, target: Path) -> Iterator[dict[str, Any]]:
    """Every named model: library, number, title, name, size_m (width, height, depth), rotation, model (path), licence.

    The libraries (zip archives) are unpacked into ``target`` once.
    """
    for archive in sorted(folder.rglob("*.sh3f")):
        place = target / archive.stem
        if not (place / "PluginFurnitureCatalog.properties").exists():
            with zipfile.ZipFile(archive) as packed:
                packed.extractall(place, [name for name in packed.namelist() if not re.search(r"Catalog_\w+\.properties$", name)])
        text = (place / "PluginFurnitureCatalog.properties").read_text("latin-1")
        rows: dict[str, dict[str, str]] = {}
        for field, number, value in re.findall(r"^(\w+)#(\d+)=(.*)$", text, re.MULTILINE):
            rows.setdefault(number, {})[field] = value.strip()
        for number, row in rows.items():
            title = re.sub(r"\\u([0-9a-fA-F]{4})", lambda found: chr(int(found[1], 16)), row.get("name", ""))
            name = name_of_furniture(title, row.get("category", ""))
            if name is None or "model" not in row:
                continue
            size = tuple(float(row[side]) / 100 for side in ("width", "height", "depth"))
            turn = [float(value) for value in row["modelRotation"].split()] if "modelRotation" in row else None
            path = place / row["model"].lstrip("/")
            licence = "CC0" if "CC-0" in archive.stem else f"CC-BY-3.0 {row.get('creator', archive.stem)}"
            yield {"library": archive.stem, "number": number, "title": title, "name": name, "size_m": size, "rotation": turn,
                   "model": path, "licence": licence}  # fmt: skip


def _rendered(row: dict[str, Any], target: Path, views: int) -> list[Path]:
    """Pictures of a model; made once."""
    from unified_demo.data.renders import Camera, Renderer, load_model

    files = [target / f"{row['number']}-{number}.webp" for number in range(min(views, len(VIEW_ANGLES)))]
    if all(file.exists() for file in files):
        return files
    renderer = Renderer(load_model(row["model"], row["size_m"], row["rotation"]))
    for file, (azimuth, elevation) in zip(files, VIEW_ANGLES, strict=False):
        view = renderer.view(Camera(azimuth, elevation, SIDE))
        alpha = np.round(view.alpha * 255).astype(np.uint8)
        trimmed(Image.fromarray(np.dstack([view.rgb, alpha]))).save(file, lossless=True)
    return files


# ---- stamps and shots on white ----


def _stamps(asset: Asset, folder: Path, folders: dict[str, Path], out: Path, views: int) -> Iterator[CutoutInfo]:
    """Photographic stamps named by the first line of their caption files; drawings (cartoon folders) are left out."""
    skipped = Skipped()
    root = next(iter(folder.rglob("stamps")), folder)
    for file in sorted(root.rglob("*.png")):
        caption = file.with_suffix(".txt")
        if not caption.exists() or "_mirror" in file.stem:
            continue
        words = caption.read_text("utf-8", errors="replace").split("\n", 1)[0]
        place = file.relative_to(root)
        name = name_of_stamp(place.parent.as_posix(), words)
        if name is None:
            continue
        try:
            yield describe(f"stamp:{place.with_suffix('').as_posix()}", name, asset, file, out, tags=(words.strip(),), style="photo")
        except MediaError as exc:
            skipped.note(file, str(exc))


COARSE = {"Fruit": "fruit", "Vegetables": "vegetable"}
"""Folders of Grocery's product shots that are used; branded packages are not."""


def _shots_on_white(asset: Asset, folder: Path, folders: dict[str, Path], out: Path, views: int) -> Iterator[CutoutInfo]:
    """Product shots on white: the white around them is made transparent; the folder's name is the noun."""
    skipped = Skipped()
    target = out / asset.name
    target.mkdir(parents=True, exist_ok=True)
    for group, category in COARSE.items():
        for file in sorted(path for path in (folder / group).rglob("*_Iconic.*") if path.suffix in (".webp", ".jpg", ".png")):
            parts = file.relative_to(folder / group).parts
            noun, fine = (_noun(parts[0]), _noun(parts[-2]))
            cut = target / f"{file.stem}.webp"
            try:
                if not cut.exists():
                    trimmed(without_white(open_picture(file, "RGB"))).save(cut, lossless=True)
                name = named(noun, things()["categories"].get(noun, category))
                yield describe(f"shot:{file.stem}", name, asset, cut, out, tags=(fine,), style="photo")
            except MediaError as exc:
                skipped.note(file, str(exc))


def _noun(folder: str) -> str:
    words = folder.replace("-", " ").replace("_", " ").lower()
    return things()["shots"]["names"].get(words, words)


def without_white(picture: Image.Image, tolerance: int = 24) -> Image.Image:
    """RGBA of a thing on white: what is white and hangs together with the edge of the picture becomes transparent."""
    framed = Image.new("RGB", (picture.width + 2, picture.height + 2), "white")
    framed.paste(picture, (1, 1))
    marked = framed.copy()
    ImageDraw.floodfill(marked, (0, 0), (255, 0, 255), thresh=tolerance)
    inside = (np.asarray(marked) != (255, 0, 255)).any(-1)
    alpha = Image.fromarray((inside * 255).astype(np.uint8)).filter(ImageFilter.MedianFilter(5)).filter(ImageFilter.MinFilter(3))
    framed.putalpha(alpha.filter(ImageFilter.GaussianBlur(0.7)))
    return framed


def _photos(asset: Asset, folder: Path, out: Path) -> Iterator[Background]:
    """Background photographs that the table's patterns pick, copied at most BACKGROUND_SIDE pixels wide."""
    skipped = Skipped()
    target = out / "backgrounds" / asset.name
    target.mkdir(parents=True, exist_ok=True)
    for file in sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".webp", ".jpg", ".jpeg", ".png")):
        place = file.relative_to(folder)
        if not any(fnmatch.fnmatch(place.as_posix(), pattern) for pattern in asset.files):
            continue
        name = "-".join(part for part in place.with_suffix("").parts if part not in _BORING)
        copy = target / f"{name}.webp"
        try:
            if not copy.exists():
                picture = open_picture(file, "RGB")
                picture.thumbnail((BACKGROUND_SIDE, BACKGROUND_SIDE))
                picture.save(copy, quality=90)
            yield Background(f"photo:{asset.name}/{name}", copy.relative_to(out).as_posix(), asset.name, asset.licence)
        except MediaError as exc:
            skipped.note(file, str(exc))


_BORING = frozenset({"usr", "share", "backgrounds", "wallpapers", "contents", "images"})
MAKERS: dict[str, Maker] = {
    "fluent-emoji-3d": _emoji,
    "fluent-emoji-flat": _emoji_drawn,
    "fluent-emoji-modern": _emoji_drawn,
    "sweethome3d-furniture": _furniture,
    "tuxpaint-stamps-default": _stamps,
    "grocery-iconic": _shots_on_white,
}
"""Asset -> what catalogues it; others (names, optional sets) are unpacked only."""
BACKGROUNDS = ("caltech101-backgrounds", "lomiri-wallpapers", "mate-backgrounds", "plasma-wallpapers")
