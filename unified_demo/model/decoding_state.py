"""What has been written of an answer so far, as the rules of decoding see it. It knows token ids; it forbids nothing."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field

from unified_demo import grammar
from unified_demo.model.tokens import Vocabulary
from unified_demo.regions import Region


@dataclass
class DecodingState:
    """What has been written so far, as far as the rules care.

    ``proposals``: (artefact id, index) per pointing token. ``references``: artefact id -> its token ids; what the calls of this answer
    will give joins them. ``tasks``: offered tags. ``wanted``: the tag of the plug-in that is to be
    called, with the ids ``wish`` as its words.
    ``asked``: the words of the message; ``marked``: it points at something besides.
    ``picture`` is the one last pointed into or referred to; a call stays with it. ``named``: artefacts that the question names.
    ``seen``: regions by artefact id, in the order of the proposals' indices; ``believed``: labels of what is asked for, none:
    open; ``unnamed``: the message names none of them; ``found``: what answers it was found by its looks
    or drawn here; ``called``: labels that stand in for nouns -> the noun.
    ``calls`` are closed already. ``most`` tokens may be written in all.
    """

    vocabulary: Vocabulary
    proposals: Sequence[tuple[str, int]]
    references: dict[str, list[int]]
    tasks: Sequence[str]
    written: list[int] = field(default_factory=list)
    inside: list[str] = field(default_factory=list)
    run_start: int = 0
    pointed: list[int] = field(default_factory=list)
    boxes: int = 0
    boxes_due: bool = False
    refs_done: bool = False
    picture: str | None = None
    calls: int = 0
    most: int = 1 << 16
    wanted: str = ""
    wish: Sequence[int] = ()
    asked: str = ""
    marked: bool = False
    named: Sequence[str] = ()
    seen: Mapping[str, Sequence[Region]] = field(default_factory=dict)
    believed: Collection[str] = ()
    unnamed: bool = False
    found: bool = False
    called: Mapping[str, str] = field(default_factory=dict)

    def add(self, token_id: int) -> None:
        """Take note of a chosen token."""
        self.written.append(token_id)
        vocabulary = self.vocabulary
        if token_id >= vocabulary.point_base:
            self.pointed.append(token_id)
            self.picture = self.proposals[token_id - vocabulary.point_base][0]
        elif token_id >= vocabulary.vocab_size:
            self._add_tag(vocabulary.tags[token_id - vocabulary.vocab_size])
        elif not self.inside:
            self._new_group()

    def _add_tag(self, tag: str) -> None:
        name = tag.strip("</>")
        if tag == grammar.close_tag(grammar.REF):
            self.picture = next((key for key, ids in self.references.items() if ids == self.run[:-1]), self.picture)
        self.run_start = len(self.written)
        if not tag.startswith("</"):
            self.inside.append(name)
            self.boxes_due = False
            if name in self.vocabulary.tasks or (name == grammar.PHRASE and not self.planning):
                self._new_group()
                self.refs_done = False
            return
        if self.inside and self.inside[-1] == name:
            self.inside.pop()
        self.boxes_due = name == grammar.PHRASE
        self.boxes += name == grammar.BOX
        self.refs_done = self.refs_done or name == grammar.REF
        if name in self.vocabulary.tasks:
            self._new_group()
            self.calls += 1
            self._promise(self.vocabulary.tasks[name].gives)

    def _promise(self, kind: grammar.MediaKind) -> None:
        """The id that the engine will give to a call's output; masks belong to their picture and are not referred to."""
        if kind != grammar.MediaKind.MASK:
            key = grammar.next_id(kind, self.references)
            self.references[key] = self.vocabulary.encode(key)

    def _new_group(self) -> None:
        self.pointed, self.boxes, self.boxes_due = [], 0, False

    @property
    def innermost(self) -> str:
        return self.inside[-1] if self.inside else ""

    @property
    def in_call(self) -> bool:
        return any(name in self.vocabulary.tasks for name in self.inside)

    @property
    def planning(self) -> bool:
        """The boxes to come lie in a picture that is not there yet."""
        return any(name in grammar.PLANNING_TAGS for name in self.inside)

    @property
    def run(self) -> list[int]:
        """The ids since the latest tag."""
        return self.written[self.run_start :]

    @property
    def pointed_any(self) -> bool:
        """Some proposal was pointed at in this answer."""
        return any(token_id >= self.vocabulary.point_base for token_id in self.written)

    @property
    def after_box(self) -> bool:
        """The latest token closed a box."""
        return bool(self.written) and self.written[-1] == self.vocabulary.tag_ids[grammar.close_tag(grammar.BOX)]
