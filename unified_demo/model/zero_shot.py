"""Is a wish for a task of a plug-in? Asked of the frozen language model, which knows that task by its description alone.

How likely are the words of the wish behind each task's description: the plug-in whose description makes them likeliest is called when
no description of what the model learnt comes near. It loads nothing, decodes nothing and trains nothing.
"""

import threading
from collections.abc import Collection
from typing import TYPE_CHECKING

import torch
from torch import nn

from unified_demo.grammar import TASKS, MediaKind
from unified_demo.model.passes import switched_off
from unified_demo.model.tokens import Vocabulary

if TYPE_CHECKING:
    from transformers import DynamicCache

ANSWERS = (
    ("description", "say in words what a picture, a video or a sound shows"),
    ("question", "answer a question about what a picture or a video shows"),
    ("pointing", "find a thing in a picture and say where it is"),
    ("conversation", "chat, explain something, give advice or write a text"),
)
"""What the model does without a call: title and description, as ``grammar.TASKS`` has them of the ten tasks."""
MARGIN = 0.2
"""Nats for each token of the wish by which a plug-in's description must be better; found on the wishes of the split "tuning"."""
LONGEST_WISH = 48
"""Tokens of a wish that are read."""


class PluginChooser:
    """Reads descriptions once, on first use; a wish then costs one pass over its words for each description."""

    def __init__(self, language_model: nn.Module, vocabulary: Vocabulary) -> None:
        self._language_model, self._vocabulary = language_model, vocabulary
        self.plugins = [vocabulary.tasks[tag] for tag in vocabulary.plugins]
        self.described = [*((task.title, task.description) for task in TASKS.values()), *ANSWERS]
        self.described += [(task.title, task.description) for task in self.plugins]
        self._read: tuple[DynamicCache, torch.Tensor, torch.Tensor] | None = None
        self._lock = threading.Lock()

    def choose(self, wish: str, kinds: Collection[MediaKind]) -> str:
        """The tag of the plug-in that ``wish`` asks for, empty for none. ``kinds``: media of the conversation; a plug-in that needs others
        is out of the question."""
        if not wish.strip():
            return ""
        scores = self.likelihood(wish).mean(1).tolist()
        learnt, installed = scores[: -len(self.plugins)], scores[-len(self.plugins) :]
        possible = [(score, task.tag) for score, task in zip(installed, self.plugins, strict=True) if set(kinds).issuperset(task.needs)]
        best, tag = max(possible, default=(-torch.inf, ""))
        return tag if best > max(learnt) + MARGIN else ""

    def likelihood(self, wish: str) -> torch.Tensor:
        """(descriptions, tokens): log-probability of each token of the wish behind each description; those of ``described``."""
        ids = self._vocabulary.encode(" " + wish)[:LONGEST_WISH]
        with self._lock, torch.no_grad(), switched_off():
            cache, mask, last = self._read or self._read_descriptions()
            self._read = (cache, mask, last)
            tokens = torch.tensor([ids], device=mask.device).expand(len(mask), -1)
            places = mask.sum(1, keepdim=True) + torch.arange(len(ids), device=mask.device)
            hidden = self._language_model.model(
                input_ids=tokens,
                attention_mask=torch.cat([mask, torch.ones_like(tokens)], 1),
                position_ids=places,
                past_key_values=cache,
                use_cache=True,
            ).last_hidden_state
            cache.crop(-len(ids))
            before = torch.cat([last, hidden[:, :-1]], 1)
            logs = [self._language_model.lm_head(row).float().log_softmax(-1)[range(len(ids)), ids] for row in before]
        return torch.stack(logs).cpu()

    def _read_descriptions(self) -> tuple["DynamicCache", torch.Tensor, torch.Tensor]:
        """(keys and values, (n, length) mask, (n, 1, hidden) last states) of all descriptions, padded on the left."""
        from transformers import DynamicCache

        rows = [self._vocabulary.encode(f"{title}: {description}\nRequest:") for title, description in self.described]
        longest = max(map(len, rows))
        device = self._language_model.get_input_embeddings().weight.device
        mask = torch.tensor([[0] * (longest - len(row)) + [1] * len(row) for row in rows], device=device)
        ids = torch.tensor([[0] * (longest - len(row)) + row for row in rows], device=device)
        cache = DynamicCache(config=self._language_model.config)
        output = self._language_model.model(
            input_ids=ids,
            attention_mask=mask,
            position_ids=(mask.cumsum(1) - 1).clamp_min(0),
            past_key_values=cache,
            use_cache=True,
        )
        return cache, mask, output.last_hidden_state[:, -1:]
