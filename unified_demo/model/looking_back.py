"""Messages that look back: "undo that", "bring the dog back", "the original again, please"; "what did you change?".

What was made of what stands in the conversation, so no network has to guess it. A message that wishes for anything besides is not one of
these: which earlier picture "go back to the original and make it night" means is the business of ``antecedents``.
"""

import re
from dataclasses import dataclass
from itertools import pairwise

from unified_demo import grammar
from unified_demo.grammar import MediaKind
from unified_demo.messages import Conversation, MediaPart, Message, RegionPart, TaskCall, TextPart

LONGEST = 80
"""Characters of such a message."""
BEFORE, ORIGINAL, UNCHANGED = "the picture before that", "the original picture", "the picture"
"""What it is called that is shown again."""
STEPS = {"two": 2, "2": 2, "three": 3, "3": 3}
_PICTURE = r"(?:pictures?|images?|photos?|photographs?|drawings?|version|one)"
_FIRST = (
    r"(?:(?:please|pls|plz|ok|okay|oops|oh|no|hm+|ugh|sorry|well|actually|wait|and|so|now|then|just|can|could|would|will|you|let's|let us"
    r"|(?:i|we)(?:'d| would)? (?:want|like)(?: you)?(?: to)?|i liked it (?:better|more)(?: that way)?),? )*"
)
_LAST = r"(?:,? (?:please|pls|plz|for me|thanks|thank you|now|again|back|instead|as it was|how it was))*[ .!?]*"
_LAST_STEP = r"(?:(?:the|your|that|this) )?(?:last |latest |previous )?(?:thing|change|edit|step|one|that|this|it|what you (?:just )?did)"
_UNDO = re.compile(
    rf"{_FIRST}(?:(?:undo|revert|reverse|roll back|take back|cancel)(?: {_LAST_STEP})?|(?:take|change|turn|put) (?:it|that|this) back"
    r"|(?:go |step |get )?back(?: (?:by )?(?P<steps>one|an?|two|three|[1-3]) (?:more )?steps?)?"
    rf"(?: to (?:(?:the|how|what) )?(?:(?:it was )?before|{_PICTURE} before|previous {_PICTURE}"
    rf"|last {_PICTURE}))?|(?:go )?(?:to )?(?:the )?previous {_PICTURE}|(?:the way |like |as )it was(?: before)?|like before){_LAST}"
    r"|(?:请|帮我|麻烦)?(?:撤销|撤回|撤消|退回|返回|回到|恢复)(?:刚才的|刚刚的)?(?:上一步|修改|改动|操作|之前|前一张|上一张)?(?:吧|一下)?[。！]?",
    re.IGNORECASE,
)
_ALL = re.compile(
    rf"{_FIRST}(?:(?:(?:go|get|change|switch|bring|take)(?: (?:it|me|us))? )?back to (?:the |my )?original(?: {_PICTURE})?"
    rf"|(?:(?:show|give)(?: me| us)? |restore |bring back )?(?:the |my )original(?: {_PICTURE})?"
    rf"|(?:restore|reset)(?: (?:it|the {_PICTURE}|everything))?|(?:undo|revert|reverse) (?:everything|all(?: of (?:it|that|them))?"
    rf"|all (?:the |my |your )?(?:changes|edits|steps))|start over){_LAST}"
    r"|(?:请|帮我)?(?:恢复|回到|还原|返回)(?:到|成)?(?:原图|原样|原来的(?:图|图片|照片|样子)?)(?:吧|一下)?[。！]?",
    re.IGNORECASE,
)
_POINTING = ("it", "him", "her", "them")
_THING = rf"(?P<{{}}>(?:the|my|his|her|that|those|these) [a-z -]+?|{'|'.join(_POINTING)})"
_RETURN = re.compile(
    rf"{_FIRST}(?:(?:bring|put|give|get)(?: me)? {_THING.format('one')} back|bring back {_THING.format('other')}){_LAST}", re.IGNORECASE
)
_DID = re.compile(
    r"(?:so |and |but |ok |wait )*what (?:did|have) you (?:just |actually |even |exactly )*"
    r"(?:draw|drawn|paint|painted|make|made|change|changed|do|done|edit|edited|create|created|generate|generated)"
    r"(?: (?:there|here|now|just now|to it|to that|(?:in|to|with) (?:the|my|that|this) [a-z]+|exactly|for me))*[ .!?]*",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Return:
    """``key``: the picture that is shown again; ``phrase``: what it is called."""

    key: str
    phrase: str


def going_back(conversation: Conversation) -> Return | None:
    """The picture that the last message goes back to; None where it wishes for anything else or there is none."""
    said = _said(conversation)
    undo, every, back = (pattern.fullmatch(said) for pattern in (_UNDO, _ALL, _RETURN))
    current, made = _made(conversation)
    if not said or not current or not (undo or every or back):
        return None
    if back and not (undo or every):
        noun = (back["one"] or back["other"]).lower().split()[-1]
        while current in made and noun not in _POINTING and noun not in made[current][1].lower():
            current = made[current][0]
        return Return(made[current][0], BEFORE) if current in made else None
    if current not in made:
        return Return(current, UNCHANGED)
    if undo:
        for _ in range(STEPS.get(undo["steps"] or "", 1)):
            current = made[current][0] if current in made else current
        return Return(current, BEFORE)
    while current in made:
        current = made[current][0]
    return Return(current, ORIGINAL)


def account(conversation: Conversation) -> str:
    """What the calls of the last answer that made something were told, in words; empty where the message does not ask for that."""
    said = _said(conversation)
    last = next((calls for message in reversed(conversation.messages) if (calls := _fulfilled(message))), [])
    if not said or not last or not _DID.fullmatch(said):
        return ""
    steps = [f'{grammar.title_of(call.task)}, "{call.prompt}"' if call.prompt else grammar.title_of(call.task) for call in last]
    return f"The last thing I did was {' and '.join(steps)}."


def _fulfilled(message: Message) -> list[TaskCall]:
    """Calls behind which stands what they made."""
    return [one for one, then in pairwise(message.parts) if isinstance(one, TaskCall) and isinstance(then, MediaPart)]


def _said(conversation: Conversation) -> str:
    """The words of a short message that is nothing else."""
    parts = conversation.messages[-1].parts if conversation.messages else ()
    said = " ".join("".join(part.text for part in parts if isinstance(part, TextPart)).split())
    return said if len(said) <= LONGEST and all(isinstance(part, TextPart) for part in parts) else ""


def _made(conversation: Conversation) -> tuple[str, dict[str, tuple[str, str]]]:
    """The picture that the conversation stands at, empty without one or behind a video or sound, and of each that was made of an earlier
    one: that, and the words of the call."""
    current, made, seen = "", dict[str, tuple[str, str]](), set[str]()
    for message in conversation.messages:
        call: TaskCall | None = None
        for part in message.parts:
            if isinstance(part, TaskCall):
                call = part
            elif isinstance(part, MediaPart) and part.artefact.kind == MediaKind.IMAGE:
                current = part.artefact.id
                before = next((ref for ref in call.refs if ref in seen), "") if call and current not in seen else ""
                if call and before:
                    made[current] = before, call.prompt
                seen.add(current)
            elif isinstance(part, MediaPart) and part.artefact.kind != MediaKind.MASK:
                current = ""
            elif isinstance(part, RegionPart) and message.role == "assistant" and part.phrase in (BEFORE, ORIGINAL):
                current = part.artefact_id or current
    return current, made
