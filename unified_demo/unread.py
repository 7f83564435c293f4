"""Says what cannot be read: a message whose files nobody here understands is answered by this sentence, and no model guesses.

It looks at the kinds of files alone; which kinds can be read is told by who calls.
"""

import re
from collections.abc import Collection

from unified_demo.grammar import MediaKind
from unified_demo.messages import Artefact, Conversation, MediaPart, RegionPart, TextPart

_ID = re.compile(rf"\b(?:{'|'.join(MediaKind)})-\d+\b", re.IGNORECASE)
_ABOUT_IT = re.compile(
    r"\b(?:this|that|these|those|it|its|them|attached|file|sounds?|audio|recordings?|hear|heard|listen|points?|cloud|depth|normals|motion)\b"
    r"|这|那|它|附件|声音|录音|听|點雲|点云",
    re.IGNORECASE,
)
_NAMES = {
    MediaKind.IMAGE: "pictures",
    MediaKind.VIDEO: "videos",
    MediaKind.AUDIO: "sounds",
    MediaKind.MASK: "masks",
    MediaKind.POINTS: "point clouds",
    MediaKind.DEPTH: "depth maps",
    MediaKind.NORMALS: "surface normals",
    MediaKind.IMU: "motion (IMU)",
    MediaKind.FMRI: "brain activity (fMRI)",
}


def unread_sentence(conversation: Conversation, readable: Collection[MediaKind]) -> str:
    """One sentence when the last message is about files of which none can be read; empty when one can, or when it is about no file."""
    meant = meant_by_last(conversation)
    if not meant or any(artefact.kind in readable for artefact in meant):
        return ""
    kinds = dict.fromkeys(artefact.kind for artefact in meant)
    named = {kind: ", ".join(artefact.id for artefact in meant if artefact.kind == kind) for kind in kinds}
    said = [f"hear {_NAMES[kind]} ({ids})" for kind, ids in named.items() if kind == MediaKind.AUDIO]
    read = [f"{_NAMES[kind]} ({ids})" for kind, ids in named.items() if kind != MediaKind.AUDIO]
    said += [f"read {_listed(read)}"] if read else []
    able = " and ".join(_NAMES[kind] for kind in MediaKind if kind in readable and kind != MediaKind.MASK)
    kept, them = ("they are", "them") if len(meant) > 1 else ("it is", "it")
    return (
        f"I cannot {' or '.join(said)} yet: {kept} kept and shown here, but I have not looked into {them}; "
        f"please ask me about {able or 'something else'}."
    )


def speaks_of_what_came(conversation: Conversation) -> bool:
    """Whether the words of the last message point at something ("draw what you hear in this"), and do not only come with a file."""
    parts = conversation.messages[-1].parts if conversation.messages else ()
    said = " ".join(part.text for part in parts if isinstance(part, TextPart))
    marked = any(isinstance(part, RegionPart) for part in parts)
    return marked or not said.strip() or bool(_ABOUT_IT.search(said) or _ID.search(said))


def meant_by_last(conversation: Conversation) -> tuple[Artefact, ...]:
    """Artefacts that the last message brings, marks or names by id."""
    known = conversation.artefacts()
    ids: list[str] = []
    for part in conversation.messages[-1].parts if conversation.messages else ():
        if isinstance(part, MediaPart):
            ids.append(part.artefact.id)
        elif isinstance(part, RegionPart):
            ids.append(part.artefact_id or "")
        elif isinstance(part, TextPart):
            ids += [found.lower() for found in _ID.findall(part.text)]
    return tuple(known[key] for key in dict.fromkeys(ids) if key in known)


def _listed(words: list[str]) -> str:
    return " or ".join([", ".join(words[:-1]), words[-1]]) if len(words) > 1 else words[0]
