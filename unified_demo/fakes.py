"""Stand-ins for the model and the experts, for tests and for a page without weights. They compute nothing.

A page that runs on them says so: show ``SCRIPTED_NOTICE``.
"""

import threading
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence

import numpy as np

from unified_demo.config import GenerationOptions
from unified_demo.experts.base import ExpertEvent, ExpertRequest, ExpertSpec, Output, Progress
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.messages import Conversation
from unified_demo.recordings import Sound

SCRIPTED_NOTICE = "Scripted answers: no model is running."
_POLL_S = 0.005

Script = Sequence[str] | Callable[[Conversation], Iterable[str]]


class ScriptedModel:
    """Yields the deltas of ``script`` for every turn, or what ``script(conversation)`` gives.

    ``delay_s`` passes before each delta. ``turns`` keeps the conversations it was asked about. ``reads``: kinds it takes in.
    """

    def __init__(self, script: Script, delay_s: float = 0.0, reads: Sequence[MediaKind] = tuple(MediaKind)) -> None:
        self.script = script
        self.reads = tuple(reads)
        self.delay_s = delay_s
        self.turns: list[Conversation] = []
        self.loads = 0

    def load(self) -> None:
        self.loads += 1

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        self.turns.append(conversation)
        started = time.perf_counter()
        tokens = 0
        for delta in self.script(conversation) if callable(self.script) else self.script:
            if cancel.wait(self.delay_s) if self.delay_s else cancel.is_set():
                break
            tokens += 1
            yield delta
        return {"prefill_s": 0.0, "decode_s": time.perf_counter() - started, "tokens": tokens}


class FakeExpert:
    """Takes ``steps`` steps and returns one mask, picture or video that fills the first box, or a sound.

    Before each step it waits ``delay_s`` and, from step ``gate_step`` on, for ``gate`` (polled, so that a cancel is honoured). ``error``
    is raised at step ``error_step``. ``previews``: each step shows a small picture. A picture's or video's recipe is ``recipe``, with
    the steps and the guidance it took. ``requests`` keeps what it was asked, ``prepared`` what it was warmed up for.
    """

    def __init__(
        self,
        gives: MediaKind = MediaKind.MASK,
        steps: int = 3,
        delay_s: float = 0.0,
        gate: threading.Event | None = None,
        error: Exception | None = None,
        error_step: int = 1,
        gate_step: int = 1,
        previews: bool = False,
    ) -> None:
        self.gives = gives
        self.steps = steps
        self.delay_s = delay_s
        self.gate = gate
        self.error = error
        self.error_step = error_step
        self.gate_step = gate_step
        self.previews = previews
        self.recipe: dict[str, object] = {}
        self.requests: list[ExpertRequest] = []
        self.prepared: list[Sequence[object]] = []

    def prepare(self, inputs: Sequence[object]) -> None:
        self.prepared.append(inputs)

    def run(self, request: ExpertRequest) -> Iterator[ExpertEvent]:
        self.requests.append(request)
        steps = request.steps or self.steps
        for step in range(1, steps + 1):
            if self._wait(step, request.cancel):
                return
            if self.error and step == self.error_step:
                raise self.error
            yield Progress(step, steps, f"step {step}", self._preview())
        yield self._output(request)

    def _preview(self) -> object:
        """A PIL image, or None."""
        if not self.previews:
            return None
        from PIL import Image

        return Image.new("RGB", (64, 48), "teal")

    def _wait(self, step: int, cancel: threading.Event) -> bool:
        """True when the request was cancelled."""
        if self.delay_s:
            cancel.wait(self.delay_s)
        while self.gate and step >= self.gate_step and not self.gate.is_set() and not cancel.wait(_POLL_S):
            pass
        return cancel.is_set()

    def _output(self, request: ExpertRequest) -> Output:
        picture = request.inputs[0] if request.inputs else None
        width, height = (picture.width, picture.height) if picture else (64, 64)
        region = request.regions[0] if request.regions else None
        box = region.boxes[0] if region and region.boxes else None
        mask = np.zeros((height, width), bool)
        x0, y0, x1, y1 = box.as_tuple() if box else (0.0, 0.0, 1.0, 1.0)
        mask[int(y0 * height) : int(np.ceil(y1 * height)), int(x0 * width) : int(np.ceil(x1 * width))] = True
        label = region.phrase if region else request.prompt
        of = picture.id if picture else None
        if self.gives == MediaKind.MASK and picture and picture.kind == MediaKind.VIDEO:
            return Output(MediaKind.MASK, np.stack([mask, mask]), of, label, box, fps=2.0)
        if self.gives == MediaKind.MASK:
            return Output(MediaKind.MASK, mask, of, label, box)
        if self.gives == MediaKind.AUDIO:
            return Output(MediaKind.AUDIO, Sound(np.sin(np.arange(8000, dtype=np.float32) / 8)[:, None], 8000), of, label, box)
        used = {"steps": request.steps or self.steps} | ({} if request.guidance is None else {"guidance": request.guidance})
        colours = np.where(mask[..., None], (200, 80, 40), (30, 30, 60)).astype(np.uint8)
        if self.gives == MediaKind.VIDEO:
            return Output(MediaKind.VIDEO, np.stack([colours, colours // 2]), of, label, box, used | self.recipe, fps=2.0)
        from PIL import Image

        return Output(MediaKind.IMAGE, Image.fromarray(colours), of, label, box, used | self.recipe)


def fake_spec(expert: FakeExpert | None = None, task: str = Task.IMAGE_SEGMENTATION.value) -> ExpertSpec:
    """An ExpertSpec whose loader hands out ``expert``; needs and gives follow the task table (nothing for a plug-in's tag)."""
    known = TASKS[Task(task)] if task in {member.value for member in Task} else None
    made = expert or FakeExpert(known.gives if known else MediaKind.IMAGE)
    return ExpertSpec(
        task=task,
        name="fake expert",
        description=SCRIPTED_NOTICE,
        needs=known.needs if known else (),
        gives=made.gives,
        licence="Apache-2.0",
        weights=(),
        memory_bytes=0,
        load=lambda: made,
        options=("steps", "guidance", "strength") if made.gives == MediaKind.IMAGE else (),
    )
