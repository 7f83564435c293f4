"""Reason-Edit (SmartEdit, arXiv 2312.06739): photos with an instruction, a caption of the wished result and a mask; and its training pairs.

Layout as TencentARC/SmartEdit reads it. Benchmark (test/metrics_evaluation.py): folders that end in the names of ``SCENES``, each with
``*.png``, ``*_mask.jpg`` and a text file whose line i is "<instruction> CLIP: <caption>" for the i-th picture by name. Synthetic training
pairs (dataset/ReasonEditMLLMSD_dataset.py): one JSON object, "0000" -> {origin_img_path, target_img_path, instruction: [..]}.
The training code opens those paths as they stand; that they are relative to the file is our assumption.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unified_demo.data.masks import Mask
from unified_demo.data.published.reading import Broken, Complaints, need, picture_size, read_json, read_text
from unified_demo.errors import MediaError

SCENES = {
    "1-Left-Right": "Left_Right_text.txt",
    "2-Relative-Size": "Size_text.txt",
    "3-Mirror": "Mirror_text.txt",
    "4-Color": "Color_text.txt",
    "5-Multiple-Objects": "MultipleObjects_text.txt",
    "6-Reasoning": "Reason_test.txt",
}
"""End of a folder's name -> its text file."""
SEPARATOR = "CLIP: "


@dataclass(frozen=True)
class ReasonEditExample:
    """``mask_file``: where the edit may happen, None in training pairs; ``after``: the wished picture, None in the benchmark."""

    before: Path
    instructions: tuple[str, ...]
    scene: str = ""
    caption: str = ""
    mask_file: Path | None = None
    after: Path | None = None

    def mask(self) -> Mask | None:
        """Bool H x W at the picture's size, None when there is no mask file."""
        if self.mask_file is None:
            return None
        with Image.open(self.before) as picture, Image.open(self.mask_file) as mask:
            grey = mask.convert("L").resize(picture.size, Image.Resampling.NEAREST)
            return np.asarray(grey) > 127


def read_reasonedit(folder: Path, complaints: Complaints) -> Iterator[ReasonEditExample]:
    """The benchmark's scenes below ``folder``, then JSON files of training pairs in it. MediaError when there is neither."""
    scenes = [path for path in sorted(folder.rglob("*")) if path.is_dir() and any(path.name.endswith(name) for name in SCENES)]
    pairs = sorted(folder.glob("*.json"))
    if not scenes and not pairs:
        raise MediaError(f"{folder} holds neither a folder such as 1-Left-Right nor a JSON file of pairs; name the unpacked benchmark.")
    for path in scenes:
        yield from _read_scene(path, complaints)
    for path in pairs:
        yield from _read_pairs(path, complaints)


def _read_scene(folder: Path, complaints: Complaints) -> Iterator[ReasonEditExample]:
    scene = next(name for name in SCENES if folder.name.endswith(name))
    path = folder / SCENES[scene]
    text = read_text(path, complaints)
    if text is None:
        return
    pictures, masks = sorted(folder.glob("*.png")), sorted(folder.glob("*_mask.jpg"))
    lines = text.splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    if not len(pictures) == len(masks) == len(lines):
        counts = f"{len(pictures)} pictures, {len(masks)} masks and {len(lines)} lines"
        complaints.add(path, 0, "wrong layout", f"has {counts}; they belong together by their order, so none can be trusted")
        return
    for number, (line, picture, mask) in enumerate(zip(lines, pictures, masks, strict=True), start=1):
        try:
            instruction, separator, caption = line.partition(SEPARATOR)
            if not separator or not instruction.strip():
                raise Broken("wrong layout", f"is not of the form '<instruction> {SEPARATOR}<caption>'")
            picture_size(picture)
            picture_size(mask)
            yield ReasonEditExample(picture, (instruction.strip(),), scene, caption.strip(), mask)
        except Broken as exc:
            complaints.add(path, number, exc.kind, str(exc))


def _read_pairs(path: Path, complaints: Complaints) -> Iterator[ReasonEditExample]:
    content = read_json(path, complaints)
    if content is not None and not isinstance(content, dict):
        complaints.add(path, 0, "wrong layout", "does not hold a JSON object of pairs")
    for key, entry in content.items() if isinstance(content, dict) else ():
        try:
            instructions = tuple(text.strip() for text in need(entry, "instruction", list) if isinstance(text, str) and text.strip())
            if not instructions:
                raise Broken("no instruction", "has no instruction")
            before, after = (path.parent / need(entry, name, str) for name in ("origin_img_path", "target_img_path"))
            picture_size(before)
            picture_size(after)
            yield ReasonEditExample(before, instructions, "training", after=after)
        except Broken as exc:
            complaints.add(path, 0, exc.kind, f"(entry {key}) {exc}")
