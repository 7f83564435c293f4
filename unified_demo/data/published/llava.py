"""LLaVA's instruction data (arXiv 2304.08485): conversations between "human" and "gpt" about one picture, or about none.

Layout as haotian-liu/LLaVA documents it (docs/Finetune_Custom_Data.md): a JSON list of {id, image (optional), conversations: [{from,
value}]}, the picture's place marked by "<image>" in the first question.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from unified_demo.data.published.reading import Broken, Complaints, files_of, json_entries, need, picture_size
from unified_demo.grammar import MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, TextPart

ROLES = {"human": "user", "gpt": "assistant"}
MARK = "<image>"


@dataclass(frozen=True)
class Dialogue:
    """``turns``: (question, answer) in order. ``picture`` with its size in pixels, or None."""

    id: str
    turns: tuple[tuple[str, str], ...]
    picture: Path | None = None
    width: int = 0
    height: int = 0

    def conversation(self) -> Conversation:
        """As messages; the picture is img-1 in the first question."""
        messages: list[Message] = []
        for number, (question, answer) in enumerate(self.turns):
            shown: tuple[MediaPart, ...] = ()
            if self.picture and not number:
                shown = (MediaPart(Artefact("img-1", MediaKind.IMAGE, self.picture, self.width, self.height)),)
            messages.append(Message("user", (*shown, TextPart(question))))
            messages.append(Message("assistant", (TextPart(answer),)))
        return Conversation(tuple(messages))


def read_llava(folder: Path, complaints: Complaints, pictures: Path | None = None) -> Iterator[Dialogue]:
    """Dialogues of all JSON lists in ``folder``; pictures below ``pictures``, else ``folder/images``, else ``folder``."""
    pictures = pictures or (folder / "images" if (folder / "images").is_dir() else folder)
    for path in files_of(folder, ("*.json",), "JSON lists of conversations"):
        for line, entry in json_entries(path, complaints):
            try:
                yield _read(entry, pictures)
            except Broken as exc:
                complaints.add(path, line, exc.kind, str(exc))


def _read(entry: Any, pictures: Path) -> Dialogue:
    turns = need(entry, "conversations", list)
    if not turns or len(turns) % 2:
        raise Broken("wrong layout", f"has {len(turns)} turns; a question and an answer alternate")
    said: list[str] = []
    for number, turn in enumerate(turns):
        speaker = need(turn, "from", str)
        if speaker not in ROLES:
            raise Broken("unknown speaker", f"has a turn by '{speaker}'; human and gpt are known")
        if (speaker == "human") == bool(number % 2):
            raise Broken("wrong layout", f"has turn {number + 1} by {speaker}; human and gpt take turns")
        text = need(turn, "value", str)
        if MARK in text and (number or "image" not in entry):
            raise Broken("stray picture", f"shows a picture in turn {number + 1} that it does not name")
        said.append(text.replace(MARK, "").strip())
    if not all(said):
        raise Broken("empty turn", "has an empty turn")
    name = str(need(entry, "id", (str, int)))
    pairs = tuple(zip(said[::2], said[1::2], strict=True))
    if "image" not in entry:
        return Dialogue(name, pairs)
    relative = Path(need(entry, "image", str))
    if relative.is_absolute() or ".." in relative.parts:
        raise Broken("path outside", f"names the picture {relative}, which is not below the folder of pictures")
    width, height = picture_size(pictures / relative)
    return Dialogue(name, pairs, pictures / relative, width, height)
