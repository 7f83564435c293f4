"""Holds an answer to the calls that its message plausibly asks for (``intents``), where the network would write others.

The network writes what it likes as long as each call, and the end of the answer, is plausible. Where it is not, the likeliest choice
takes its place: with a fresh promise where nothing was shown yet, else as the next tag. Refusals stay: only the network knows what
is in the picture. It knows token ids and probabilities; it runs no network.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from unified_demo import grammar
from unified_demo.grammar import MediaKind, Task
from unified_demo.messages import Conversation, TextPart
from unified_demo.model.decoding_rule import closing
from unified_demo.model.decoding_state import DecodingState
from unified_demo.model.intents import MOST_CALLS, NO_CALL, Intent, speaks_to_us, words_of
from unified_demo.model.tokens import Vocabulary
from unified_demo.promises import PROMISES, PROMISES_OF_SEVERAL

PLAUSIBLE = 0.6
"""A choice is plausible when it is at least so many times as likely as the best one."""
LEFT_ALONE = 0.5
"""Plain chat is left to the frozen language model where it is at least so probable."""
POINTS_FIRST = (Task.IMAGE_SEGMENTATION.value, Task.VIDEO_SEGMENTATION.value)
_POINTS = re.compile(
    r"\b(?:where|it|its|th(?:is|at|ese|ose|ere|ey|em|eir)|here|s?he|h(?:im|er|is)|ones?|some(?:body|one|thing)"
    r"|pictures?|photos?|images?|videos?|clips?|sounds?|drawings?)\b",
    re.IGNORECASE,
)
"""Words of a message that may be about a picture beside it."""
HERE, UNPOINTED, POINTING = "Here is", "Here you are.", grammar.PHRASE


@dataclass(frozen=True)
class Redirection:
    """What is written instead. ``anew``: the answer so far is taken back; ``without_calls``: and another begins, with no task tag in it."""

    tokens: tuple[int, ...] = ()
    anew: bool = False
    without_calls: bool = False


def set_apart(conversation: Conversation, intent: Intent) -> Conversation | None:
    """The words that plain chat beside pictures goes on from: those since the last picture, sound or call. None where the message may be
    about one of these."""
    said = [all(isinstance(part, TextPart) for part in message.parts) for message in conversation.messages]
    text = words_of(conversation)
    if not said[-1] or all(said) or intent.plan() or intent.plain <= LEFT_ALONE or speaks_to_us(text) or _POINTS.search(text):
        return None
    first = max(place for place, only_words in enumerate(said) if not only_words) + 1
    first += conversation.messages[first].role == "assistant"
    return Conversation(conversation.messages[first:])


@dataclass
class Guide:
    """Of one answer. ``kinds``: media of the conversation; ``pointing``: whether there is something to point at."""

    intent: Intent
    vocabulary: Vocabulary
    kinds: frozenset[MediaKind]
    pointing: bool
    without_calls: bool = False
    called: list[str] = field(default_factory=list)

    def wants_something_new(self) -> bool:
        """The message asks for what needs nothing of the conversation, and every other choice is implausible."""
        likely = [*self._plausible(), *self.intent.plan()]
        return bool(likely) and all(tag != NO_CALL and not grammar.TASKS[Task(tag)].needs for tag in likely)

    def leaves_to_the_frozen_model(self, conversation: Conversation) -> bool:
        """The message is plain chat, not about us, and so is everything before it."""
        said = all(isinstance(part, TextPart) for message in conversation.messages for part in message.parts)
        return said and self.intent.plain > LEFT_ALONE and not speaks_to_us(words_of(conversation))

    def note(self, token: int) -> None:
        """Take note of a token that was written."""
        tags = self.vocabulary.tags
        place = token - self.vocabulary.vocab_size
        if 0 <= place < len(tags) and tags[place].startswith("</") and tags[place].strip("</>") in grammar.TASK_TAGS:
            self.called.append(tags[place].strip("</>"))

    def instead(self, token: int, state: DecodingState, shown: bool) -> Redirection | None:
        """What to write in place of ``token``, which the network chose; None where that is as good. ``shown``: whether words of the answer
        were shown already."""
        if state.inside or state.boxes_due or state.wanted or self.without_calls or len(self.called) >= MOST_CALLS or closing(state):
            return None
        choice = self._choice(token)
        likely = self._plausible()
        if choice is None or choice in likely or not likely:
            return None
        best = likely[0]
        words_only = all(written < self.vocabulary.vocab_size for written in state.written)
        if choice == NO_CALL and words_only and grammar.TASKS[Task(best)].needs:
            return None
        anew = words_only and not shown
        if best == NO_CALL:
            promised = anew and promising(self.vocabulary.tokenizer.decode(state.written))
            return Redirection(anew=True, without_calls=True) if promised else Redirection((self.vocabulary.end_id,))
        return Redirection((*(self._promise(best) if anew else ()), self._opening(best, anew)), anew)

    def go_on(self, tag: str) -> str:
        """``tag`` has no tool: the call that comes after it all the same, or NO_CALL."""
        self.called.append(tag)
        likely = self._plausible() if len(self.called) < MOST_CALLS else []
        return likely[0] if likely and likely[0] != tag else NO_CALL

    def _choice(self, token: int) -> str | None:
        """What the network has decided on with this token; None where it only goes on."""
        if token == self.vocabulary.end_id:
            return NO_CALL
        tag = next((tag for tag in grammar.TASK_TAGS if self.vocabulary.tag_ids[grammar.open_tag(tag)] == token), None)
        if tag is None and token == self.vocabulary.tag_ids[grammar.open_tag(grammar.PHRASE)] and not self.called:
            points = [choice for choice in self._plausible() if choice == NO_CALL or choice in POINTS_FIRST]
            return None if points else POINTING
        return tag

    def _plausible(self) -> list[str]:
        """Choices that may come now, best first; calls only whose media are there. Several calls that are expected come in their order: of
        such messages the network has seen too few.
        """
        shares, plan = self.intent.next(self.called), self.intent.plan()
        there = self.kinds | {grammar.TASKS[Task(tag)].gives for tag in self.called}
        able = {tag: share for tag, share in shares.items() if tag == NO_CALL or set(grammar.TASKS[Task(tag)].needs) <= there}
        best = max(shares, key=shares.__getitem__)
        if best not in able:
            return []
        if len(plan) > max(len(self.called), 1) and list(plan[: len(self.called)]) == self.called:
            return [best]
        return sorted((tag for tag, share in able.items() if share >= PLAUSIBLE * shares[best]), key=lambda tag: -shares[tag])

    def _promise(self, tag: str) -> Sequence[int]:
        promise = PROMISES_OF_SEVERAL.get(len(self.intent.plan())) or PROMISES.get(Task(tag), (HERE if self.pointing else UNPOINTED,))[0]
        return self.vocabulary.encode(promise)

    def _opening(self, tag: str, anew: bool) -> int:
        points = anew and tag in POINTS_FIRST and self.pointing and len(self.intent.plan()) == 1
        return self.vocabulary.tag_ids[grammar.open_tag(grammar.PHRASE if points else tag)]


def promising(text: str) -> bool:
    """Whether ``text`` may be, or become, no more than a promise of a call."""
    said = text.strip()
    known = (*(promise for row in PROMISES.values() for promise in row), *PROMISES_OF_SEVERAL.values(), HERE)
    return any(promise.startswith(said) for promise in known)
