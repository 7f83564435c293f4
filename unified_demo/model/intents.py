"""What a message asks for, read before the answer is written: which calls, and in which order.

A small network beside the frozen language model learns it (``training.intents``) from many times the messages that the adapters see: the
lowest layers are the language model's, some layers are copies that training changed (``own_layers``), and a head makes one choice after
the other, each of which looks for its words knowing those before it. ``model.guiding`` holds the answer to what is plausible. It decodes
nothing.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import cast

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import nn

from unified_demo.errors import ModelLoadError
from unified_demo.grammar import TASK_TAGS, TASKS, MediaKind, Task
from unified_demo.messages import Conversation, RegionPart, TaskCall, TextPart
from unified_demo.model.focus import is_marked
from unified_demo.model.outright import has_its_media, outright
from unified_demo.model.own_layers import OwnLayers
from unified_demo.model.packing import pack_linears
from unified_demo.model.tokens import Vocabulary

NO_CALL, SAID = "", "say"
"""The answer has no (further) call; the answer before had none."""
PLAIN = "plain"
"""No call, and nothing that training taught: the frozen language model answers by itself."""
CHOICES = (*TASK_TAGS, NO_CALL, PLAIN)
OWN, OWN_WEIGHT = "own.", 2.0
KINDS = (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO)
BEFORE = (NO_CALL, SAID, *TASK_TAGS)
MOST_CALLS = 3
LEAST_OF_A_KIND = 0.25
"""What the kind that is meant can take from a call: three quarters."""
_OURSELVES = re.compile(r"\byour?(self)?\b", re.IGNORECASE)
LONGEST = 96
"""Tokens of a message that are read: its beginning and its end."""


@dataclass(frozen=True)
class Situation:
    """What a message is read with: ``kinds`` of media in the conversation; ``last``, the tag of the last call of the answer before, SAID,
    or NO_CALL where there is none."""

    kinds: frozenset[MediaKind]
    last: str = NO_CALL

    @classmethod
    def of(cls, conversation: Conversation) -> "Situation":
        answers = [message for message in conversation.messages if message.role == "assistant"]
        calls = [part for part in answers[-1].parts if isinstance(part, TaskCall)] if answers else []
        known = calls[-1].task if calls and calls[-1].task in TASK_TAGS else SAID if answers else NO_CALL
        return cls(frozenset(artefact.kind for artefact in conversation.artefacts().values()), str(known))

    def vector(self) -> torch.Tensor:
        """(len(KINDS) + len(BEFORE),) of zeros and ones."""
        return torch.tensor([float(kind in self.kinds) for kind in KINDS] + [float(self.last == tag) for tag in BEFORE])


SITUATION_WIDTH = len(KINDS) + len(BEFORE)
DONE_WIDTH = 2 * len(TASK_TAGS) + 1 + MOST_CALLS + 1


def done_vector(called: Sequence[str]) -> torch.Tensor:
    """(DONE_WIDTH,): how often each task was called, which was the last, and how many calls there are."""
    vector = torch.zeros(DONE_WIDTH)
    for tag in called:
        vector[TASK_TAGS.index(tag)] += 1
    vector[len(TASK_TAGS) + (TASK_TAGS.index(called[-1]) if called else len(TASK_TAGS))] = 1
    vector[2 * len(TASK_TAGS) + 1 + min(len(called), MOST_CALLS)] = 1
    return vector


@dataclass(frozen=True)
class IntentConfig:
    """``hidden``: width of the language model; ``layer``: how many layers are read through, of them the last ``own`` are copies that differ
    from the language model's."""

    hidden: int = 576
    layer: int = 14
    own: int = 0
    width: int = 160
    queries: int = 8
    blocks: int = 1
    heads: int = 4
    dropout: float = 0.3


class IntentHead(nn.Module):
    """Words' states to choices, for one message or a batch of them. ``differences``: of the layers that it reads with of its own."""

    differences: dict[str, torch.Tensor]

    def __init__(self, config: IntentConfig) -> None:
        super().__init__()
        self.differences = {}
        self.config = config
        self.norm, self.into, self.drop = nn.LayerNorm(config.hidden), nn.Linear(config.hidden, config.width), nn.Dropout(config.dropout)
        self.blocks = nn.ModuleList(
            nn.TransformerEncoderLayer(config.width, config.heads, 2 * config.width, config.dropout, batch_first=True, norm_first=True)
            for _ in range(config.blocks)
        )
        self.query = nn.Linear(SITUATION_WIDTH + DONE_WIDTH, config.queries * config.width)
        self.choose = nn.Sequential(
            nn.Linear(config.queries * config.width + SITUATION_WIDTH + DONE_WIDTH, 256),
            nn.GELU(),
            nn.Dropout(config.dropout),
            nn.Linear(256, len(CHOICES)),
        )

    def words(self, states: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        """(batch, length, hidden) states and the (batch, length) mask of those that are words -> (batch, length, width)."""
        hidden = self.drop(self.into(self.norm(states)))
        for block in self.blocks:
            hidden = block(hidden, src_key_padding_mask=~mask)
        return cast(torch.Tensor, hidden)

    def forward(self, words: torch.Tensor, mask: torch.Tensor, situation: torch.Tensor, done: torch.Tensor) -> torch.Tensor:
        """(n, length, width), (n, length), (n, SITUATION_WIDTH), (n, DONE_WIDTH) -> (n, len(CHOICES)) logits."""
        known = torch.cat([situation, done], -1)
        query = self.query(known).unflatten(-1, (self.config.queries, self.config.width))
        scores = torch.einsum("nqw,ntw->nqt", query, words) / self.config.width**0.5
        shares = scores.masked_fill(~mask[:, None], -torch.inf).softmax(-1)
        found = torch.einsum("nqt,ntw->nqw", shares, words).flatten(1)
        return cast(torch.Tensor, self.choose(torch.cat([found, known], -1)))


class Intent:
    """What one message asks for. ``readings``: heads, each with the (1, length, width) of its ``words``; those that read with layers of
    their own are heeded OWN_WEIGHT times as much. ``states``: (length, hidden), what the frozen language model makes of the message."""

    def __init__(
        self, readings: Sequence[tuple[IntentHead, torch.Tensor]], situation: torch.Tensor, states: torch.Tensor | None = None
    ) -> None:
        self._readings, self._situation, self.states = readings, situation, states
        self._shares: dict[tuple[str, ...], dict[str, float]] = {}

    def weigh(self, kinds: Mapping[MediaKind, float]) -> None:
        """How probable it is that the message is about something of each kind: calls that come first and need such are weighed by it
        against each other."""
        shares, most = self._choices(()), max(kinds.values(), default=1.0)
        needing = {tag: shares[tag] for tag in TASK_TAGS if TASKS[Task(tag)].needs}
        weighed = {
            tag: share * max(LEAST_OF_A_KIND, max(kinds.get(kind, 0.0) for kind in TASKS[Task(tag)].needs) / most)
            for tag, share in needing.items()
        }
        if total := sum(weighed.values()):
            scale = sum(needing.values()) / total
            self._shares[()] = shares | {tag: share * scale for tag, share in weighed.items()}

    def settle(self, tag: str) -> None:
        """This call and no other is asked for."""
        self._shares = {key: dict.fromkeys(CHOICES, 0.0) | {choice: 1.0} for key, choice in (((), tag), ((tag,), NO_CALL))}

    def next(self, called: Sequence[str] = ()) -> dict[str, float]:
        """Probability of each choice for the call after ``called``; of NO_CALL that there is none."""
        shares = dict(self._choices(called))
        shares[NO_CALL] += shares.pop(PLAIN)
        return shares

    @property
    def plain(self) -> float:
        """Probability that the frozen language model should answer by itself."""
        return self._choices(())[PLAIN]

    def _choices(self, called: Sequence[str]) -> dict[str, float]:
        key = tuple(called)
        if key not in self._shares:
            known = self._situation[None], done_vector(key)[None]
            with torch.no_grad():
                chosen = [head(words, torch.ones(words.shape[:2], dtype=torch.bool), *known) for head, words in self._readings]
            weights = torch.tensor([OWN_WEIGHT if head.config.own else 1.0 for head, _ in self._readings])
            shares = (weights / weights.sum()) @ torch.cat(chosen).softmax(-1)
            self._shares[key] = dict(zip(CHOICES, shares.tolist(), strict=True))
        return self._shares[key]

    def plan(self) -> tuple[str, ...]:
        """The likeliest calls, one after the other, MOST_CALLS at most."""
        calls: list[str] = []
        while len(calls) < MOST_CALLS:
            shares = self.next(calls)
            best = max(shares, key=shares.__getitem__)
            if best == NO_CALL:
                break
            calls.append(best)
        return tuple(calls)


class IntentReader:
    """Reads messages with the frozen lower layers of ``language_model`` and trained heads, some of which have layers of their own: two that
    read differently are right more often than either."""

    def __init__(self, heads: Sequence[IntentHead], language_model: nn.Module, vocabulary: Vocabulary) -> None:
        """To be built before the layers of ``language_model`` are packed; takes the ``differences`` from the heads, which are large.
        ModelLoadError where a head is of another language model."""
        self._backbone, self._vocabulary = language_model.model, vocabulary
        self._heads = [(head.eval().requires_grad_(False), self._own(head)) for head in heads]

    def _own(self, head: IntentHead) -> OwnLayers | None:
        if not head.config.own:
            return None
        own = own_layers(head.config, self._backbone).differ_by(head.differences)
        head.differences = {}
        pack_linears(own)
        return own

    def read(self, conversation: Conversation) -> Intent | None:
        """The wish of the last message; None where it has no words."""
        text = words_of(conversation)
        if not text:
            return None
        tokens = torch.tensor([tokens_of(self._vocabulary, text)], device=self._backbone.embed_tokens.weight.device)
        mask = torch.ones(tokens.shape, dtype=torch.bool)
        with torch.no_grad():
            layers = sorted({depth for head, _ in self._heads for depth in (head.config.layer, head.config.layer - head.config.own)})
            states = {0: self._backbone.embed_tokens(tokens)}
            for before, layer in pairwise((0, *layers)):
                states[layer] = read_on(self._backbone, states[before], before, layer)
            readings = []
            for head, own in self._heads:
                shared = states[head.config.layer - head.config.own]
                readings.append((head, head.words((own(shared, mask.to(shared.device)) if own else shared).float().cpu(), mask)))
        intent = Intent(readings, Situation.of(conversation).vector(), states[layers[-1]][0].float().cpu())
        wish = outright(text) if not is_marked(conversation) else None
        if wish and has_its_media(wish[0], conversation.artefacts()) and intent.plan() not in ((wish[0],), (Task.LAYOUT_GENERATION,)):
            intent.settle(wish[0])
        return intent


def speaks_to_us(message: str) -> bool:
    """Whether it says "you" or "your": of ourselves the frozen language model knows nothing."""
    return bool(_OURSELVES.search(message))


def words_of(conversation: Conversation) -> str:
    """What the last message says, without its media; a region that is marked in it by its phrase."""
    parts = conversation.messages[-1].parts if conversation.messages else ()
    said = "".join(part.text if isinstance(part, TextPart) else part.phrase if isinstance(part, RegionPart) else "" for part in parts)
    return " ".join(said.split())


def tokens_of(vocabulary: Vocabulary, text: str) -> list[int]:
    """Of a message that is read; of a long one, its beginning and its end, and of a single token that one behind a full stop: what stands
    first gathers attention, and its state tells nothing of what it is (Xiao et al., arXiv 2309.17453)."""
    ids = vocabulary.encode(" " + text)
    ids = [*vocabulary.encode("."), *ids] if len(ids) == 1 else ids
    return ids if len(ids) <= LONGEST else ids[: LONGEST // 2] + ids[-LONGEST // 2 :]


def lower_states(backbone: nn.Module, ids: torch.Tensor, layer: int) -> torch.Tensor:
    """(batch, length) token ids, padded on the right -> (batch, length, hidden) states behind the first ``layer`` layers of a Llama."""
    return read_on(backbone, backbone.embed_tokens(ids), 0, layer)


def read_on(backbone: nn.Module, states: torch.Tensor, first: int, last: int) -> torch.Tensor:
    """(batch, length, hidden) states behind ``first`` layers -> the same behind ``last`` of them."""
    places = torch.arange(states.shape[1], device=states.device)[None]
    angles = backbone.rotary_emb(states, places)
    for block in backbone.layers[first:last]:
        states = block(states, attention_mask=None, position_ids=places, position_embeddings=angles)
    return states


def own_layers(config: IntentConfig, backbone: nn.Module) -> OwnLayers:
    """Copies of the layers that a head of this configuration has of its own, as they are in the language model."""
    return OwnLayers(backbone, config.layer - config.own, config.layer)


def save_head(head: IntentHead, path: Path) -> None:
    """Half precision, with its configuration."""
    state = head.state_dict() | {OWN + name: tensor for name, tensor in head.differences.items()}
    state = {name: tensor.detach().half().contiguous() for name, tensor in state.items()}
    save_file(state, path, {"config": json.dumps(asdict(head.config))})


def load_head(path: Path) -> IntentHead:
    """Inverse of ``save_head``; ModelLoadError when the file does not fit this code."""
    try:
        with safe_open(path, "pt") as handle:
            head = IntentHead(IntentConfig(**json.loads((handle.metadata() or {})["config"])))
            tensors = {name: handle.get_tensor(name).float() for name in handle.keys()}  # noqa: SIM118
            head.differences = {name.removeprefix(OWN): tensors.pop(name) for name in list(tensors) if name.startswith(OWN)}
            head.load_state_dict(tensors)
            return head
    except (OSError, KeyError, TypeError, ValueError, RuntimeError, SafetensorError) as exc:
        raise ModelLoadError(f"{path.name} does not fit this version of the code ({exc}); take the weights of the same commit.") from exc
