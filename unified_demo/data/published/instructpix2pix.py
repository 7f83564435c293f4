"""InstructPix2Pix (arXiv 2211.09800): pairs of generated pictures with the instruction that leads from one to the other.

Layout as timothybrooks/instruct-pix2pix writes and reads it (dataset_creation/generate_img_dataset.py, edit_dataset.py): a folder for each
prompt with ``prompt.json`` (input, edit, output), ``<seed>_0.jpg``, ``<seed>_1.jpg`` and, from generation, ``metadata.jsonl`` (seed and
CLIP similarities); ``seeds.json`` lists [folder, [seeds]], and without it the folders are looked through.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.published.reading import Broken, Complaints, json_entries, json_lines, need, picture_size, read_json
from unified_demo.errors import MediaError


@dataclass(frozen=True)
class EditPair:
    """``direction``: CLIP similarity of the change in words and in pictures (clip_sim_dir), None where it was not recorded."""

    before: Path
    after: Path
    instruction: str
    caption_before: str
    caption_after: str
    seed: str
    direction: float | None = None


def read_instructpix2pix(folder: Path, complaints: Complaints) -> Iterator[EditPair]:
    """Pairs by prompt and seed. MediaError when there is no folder with a prompt.json."""
    prompts = sorted(path.parent for path in folder.glob("*/prompt.json"))
    listing = folder / "seeds.json"
    if not prompts and not listing.is_file():
        raise MediaError(f"{folder} holds neither seeds.json nor folders with a prompt.json; name the unpacked dataset.")
    if listing.is_file():
        for line, entry in json_entries(listing, complaints):
            try:
                name, seeds = _listed(entry)
                if not (folder / name / "prompt.json").is_file():
                    raise Broken("missing file", f"names the prompt {name}, which has no folder with a prompt.json")
            except Broken as exc:
                complaints.add(listing, line, exc.kind, str(exc))
                continue
            yield from _read_prompt(folder / name, seeds, complaints)
        return
    for prompt in prompts:
        yield from _read_prompt(prompt, [path.name.removesuffix("_0.jpg") for path in sorted(prompt.glob("*_0.jpg"))], complaints)


def _listed(entry: Any) -> tuple[str, list[str]]:
    if not (isinstance(entry, list) and len(entry) == 2 and isinstance(entry[0], str) and isinstance(entry[1], list)):
        raise Broken("wrong layout", "is not [folder, [seeds]]")
    return Path(entry[0]).name, [str(seed) for seed in entry[1]]


def _read_prompt(folder: Path, seeds: list[str], complaints: Complaints) -> Iterator[EditPair]:
    path = folder / "prompt.json"
    content = read_json(path, complaints)
    if content is None:
        return
    try:
        instruction, caption_before, caption_after = (need(content, name, str).strip() for name in ("edit", "input", "output"))
        if not instruction:
            raise Broken("no instruction", "has an empty instruction")
        if not seeds:
            raise Broken("missing picture", "has no pictures beside it")
    except Broken as exc:
        complaints.add(path, 0, exc.kind, str(exc))
        return
    directions = _directions(folder / "metadata.jsonl", complaints)
    for seed in seeds:
        before, after = folder / f"{seed}_0.jpg", folder / f"{seed}_1.jpg"
        try:
            if picture_size(before) != picture_size(after):
                raise Broken("wrong size", f"has pictures of two sizes for the seed {seed}")
        except Broken as exc:
            complaints.add(path, 0, exc.kind, str(exc))
            continue
        yield EditPair(before, after, instruction, caption_before, caption_after, seed, directions.get(seed))


def _directions(path: Path, complaints: Complaints) -> dict[str, float]:
    found: dict[str, float] = {}
    if not path.is_file():
        return found
    for line, entry in json_lines(path, complaints):
        try:
            found[str(need(entry, "seed", (int, str)))] = float(need(entry, "clip_sim_dir", (int, float)))
        except Broken as exc:
            complaints.add(path, line, exc.kind, str(exc))
    return found
