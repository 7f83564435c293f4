"""Metadata of the cut-outs that ``fetch`` unpacked: what each shows, how large such a thing is, which colours it has.

``catalogue.json`` lies beside the pictures. Broken entries are named, skipped and counted. No pixels are opened here.
"""

import json
import logging
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any

from unified_demo.data.split import Part, part_of_background, part_of_noun
from unified_demo.errors import MediaError
from unified_demo.regions import COLOURS

logger = logging.getLogger(__name__)

CATALOGUE_FILE = "catalogue.json"
VERSION = 1
RESTYLED = ("flat", "modern")
"""Styles that repeat pictures of another style; they serve pairs of styles and are not drawn by chance."""
MAIN_SHARE = 0.4
"""A cut-out has a colour when this share of its pixels has it; else it is many-coloured."""


@dataclass(frozen=True)
class CutoutInfo:
    """One cut-out. ``aspect``: width / height of what is visible; ``colours``: shares of ``regions.COLOURS``, sum 1.

    ``file``: path below the assets folder; ``size_m``: longer side of such a thing in nature, metres; ``style``: photo, 3d, flat,
    modern, drawing or render; ``paint``: a new colour would be plausible. Bad values raise MediaError.
    """

    key: str
    noun: str
    category: str
    tags: tuple[str, ...]
    source: str
    licence: str
    aspect: float
    colours: tuple[float, ...]
    file: str = ""
    size_m: float = 0.5
    style: str = "photo"
    paint: bool = False

    def __post_init__(self) -> None:
        if not (self.key and self.noun and self.category):
            raise MediaError("A cut-out needs key, noun and category.")
        if not (0.02 <= self.aspect <= 50 and 0 < self.size_m < 1e5):
            raise MediaError(f"The cut-out '{self.key}' has aspect {self.aspect} and size {self.size_m} m; that is no thing's shape.")
        if len(self.colours) != len(COLOURS) or abs(sum(self.colours) - 1) > 0.05:
            raise MediaError(f"The cut-out '{self.key}' needs {len(COLOURS)} shares of colours that sum to 1.")
        path = PurePosixPath(self.file)
        if path.is_absolute() or ".." in path.parts:
            raise MediaError(f"The cut-out '{self.key}' lies at '{self.file}'; a path below the assets folder is needed.")

    @property
    def colour(self) -> str:
        """Name of the main colour, "" when no colour covers enough."""
        share = max(self.colours)
        return COLOURS[self.colours.index(share)] if share >= MAIN_SHARE else ""


@dataclass(frozen=True)
class Background:
    """A photograph to lay things on; ``key`` is "photo:<name>", ``file`` lies below the assets folder or is absolute."""

    key: str
    file: str
    source: str = ""
    licence: str = ""


@dataclass(frozen=True)
class Catalogue:
    """All cut-outs and backgrounds of one assets folder; ``skipped`` entries could not be read."""

    cutouts: tuple[CutoutInfo, ...]
    backgrounds: tuple[Background, ...] = ()
    skipped: int = field(default=0, compare=False)

    @cached_property
    def by_key(self) -> dict[str, CutoutInfo]:
        return {info.key: info for info in self.cutouts}

    @cached_property
    def by_noun(self) -> dict[str, tuple[CutoutInfo, ...]]:
        """What plans draw from, nouns in order of their first cut-out; second styles of the same picture are left out."""
        found: dict[str, list[CutoutInfo]] = {}
        for info in self.cutouts:
            if info.style in RESTYLED:
                continue
            found.setdefault(info.noun, []).append(info)
        return {noun: tuple(infos) for noun, infos in found.items()}

    @cached_property
    def nouns_by_category(self) -> dict[str, tuple[str, ...]]:
        found: dict[str, dict[str, None]] = {}
        for info in (infos[0] for infos in self.by_noun.values()):
            found.setdefault(info.category, {})[info.noun] = None
        return {category: tuple(nouns) for category, nouns in found.items()}

    @cached_property
    def nouns(self) -> tuple[str, ...]:
        return tuple(self.by_noun)

    @cached_property
    def _fitting(self) -> dict[tuple[str, ...], tuple[str, ...]]:
        return {}

    def fitting(self, wanted: tuple[str, ...]) -> tuple[str, ...]:
        """Nouns that are among ``wanted`` or of a category among them; remembered."""
        if wanted not in self._fitting:
            by_category = (noun for category in wanted for noun in self.nouns_by_category.get(category, ()))
            self._fitting[wanted] = tuple(dict.fromkeys([*(noun for noun in wanted if noun in self.by_noun), *by_category]))
        return self._fitting[wanted]

    def part(self, part: Part) -> "Catalogue":
        """Only the nouns and backgrounds of that part of the split; the same object each time."""
        return self._parts[part]

    @cached_property
    def _parts(self) -> dict[Part, "Catalogue"]:
        return {part: self._only(part) for part in ("train", "held_out")}

    def _only(self, part: Part) -> "Catalogue":
        cutouts = tuple(info for info in self.cutouts if part_of_noun(info.noun) == part)
        return Catalogue(cutouts, tuple(item for item in self.backgrounds if part_of_background(item.key) == part))


def read_catalogue(folder: Path) -> Catalogue:
    """The catalogue that ``fetch`` wrote into ``folder``. MediaError when there is none or its layout is another."""
    path = Path(folder) / CATALOGUE_FILE
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError as exc:
        raise MediaError(f"{path} is not there; make it with 'python -m unified_demo.data fetch --out {folder}'.") from exc
    except (OSError, ValueError) as exc:
        raise MediaError(f"{path} cannot be read ({exc}); delete it and fetch again.") from exc
    if not isinstance(content, dict) or content.get("version") != VERSION or not isinstance(content.get("cutouts"), list):
        raise MediaError(f"{path} has another layout than version {VERSION}; delete it and fetch again.")
    cutouts: dict[str, CutoutInfo] = {}
    skipped = 0
    for number, row in enumerate(content["cutouts"]):
        try:
            info = _read_cutout(row)
            if info.key in cutouts:
                raise MediaError(f"The key '{info.key}' is there twice.")
            cutouts[info.key] = info
        except (MediaError, TypeError, ValueError) as exc:
            skipped += 1
            logger.warning("%s, cut-out %d skipped: %s", path, number, exc)
    backgrounds = []
    for number, row in enumerate(content.get("backgrounds", [])):
        try:
            backgrounds.append(Background(**row))
        except TypeError as exc:
            skipped += 1
            logger.warning("%s, background %d skipped: %s", path, number, exc)
    return Catalogue(tuple(cutouts.values()), tuple(backgrounds), skipped)


def _read_cutout(row: dict[str, Any]) -> CutoutInfo:
    values = {**row, "tags": tuple(row.get("tags", ())), "colours": tuple(float(share) for share in row.get("colours", ()))}
    return CutoutInfo(**values)


def write_catalogue(catalogue: Catalogue, folder: Path) -> Path:
    """Write ``catalogue.json`` atomically, one cut-out per line."""
    names = [item.name for item in fields(CutoutInfo)]
    rows = [json.dumps({name: getattr(info, name) for name in names}, ensure_ascii=False) for info in catalogue.cutouts]
    backgrounds = [json.dumps(asdict(item), ensure_ascii=False) for item in catalogue.backgrounds]
    text = f'{{"version": {VERSION},\n"cutouts": [\n' + ",\n".join(rows) + '\n],\n"backgrounds": [\n' + ",\n".join(backgrounds) + "\n]}\n"
    path = Path(folder) / CATALOGUE_FILE
    part = path.with_suffix(".part")
    part.write_text(text, "utf-8")
    part.replace(path)
    return path
