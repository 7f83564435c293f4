"""What the last question is about: which pictures and videos of the conversation, by their names or by being the latest.

Pure logic on messages.
"""

import re
from collections.abc import Collection

from unified_demo.conversation import VISIBLE
from unified_demo.grammar import MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TextPart

ORDINALS = ("first", "second", "third", "fourth", "fifth", "sixth")
_STILL, _MOVING = "picture|photo|image", "video|clip|film|movie|recording"
_THING = f"{_STILL}|{_MOVING}"
_BY = r"(?: (?:that )?(?P<by>you|I) (?:made|drew|created|generated|filmed|sent|attached|uploaded|gave)\b)?"
_NAMED = re.compile(
    rf"(?P<id>(?:img|vid)-\d+)|(?P<ordinal>{'|'.join(ORDINALS)}) (?P<ranked>{_THING}){_BY}|(?P<counted>{_THING}) (?P<number>\d)\b"
    rf"|(?P<original>original)\b|\bmy (?:own )?(?P<own>{_THING})\b|(?P<sent>{_THING}) (?:that )?I (?:sent|attached|uploaded|gave)\b",
    re.IGNORECASE,
)


def in_focus(conversation: Conversation, about: str = "", others: Collection[MediaKind] = ()) -> list[str]:
    """Ids of what the last question is about: those it names or marks regions in, else the pictures and the videos attached last.

    ``about``: the one that is meant, where that is known: alone where it is not among those, else with those of its kind and of ``others``,
    which its calls need.
    """
    shown = [_visible(message) for message in conversation.messages]
    every = {artefact.id: artefact.kind for row in shown for artefact in row}
    question = conversation.messages[-1].parts if conversation.messages else ()
    named = set(named_in(conversation))
    named |= {part.artefact_id for part in question if isinstance(part, RegionPart) and part.artefact_id}
    of_kind = [[[artefact.id for artefact in row if artefact.kind == kind] for row in shown] for kind in VISIBLE]
    latest = {key for rows in of_kind for key in next((row for row in reversed(rows) if row), [])}
    if about in every and not named:
        latest = {key for key in latest if every[key] in {every[about], *others}} if about in latest else {about}
    return [key for key in every if key in (named or latest)]


def is_marked(conversation: Conversation) -> bool:
    """Whether the last message points at something."""
    return any(isinstance(part, RegionPart) for part in conversation.messages[-1].parts)


def named_in(conversation: Conversation) -> list[str]:
    """Ids of the pictures and videos that the last question names, in the order of the conversation.

    A name is an id (``img-1``, ``vid-1``), a place ("the second picture", "clip 2", "the first video you made"), "original" (the first
    picture), or "my photo" or "the video I sent" where the user sent one alone.
    """
    shown = [(message.role == "user", artefact) for message in conversation.messages for artefact in _visible(message)]
    question = conversation.messages[-1].parts if conversation.messages else ()
    named = {key for part in question if isinstance(part, TextPart) for key in _named(part.text, shown)}
    return [artefact.id for _, artefact in shown if artefact.id in named]


def _named(text: str, shown: list[tuple[bool, Artefact]]) -> set[str]:
    """``shown``: whether the user sent it, and what it is."""
    keys = set()
    for found in _NAMED.finditer(text):
        if found["id"]:
            keys.add(found["id"].lower())
            continue
        own = found["own"] or found["sent"]
        word = found["ranked"] or found["counted"] or own or "picture"
        kind = MediaKind.VIDEO if word.lower() in _MOVING.split("|") else MediaKind.IMAGE
        senders = {"you": (False,), "i": (True,)}.get((found["by"] or "").lower(), (True,) if own else (True, False))
        meant = [artefact.id for by_user, artefact in shown if artefact.kind == kind and by_user in senders]
        place = ORDINALS.index(found["ordinal"].lower()) if found["ordinal"] else int(found["number"]) - 1 if found["number"] else 0
        if 0 <= place < len(meant) and (not own or len(meant) == 1):
            keys.add(meant[place])
    return keys


def since(conversation: Conversation, focus: list[str]) -> Conversation:
    """The conversation from the first message on that carries something in ``focus``; what was said of others would mislead."""
    starts = [index for index, message in enumerate(conversation.messages) if {artefact.id for artefact in _visible(message)} & set(focus)]
    return Conversation(conversation.messages[min(starts, default=0) :])


def _visible(message: Message) -> list[Artefact]:
    return [part.artefact for part in message.parts if isinstance(part, MediaPart) and part.artefact.kind in VISIBLE]


def without_oldest(conversation: Conversation) -> Conversation | None:
    """The conversation without the words of its oldest message that has any; media and the last message stay. None when nothing can go."""
    for index, message in enumerate(conversation.messages[:-1]):
        media = tuple(part for part in message.parts if isinstance(part, MediaPart))
        if not media or media != message.parts:
            kept = (Message(message.role, media),) if media else ()
            return Conversation((*conversation.messages[:index], *kept, *conversation.messages[index + 1 :]))
    return None
