"""What the routing benchmark compares beside the rules: our model, trained or not, and the frozen one with a few-shot prompt.

Each gives a raw answer in the unified representation, cut after its calls. Nothing is scored here.
"""

import threading
from collections.abc import Mapping, Sequence
from contextlib import closing
from typing import TYPE_CHECKING, Protocol

from unified_demo import grammar
from unified_demo.config import GenerationOptions
from unified_demo.data.scenes import Scene
from unified_demo.engine import LanguageBackend
from unified_demo.evaluation.instructions import Instruction
from unified_demo.evaluation.keyword_router import WHOLE_PICTURE
from unified_demo.grammar import TASKS, MediaKind, Task, TaskSpec
from unified_demo.messages import Conversation, TextPart

if TYPE_CHECKING:
    from unified_demo.evaluation.frozen import FrozenModel

MOST_TOKENS = 256
MOST_CALLS = 4
WORDS_AFTER_CALL = 60
"""Characters after a closed call without another one, after which the answer is cut: what follows is talk."""
KIND_WORDS = {MediaKind.IMAGE: "picture", MediaKind.VIDEO: "video", MediaKind.AUDIO: "sound", MediaKind.MASK: "mask"}


class RoutingSystem(Protocol):
    """``answer``: the raw answer to an instruction."""

    name: str

    def answer(self, instruction: Instruction) -> str: ...


class ModelRouter:
    """Our model decides. ``constrained`` off shows what it writes without the rules of decoding."""

    def __init__(self, name: str, model: LanguageBackend, constrained: bool = True, most_tokens: int = MOST_TOKENS) -> None:
        self.name, self.model = name, model
        self._options = GenerationOptions(max_new_tokens=most_tokens, constrained=constrained)

    def answer(self, instruction: Instruction) -> str:
        return raw_answer(self.model, instruction.conversation, self._options, instruction.scenes)


def raw_answer(
    model: LanguageBackend, conversation: Conversation, options: GenerationOptions, scenes: Mapping[str, Scene] | None = None
) -> str:
    """What the model writes, cut once it only talks behind its calls. ``scenes`` stand for pictures, where the model takes them."""
    if hasattr(model, "scenes"):
        model.scenes = scenes or {}
    raw = ""
    with closing(model.generate(conversation, options, threading.Event())) as deltas:
        for delta in deltas:
            raw += delta
            end = end_of_calls(raw)
            if end and len(raw) - end > WORDS_AFTER_CALL and "<" not in raw[end:]:
                break
    return raw


def end_of_calls(raw: str) -> int:
    """Place after the last closed call, 0 without any."""
    return max((raw.rfind(close) + len(close) for tag in grammar.TASK_TAGS if (close := grammar.close_tag(tag)) in raw), default=0)


LABELS = {**{task.value: spec.title for task, spec in TASKS.items()}, "": "none"}
EXAMPLES = (
    ("segment the horse on the left", "picture", "segmentation"),
    ("follow the red kite through this video", "video", "video segmentation"),
    ("draw a castle on a hill", "nothing", "image generation"),
    ("a picture with a cup on the left and a book on the right", "nothing", "layout generation"),
    ("make it look like a painting", "picture", "image editing"),
    ("replace the bottle with a vase", "picture", "region editing"),
    ("a short video of falling snow", "nothing", "video generation"),
    ("let the horse in this photo run", "picture", "image to video"),
    ("turn this video into a cartoon", "video", "video editing"),
    ("the sound of church bells", "nothing", "audio generation"),
    ("what is in the photo?", "picture", "none"),
    ("who wrote Hamlet?", "nothing", "none"),
    ("cut out the boat", "nothing", "none"),
    ("draw a boat and play its horn", "nothing", "image generation, audio generation"),
)


class FewShotRouter:
    """The frozen language model: task descriptions and examples, then it may only name tasks whose media are there.

    The call's words are the request.
    """

    name = "few-shot"

    def __init__(self, model: "FrozenModel") -> None:
        self._model = model
        described = "".join(f"- {spec.title}: {spec.description}\n" for spec in TASKS.values())
        examples = "".join(_question(text, attached) + f" {answer}\n\n" for text, attached, answer in EXAMPLES)
        self._prefix = f"Which tasks does a request need?\n{described}- none: an answer in words, or a picture is missing\n\n{examples}"

    def answer(self, instruction: Instruction) -> str:
        conversation = instruction.conversation
        text = "".join(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
        artefacts = conversation.artefacts()
        attached = " and ".join(KIND_WORDS[item.kind] for item in artefacts.values()) or "nothing"
        question, neutral = _question(" ".join(text.split()), attached), _question("N/A", attached)
        there = {item.kind for item in artefacts.values()}
        labels = [title for tag, title in LABELS.items() if not tag or there.issuperset(TASKS[Task(tag)].needs)]
        named = self._model.choose(self._prefix, question, neutral, labels, MOST_CALLS)
        tasks = [tag for label in named for tag, title in LABELS.items() if tag and title == label]
        return "".join(spell_call(TASKS[Task(tag)], text, list(artefacts)) for tag in tasks) or "None."


def _question(text: str, attached: str) -> str:
    return f"Request: {text}\nAttached: {attached}\nTasks:"


def spell_call(spec: TaskSpec, text: str, media: Sequence[str]) -> str:
    """A call with ``text`` as its words, about the latest of the ids ``media`` that it needs; empty when one is missing."""
    refs = [next((key for key in reversed(media) if key.startswith(kind.value + "-")), None) for kind in spec.needs]
    if None in refs:
        return ""
    inner = "".join(f"{grammar.open_tag(grammar.REF)}{ref}{grammar.close_tag(grammar.REF)}" for ref in refs) + grammar.escape(text)
    box = f"{grammar.open_tag(grammar.BOX)}{grammar.spell_box(WHOLE_PICTURE)}{grammar.close_tag(grammar.BOX)}" if spec.needs_box else ""
    return f"{grammar.open_tag(spec.tag)}{inner}{box}{grammar.close_tag(spec.tag)}"
