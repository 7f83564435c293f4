"""What the server keeps of one visitor while the page is open: the conversation and how its answers look.

One ``Visit`` lies in the page's ``gr.State``. A turn writes to it only while it is the current one, so that an answer
which was cleared or retried away cannot come back. It renders nothing and runs nothing.
"""

import threading
from contextlib import nullcontext
from dataclasses import dataclass, field

from unified_demo.messages import Conversation, MediaPart, Message, TextPart
from unified_demo.ui.view import AnswerView, SceneObject


@dataclass
class Turn:
    """The answer that is being written; ``cancel`` stops model and experts, ``ending`` lets one thread alone end it."""

    view: AnswerView
    cancel: threading.Event = field(default_factory=threading.Event)
    ending: threading.Lock = field(default_factory=threading.Lock)


@dataclass
class Visit:
    """``conversation`` is the truth; ``answers`` holds one view per assistant message of it, in order."""

    conversation: Conversation = field(default_factory=Conversation)
    answers: list[AnswerView] = field(default_factory=list)
    turn: Turn | None = None

    def begin(self, message: Message | None = None) -> Turn:
        """Start to answer ``message``, or the last message of the conversation."""
        self.stop()
        self.settle()
        if message:
            self.conversation = self.conversation.with_message(message)
        self.turn = Turn(AnswerView(self.conversation.artefacts(), self._known()))
        return self.turn

    def settle(self, turn: Turn | None = None) -> None:
        """Move the current answer, finished or stopped, into the conversation; nothing when ``turn`` is no longer current."""
        current = self.turn
        if current is None or (turn is not None and turn is not current):
            return
        with current.ending:
            if self.turn is not current:
                return
            current.view.stop()
            self.conversation = self.conversation.with_message(current.view.message())
            self.answers.append(current.view)
            self.turn = None

    def stop(self) -> None:
        """Tell the running turn to end; it settles by itself."""
        if self.turn:
            self.turn.cancel.set()

    def forget_answer(self) -> bool:
        """Drop the last answer, keep the question; False when there is no question."""
        self.stop()
        self.settle()
        messages = self.conversation.messages
        if messages and messages[-1].role == "assistant":
            self.conversation = Conversation(messages[:-1])
            self.answers.pop()
        return bool(self.conversation.messages)

    def undo(self) -> Message | None:
        """Drop the last question with its answer; returns the question."""
        if not self.forget_answer():
            return None
        question = self.conversation.messages[-1]
        self.conversation = Conversation(self.conversation.messages[:-1])
        return question

    def clear(self) -> None:
        self.stop()
        with self.turn.ending if self.turn else nullcontext():
            self.conversation, self.answers, self.turn = Conversation(), [], None

    def _known(self) -> tuple[SceneObject, ...]:
        return self.answers[-1].all_objects() if self.answers else ()


def question_of(message: Message) -> tuple[str, list[str]]:
    """Text and file paths of a user's message, to be put back into the composer."""
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return text, [str(part.artefact.path) for part in message.parts if isinstance(part, MediaPart)]
