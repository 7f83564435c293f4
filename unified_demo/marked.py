"""A region that the user marked where the language model proposes nothing, such as a shadow or a stain: what the words ask for, done there.

A model that points at what it knows would answer about the dog beside the stain. Where the words say outright what shall happen to
the mark, the call is written here, as the model would write it; all else is the model's. English, and the commonest wishes in Chinese.
"""

import re
from collections.abc import Callable, Collection, Generator, Iterable
from contextlib import closing

from unified_demo import grammar
from unified_demo.errors import ExpertError
from unified_demo.experts.region_wishes import read_wish, thing_of_wish
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.intake import POINTING_WORD
from unified_demo.messages import Artefact, Conversation, RegionPart, TextPart
from unified_demo.promises import PROMISES
from unified_demo.strokes import MEANT_IOU

NEAR_IOU = 0.4
"""A box that was dragged roughly around a proposal means that; what was painted means itself until it fits one (MEANT_IOU)."""
CHANGES = ("remove", "recolour", "resize", "replace", "backdrop", "crop")
_OUTLINED = re.compile(r"(?:please )?(?:segment|outline|cut out|mask|extract|select) (?P<thing>.+)", re.IGNORECASE)
_INCOMPLETE = re.compile(
    r"\b(?:to|of|on|in|into|at|by|with|from|for|near|beside|behind|under|over|above|below|like|is|are)$", re.IGNORECASE
)
"""Behind these the mark stands where a word for it stood; else it was put at the end of a sentence that names it."""
_CHINESE = (
    (Task.REASONING_EDITING, r"去掉|删除|删掉|移除|抹掉|抹去|擦掉|擦除|消除|去除|清除", "remove {}"),
    (Task.IMAGE_SEGMENTATION, r"分割|抠出|抠图|勾勒|圈出|描出", "{}"),
    *(
        (Task.REASONING_EDITING, rf"(?:变成|改成|换成|涂成|染成|变为|改为){said}色", f"make {{}} {colour}")
        for said, colour in (
            ("红", "red"), ("蓝", "blue"), ("绿", "green"), ("黄", "yellow"), ("橙", "orange"), ("紫", "purple"), ("粉", "pink"),
            ("白", "white"), ("黑", "black"), ("灰", "grey"), ("棕", "brown"), ("金", "golden"), ("银", "silver"),
        )
    ),
)  # fmt: skip


def about_the_mark(
    conversation: Conversation,
    propose: Callable[[Artefact], Iterable[Box]],
    tasks: Collection[str],
    deltas: Generator[str, None, None],
) -> Generator[str, None, None]:
    """The answer to the last message: ``deltas`` of the model, or the call that its words ask for at a mark where nothing is proposed.

    ``propose``: boxes of what the model sees; for a model without such a notion, none, nothing is done here. ``tasks``: those on offer.
    """
    with closing(deltas):
        mark = _unproposed(conversation, propose)
        wish = _wish(conversation, mark) if mark else None
        if mark and wish and wish[0] in tasks:
            yield _answer(*wish, mark)
        else:
            yield from deltas


def _unproposed(conversation: Conversation, propose: Callable[[Artefact], Iterable[Box]]) -> RegionPart | None:
    """The one region that the last message marks, where no proposal of its picture fits it."""
    marks = [part for part in conversation.messages[-1].parts if isinstance(part, RegionPart) and part.boxes]
    artefact = conversation.artefacts().get(marks[0].artefact_id or "") if len(marks) == 1 else None
    if artefact is None or artefact.kind != MediaKind.IMAGE:
        return None
    (box,) = marks[0].boxes
    overlaps = [box.iou(proposal) for proposal in propose(artefact)]
    return marks[0] if overlaps and max(overlaps) < (MEANT_IOU if marks[0].strokes else NEAR_IOU) else None


def _wish(conversation: Conversation, mark: RegionPart) -> tuple[Task, str] | None:
    """What shall happen to the mark, as the words of a call; None where the words do not say it, or say it of something else."""
    parts = [part for part in conversation.messages[-1].parts if part is mark or isinstance(part, TextPart)]
    named = parts[-1] is mark and bool(_thing(_said(parts[:-1]))) and not _INCOMPLETE.search(_said(parts[:-1]))
    words, meant = (_said(parts[:-1]), "") if named else (_said(parts), mark.phrase)
    for task, pattern, told in _CHINESE:
        if re.search(pattern, words):
            return task, told.format(POINTING_WORD)
    if meant not in (_thing(words) or meant):
        return None
    if outlined := _OUTLINED.fullmatch(words):
        return Task.IMAGE_SEGMENTATION, outlined["thing"]
    try:
        return (Task.REASONING_EDITING, words) if read_wish(words).operation in CHANGES else None
    except ExpertError:
        return None


def _said(parts: Iterable[TextPart | RegionPart]) -> str:
    words = "".join(part.text if isinstance(part, TextPart) else part.phrase for part in parts)
    return " ".join(words.split()).rstrip(".!? 。！")


def _thing(words: str) -> str:
    """What a wish is about; empty where it only points."""
    outlined = _OUTLINED.fullmatch(words)
    return thing_of_wish(f"remove {outlined['thing']}" if outlined else words)


def _answer(task: Task, words: str, mark: RegionPart) -> str:
    """A call in the unified representation, behind a few words."""
    words = grammar.escape(words)
    box = grammar.open_tag(grammar.BOX) + grammar.spell_box(mark.boxes[0]) + grammar.close_tag(grammar.BOX)
    ref = grammar.open_tag(grammar.REF) + (mark.artefact_id or "") + grammar.close_tag(grammar.REF)
    call = grammar.open_tag(task.value) + ref + words + box + grammar.close_tag(task.value)
    if task in PROMISES:
        return PROMISES[task][0] + call
    phrase = grammar.open_tag(grammar.PHRASE) + words + grammar.close_tag(grammar.PHRASE)
    return f"Here is {phrase}{ref}{box}.{call}"
