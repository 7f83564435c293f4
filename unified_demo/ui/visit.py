"""What the server keeps of one visitor while the page is open: the conversation and how its answers look.

One ``Visit`` lies in the page's ``gr.State``. A turn writes to it only while it is the current one, so that an answer
which was cleared or retried away cannot come back. It renders nothing and runs nothing.
"""

import secrets
import threading
import time
from dataclasses import dataclass, field, replace
from typing import Any

from unified_demo.config import GenerationOptions
from unified_demo.engine import TurnCancel
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart
from unified_demo.ui.view import AnswerView, SceneObject
from unified_demo.ui.words import Language


@dataclass
class Turn:
    """The answer that is being written; ``cancel`` stops model and experts."""

    view: AnswerView
    cancel: TurnCancel = field(default_factory=TurnCancel)


LATE_S = 10.0
"""What a window asked for with its last breath reaches the server this long after its last word at most."""
WINDOW = 60
"""Messages of a long conversation that are shown at first, and how many more at a time: a page of hundreds of pictures grows heavy."""


@dataclass
class Visit:
    """``conversation`` is the truth; ``answers`` holds one view per assistant message of it, in order.

    ``marks`` go into the next message, which takes the place of the message with the number ``editing`` if there is one.
    ``restored`` are the artefacts of a question that was put back into the composer, by id; ``drafts`` those of the files that
    the composer holds, by the files' paths.
    ``owner`` and ``key`` say whose conversation this is and under what name it is kept, ``kept`` when this window last saw it kept.
    ``peeking`` ends the reading of the composer's files before they are sent, ``reading`` that of what was sent.
    ``window`` is what the page script calls itself.
    ``most`` messages are shown. ``again`` is the flag of a call of an earlier answer that is being carried out once more.
    ``lock`` is held by who changes or draws the conversation: its answers are written on threads of their own.
    """

    conversation: Conversation = field(default_factory=Conversation)
    answers: list[AnswerView] = field(default_factory=list)
    turn: Turn | None = None
    marks: list[RegionPart] = field(default_factory=list)
    editing: int | None = None
    restored: dict[str, Artefact] = field(default_factory=dict)
    drafts: dict[str, Artefact] = field(default_factory=dict)
    again: TurnCancel | None = None
    options: GenerationOptions = field(default_factory=GenerationOptions)
    raw: bool = False
    language: Language = "en"
    most: int = field(default_factory=lambda: WINDOW)
    owner: str = ""
    key: str = ""
    kept: float = 0.0
    window: str = field(default_factory=lambda: secrets.token_hex(8))

    def __post_init__(self) -> None:
        self.lock = threading.RLock()
        self.peeking = threading.Event()
        self.reading = threading.Event()
        self._left: float | None = None

    def __deepcopy__(self, memo: dict[int, Any]) -> "Visit":
        """Gradio gives every visitor a copy of the first value, which is an empty visit."""
        return Visit()

    def begin(self, message: Message | None = None) -> Turn:
        """Start to answer ``message``, or the last message of the conversation."""
        self.stop()
        self.settle()
        with self.lock:
            if message:
                self.conversation = self.conversation.with_message(message)
            self.key = self.key or secrets.token_hex(16)
            self.turn = Turn(AnswerView(self.conversation.artefacts(), self._known()))
            return self.turn

    def settle(self, turn: Turn | None = None) -> None:
        """Move the current answer, finished or stopped, into the conversation; nothing when ``turn`` is no longer current."""
        with self.lock:
            current = self.turn
            if current is None or (turn is not None and turn is not current):
                return
            current.view.stop()
            self.conversation = self.conversation.with_message(current.view.message())
            self.answers.append(current.view)
            self.turn = None

    def views(self) -> list[AnswerView]:
        """One per answer, the one that is being written last."""
        return [*self.answers, *([self.turn.view] if self.turn else [])]

    def stop(self) -> None:
        """Tell the running turn, the call that is repeated, or the reading of files to end; a turn settles by itself."""
        self.stop_reading()
        if self.turn:
            self.turn.cancel.set()
        if self.again:
            self.again.set()

    def stop_reading(self) -> None:
        """Tell the reading of files to end, of those that the composer holds and of those that were sent."""
        self.peeking.set()
        self.reading.set()

    def leave(self) -> None:
        """The window says that it goes."""
        self._left = time.monotonic()
        self.stop_reading()

    def come_back(self) -> None:
        """The window is shown again."""
        self._left = None

    def has_left(self) -> bool:
        """Whether the window went a moment ago, so that what it asks for was under way then."""
        return self._left is not None and time.monotonic() - self._left < LATE_S

    def skip(self, index: int) -> None:
        """Tell one call of the running answer, or the one that is repeated, to end."""
        if self.again:
            self.again.set()
        elif self.turn:
            self.turn.cancel.of_call(index).set()

    def base(self) -> Conversation:
        """The conversation that the next message continues: all of it, or what stands before the message that is edited."""
        return Conversation(self.conversation.messages[: self.editing])

    def rewind(self) -> None:
        """Forget the message that is edited and all behind it."""
        with self.lock:
            self._keep_until(self.editing)
            self.compose_anew()

    def edit(self, number: int) -> Message | None:
        """The question with this number, to be put back into the composer; None when there is none."""
        messages = self.conversation.messages
        if not 0 <= number < len(messages) or messages[number].role != "user":
            return None
        self.editing = number
        self._restore(messages[number])
        return messages[number]

    def compose_anew(self) -> None:
        """Nothing is marked or edited any more."""
        self.marks, self.editing, self.restored, self.drafts = [], None, {}, {}

    def markable(self) -> dict[str, Artefact]:
        """What the next message can point at, by id."""
        return self.base().artefacts() | self.restored | {artefact.id: artefact for artefact in self.drafts.values()}

    def stored(self) -> dict[str, Artefact]:
        """What the composer may hold and is stored already, by the name of the stored file or the path of the upload."""
        return {artefact.path.name: artefact for artefact in self.restored.values()} | self.drafts

    def begin_peeking(self) -> threading.Event:
        """The composer holds other files, which are about to be read; reading the former ones ends."""
        self.peeking.set()
        self.peeking = self._flag()
        return self.peeking

    def begin_reading(self) -> threading.Event:
        """What the composer holds was sent and is about to be read."""
        self.stop()
        self.reading = self._flag()
        return self.reading

    def _flag(self) -> threading.Event:
        """Set already where the window is gone."""
        flag = threading.Event()
        if self.has_left():
            flag.set()
        return flag

    def attach(self, drafts: dict[str, Artefact]) -> None:
        """The composer holds these files now; marks follow their picture to its new id, or go with it."""
        paths = {artefact.id: path for path, artefact in self.drafts.items()}
        kept = []
        for mark in self.marks:
            path = paths.get(mark.artefact_id or "")
            if path is None:
                kept.append(mark)
            elif path in drafts:
                kept.append(replace(mark, artefact_id=drafts[path].id))
        self.drafts, self.marks = drafts, kept

    def _keep_until(self, number: int | None) -> None:
        """Forget the message with this number and all behind it; None forgets nothing."""
        self.conversation = Conversation(self.conversation.messages[:number])
        del self.answers[sum(message.role == "assistant" for message in self.conversation.messages) :]

    def _restore(self, question: Message) -> None:
        """The question's media and marks take the place of what the composer held."""
        self.marks = [part for part in question.parts if isinstance(part, RegionPart)]
        self.restored = {part.artefact.id: part.artefact for part in question.parts if isinstance(part, MediaPart)}
        self.drafts = {path: artefact for path, artefact in self.drafts.items() if artefact in self.restored.values()}

    def call(self, answer: int, index: int) -> TaskCall | None:
        """A call of an answer that is complete, both counted from 0."""
        if not 0 <= answer < len(self.answers) or self.turn or self.again:
            return None
        step = self.answers[answer].steps.get(index)
        return step.call if step and step.status in ("failed", "stopped") else None

    def begin_again(self, answer: int, index: int) -> TurnCancel:
        self.answers[answer].wait_again(index)
        self.again = again = TurnCancel()
        return again

    def settle_again(self) -> None:
        """Put the message of the answer whose call was repeated back into the conversation."""
        with self.lock:
            answers = iter(self.answers)
            messages = tuple(next(answers).message() if message.role == "assistant" else message for message in self.conversation.messages)
            self.conversation, self.again = Conversation(messages), None

    def judge(self, answer: int, liked: bool | None) -> bool:
        """Like a complete answer, counted from 0, or not, or neither (None); False when there is none."""
        if answer not in range(len(self.answers)) or not isinstance(liked, bool | None):
            return False
        self.answers[answer].judge(liked)
        return True

    def join(self, other: "Visit") -> None:
        """Show, in a window of its own, the conversation of another one in which an answer is being written."""
        self.clear()
        with other.lock:
            self.conversation, self.answers, self.key = other.conversation, list(other.answers), other.key
            self.turn, self.again = other.turn, other.again

    def walk_away(self) -> None:
        """This window looks on no longer; who writes the answer keeps it."""
        self.turn = self.again = None

    def running(self) -> TurnCancel | None:
        """The flag of what is being written or repeated, which windows that look on share."""
        return self.turn.cancel if self.turn else self.again

    def ended(self, cancel: threading.Event) -> None:
        """What this window looked on at is over; it settles in each window, once."""
        if self.turn and self.turn.cancel is cancel:
            self.settle(self.turn)
        elif self.again and self.again is cancel:
            self.settle_again()

    def forget_answer(self, number: int | None = None) -> bool:
        """Drop all behind the question with this number, or behind the last one; False when there is no such question."""
        self.stop()
        self.settle()
        with self.lock:
            asked = [place for place, message in enumerate(self.conversation.messages) if message.role == "user"]
            place = asked[-1] if asked and number is None else number
            if place is None or place not in asked:
                return False
            self._keep_until(place + 1)
            if self.editing is not None and self.editing > place:
                self.editing = None
        return True

    def undo(self) -> Message | None:
        """Drop the last question with its answer; returns the question."""
        if not self.forget_answer():
            return None
        question = self.conversation.messages[-1]
        self.compose_anew()
        self._restore(question)
        self._keep_until(-1)
        return question

    def clear(self) -> None:
        self.stop()
        with self.lock:
            self.conversation, self.answers, self.turn, self.again, self.most = Conversation(), [], None, None, WINDOW
        self.compose_anew()
        self.key, self.kept = "", 0.0

    def _known(self) -> tuple[SceneObject, ...]:
        return self.answers[-1].all_objects() if self.answers else ()


def question_of(message: Message) -> tuple[str, list[str]]:
    """Text and file paths of a user's message, to be put back into the composer."""
    said = [part.text if isinstance(part, TextPart) else part.phrase for part in message.parts if isinstance(part, TextPart | RegionPart)]
    text = "".join(said)
    return text, [str(part.artefact.path) for part in message.parts if isinstance(part, MediaPart)]
