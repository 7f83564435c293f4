"""Which earlier picture, video or sound a message is about: "go back to the one before", "that's the wrong one, take the left one".

Resolved before the answer, as anaphora are: each artefact of the conversation is a candidate with plain facts (who made it and how, what
was done with it, how long ago) and the words that tell what it shows; a small head looks for its signs in what the frozen lower layers
of the language model make of the message, and scores it (``training.antecedents``). Names that a rule can read ("img-2") are the
business of ``focus``.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TASK_TAGS, TASKS, MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, RegionPart, TaskCall
from unified_demo.model.focus import named_in
from unified_demo.model.intents import NO_CALL, SAID, Intent, Situation
from unified_demo.model.tokens import Vocabulary

KINDS = (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO)
MOST = 6
"""Places and distances are told apart up to this number."""
_FLAGS = 11
FACTS_WIDTH = len(KINDS) + len(TASK_TAGS) + 4 * MOST + _FLAGS
_TOLD = (NO_CALL, SAID, *TASK_TAGS)
WISH_WIDTH = len(TASK_TAGS) + 1 + len(_TOLD)
CLEAR = 0.6
"""From which probability on a candidate is taken to be meant."""
EMBEDDING_SCALE = 8.0
"""Word embeddings have entries near 0.12."""
_WORD = re.compile(r"[a-z]{3,}|[\u4e00-\u9fff]")


@dataclass(frozen=True)
class Candidate:
    """One artefact: ``facts`` (FACTS_WIDTH,) and ``shows``, words that tell what is in it, empty where nothing is known."""

    key: str
    facts: torch.Tensor
    shows: str


def candidates(conversation: Conversation, labels: Mapping[str, Sequence[str]]) -> list[Candidate]:
    """Of the last message, in the order of the conversation. ``labels``: id -> what a detector sees there, where that is known."""
    artefacts = {key: item for key, item in conversation.artefacts().items() if item.kind in KINDS}
    told = {key: _History() for key in artefacts}
    for number, message in enumerate(conversation.messages):
        _take_note(message, len(conversation.messages) - 1 - number, told)
    named = set(named_in(conversation))
    words = _words("".join(getattr(part, "text", "") for part in conversation.messages[-1].parts))
    found = []
    for key, artefact in artefacts.items():
        shows = " ".join(dict.fromkeys([*told[key].said, *labels.get(key, ())]))
        shared = len(words & _words(shows))
        found.append(Candidate(key, _facts(key, artefact, artefacts, told[key], key in named, shared), shows))
    return found


def wish_vector(conversation: Conversation, task: str | None = None) -> torch.Tensor:
    """(WISH_WIDTH,): ``task``, the tag of the first call that the last message asks for or NO_CALL, zeros where that is not known yet;
    and the last call before."""
    last = Situation.of(conversation).last
    return torch.tensor([float(task == tag) for tag in (*TASK_TAGS, NO_CALL)] + [float(last == tag) for tag in _TOLD])


class AntecedentHead(nn.Module):
    """Words' states and candidates to scores. ``hidden``: width of the language model."""

    def __init__(self, hidden: int = 576, width: int = 128, queries: int = 4, dropout: float = 0.2) -> None:
        super().__init__()
        self.config = {"hidden": hidden, "width": width, "queries": queries, "dropout": dropout}
        self.width, self.queries = width, queries
        self.norm, self.into, self.drop = nn.LayerNorm(hidden), nn.Linear(hidden, width), nn.Dropout(dropout)
        self.block = nn.TransformerEncoderLayer(width, 4, 2 * width, dropout, batch_first=True, norm_first=True)
        self.shown = nn.Linear(hidden, width)
        self.know = nn.Sequential(nn.Linear(FACTS_WIDTH + WISH_WIDTH + width, width), nn.GELU(), nn.Dropout(dropout))
        self.query = nn.Linear(width, queries * width)
        self.score = nn.Sequential(nn.Linear((queries + 1) * width, width), nn.GELU(), nn.Dropout(dropout), nn.Linear(width, 1))

    def forward(
        self, states: torch.Tensor, mask: torch.Tensor, facts: torch.Tensor, shows: torch.Tensor, wish: torch.Tensor
    ) -> torch.Tensor:
        """(n, length, hidden) states with their (n, length) mask, (n, candidates, FACTS_WIDTH), (n, candidates, hidden) mean embeddings of
        what they show, (n, WISH_WIDTH) -> (n, candidates) scores."""
        words = self.block(self.drop(self.into(self.norm(states))), src_key_padding_mask=~mask)
        each = wish[:, None].expand(-1, facts.shape[1], -1)
        known = self.know(torch.cat([facts, each, self.drop(self.shown(shows))], -1))
        query = self.query(known).unflatten(-1, (self.queries, self.width))
        scores = torch.einsum("ncqw,ntw->ncqt", query, words) / self.width**0.5
        shares = scores.masked_fill(~mask[:, None, None], -torch.inf).softmax(-1)
        found = torch.einsum("ncqt,ntw->ncqw", shares, words).flatten(2)
        return self.score(torch.cat([known, found], -1))[..., 0]


class AntecedentReader:
    """Says what a message is about, with a trained head. ``words``: (vocab, hidden) embeddings of the frozen language model."""

    def __init__(self, head: AntecedentHead, vocabulary: Vocabulary, words: torch.Tensor) -> None:
        self._head, self._vocabulary, self._words = head.eval().requires_grad_(False), vocabulary, words

    def about(self, conversation: Conversation, intent: Intent, labels: Mapping[str, Sequence[str]]) -> str:
        """The id of the artefact that the first call of ``intent``, or the answer in words, is about; empty where that is not clear, or
        there is no choice. What kind of thing is meant also weighs the calls of ``intent`` ("take out all colours" of a picture or of
        a video?). ``labels``: as in ``candidates``."""
        artefacts = conversation.artefacts()
        found = candidates(conversation, labels)
        if len(found) < 2 or intent.states is None:
            return ""
        kinds = [artefacts[one.key].kind for one in found]
        if len(set(kinds)) > 1:
            shares = self._scores(found, intent.states, wish_vector(conversation)).softmax(-1).tolist()
            intent.weigh({kind: sum(share for share, of in zip(shares, kinds, strict=True) if of == kind) for kind in kinds})
        plan = intent.plan()
        needs = (TASKS[Task(plan[0])].needs if plan else ()) or KINDS
        fitting = [index for index, kind in enumerate(kinds) if kind in needs]
        if len(fitting) < 2:
            return ""
        share, best = (
            self._scores(found, intent.states, wish_vector(conversation, plan[0] if plan else NO_CALL))[fitting].softmax(-1).max(-1)
        )
        return found[fitting[int(best)]].key if share >= CLEAR else ""

    def _scores(self, found: Sequence[Candidate], states: torch.Tensor, wish: torch.Tensor) -> torch.Tensor:
        shows = torch.stack([embedding_of(one.shows, self._vocabulary, self._words) for one in found])
        facts, mask = torch.stack([one.facts for one in found]), torch.ones(1, len(states), dtype=torch.bool)
        with torch.no_grad():
            return self._head(states[None], mask, facts[None], shows[None], wish[None])[0]


def embedding_of(shows: str, vocabulary: Vocabulary, words: torch.Tensor) -> torch.Tensor:
    """(hidden,): mean embedding of the words, zeros where there are none."""
    if not shows:
        return words.new_zeros(words.shape[1]).float()
    return words[vocabulary.encode(" " + shows)].float().mean(0) * EMBEDDING_SCALE


def save_head(head: AntecedentHead, path: Path) -> None:
    """Half precision, with its configuration."""
    state = {name: tensor.detach().half().contiguous() for name, tensor in head.state_dict().items()}
    save_file(state, path, {"config": json.dumps(head.config)})


def load_head(path: Path) -> AntecedentHead:
    """Inverse of ``save_head``; ModelLoadError when the file does not fit this code."""
    try:
        with safe_open(path, "pt") as handle:
            head = AntecedentHead(**json.loads((handle.metadata() or {})["config"]))
            head.load_state_dict({name: handle.get_tensor(name).float() for name in handle.keys()})  # noqa: SIM118
            return head
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as exc:
        raise ModelLoadError(f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit.") from exc


class _History:
    """What became of one artefact: who made it and how, when it was last spoken of, and in which words."""

    def __init__(self) -> None:
        self.made, self.by_user, self.spoken, self.said = "", False, MOST, list[str]()
        self.called_last = self.pointed_last = self.marked = self.parent = self.child = False
        self.appeared = MOST


def _take_note(message: Message, ago: int, told: Mapping[str, _History]) -> None:
    """``ago``: messages between it and the last one."""
    turns, call = (ago + 1) // 2, None
    for part in message.parts:
        if isinstance(part, TaskCall):
            call = part
            for ref in part.refs:
                if ref in told:
                    told[ref].spoken, told[ref].parent = min(told[ref].spoken, turns), True
                    told[ref].called_last |= ago == 1
                    told[ref].said += [part.prompt] if part.regions else []
        elif isinstance(part, RegionPart) and part.artefact_id in told:
            one = told[str(part.artefact_id)]
            one.spoken, one.said = min(one.spoken, turns), [*one.said, part.phrase]
            one.pointed_last |= ago == 1
            one.marked |= ago == 0
        elif isinstance(part, MediaPart) and part.artefact.id in told:
            one = told[part.artefact.id]
            one.appeared, one.spoken = turns, min(one.spoken, turns)
            one.by_user = message.role == "user"
            if call and not one.by_user:
                one.made, one.child, one.said = call.task, any(ref in told for ref in call.refs), [call.prompt, *one.said]


def _facts(key: str, artefact: Artefact, every: Mapping[str, Artefact], told: _History, named: bool, shared: int) -> torch.Tensor:
    same = [other for other, item in every.items() if item.kind == artefact.kind]
    place = same.index(key)
    flags = (
        told.by_user, told.called_last, told.pointed_last, told.marked, told.parent, told.child, named,
        told.appeared == 0, told.appeared == 1 and not told.by_user, shared > 0, shared > 1,
    )  # fmt: skip
    rows = [
        [float(artefact.kind == kind) for kind in KINDS],
        [float(told.made == tag) for tag in TASK_TAGS],
        *(_one_of(number) for number in (place, len(same) - 1 - place, len(same) - 1, told.spoken)),
        [float(flag) for flag in flags],
    ]
    return torch.tensor([value for row in rows for value in row])


def _one_of(number: int) -> list[float]:
    return [float(min(number, MOST - 1) == place) for place in range(MOST)]


def _words(text: str) -> set[str]:
    return set(_WORD.findall(text.lower()))
