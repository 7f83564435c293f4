"""The frozen language model by itself, and ours with adapters at their start: baselines, and the measure of what was kept.

Greedy answers, a choice among labels after a few-shot prompt, and log-probabilities of an answer. It knows no benchmark.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import torch

from unified_demo.config import Settings
from unified_demo.conversation import render_conversation
from unified_demo.evaluation.retention import Compared
from unified_demo.messages import Conversation
from unified_demo.model.backend import TinyModel
from unified_demo.model.loading import build_network, load_language_model, read_config
from unified_demo.model.packing import pack_linears
from unified_demo.model.passes import switched_off
from unified_demo.model.tiny import load_perception
from unified_demo.model.tokens import Tokens, Vocabulary
from unified_demo.model_facts import resolve_device
from unified_demo.zoo import Zoo

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

Floats = npt.NDArray[np.floating]
Ids = npt.NDArray[np.integer]
IMPOSSIBLE = -1e4
"""Log-probability of a tag for the frozen model, which has no tags; finite, so that 0 x it is 0."""


class FrozenModel:
    """SmolLM2 as released; answers in its own chat format."""

    def __init__(self, language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase") -> None:
        self._model = language_model.eval().requires_grad_(False)
        self._vocabulary = Vocabulary(tokenizer, language_model.config.vocab_size)
        self._prefix: tuple[str, Any, int] | None = None
        self._neutral: dict[str, torch.Tensor] = {}
        self._word_mean = language_model.get_input_embeddings().weight.float().mean(0)

    def answer(self, conversation: Conversation, max_new_tokens: int = 64) -> str:
        """The greedy answer as plain text; pictures are not seen."""
        tokens = self._vocabulary.tokenize(render_conversation(conversation), {}, {})
        written: list[int] = []
        with torch.no_grad():
            logits, cache = self._forward(tokens.ids, None)
            while len(written) < max_new_tokens and (token := int(logits.argmax())) != self._vocabulary.end_id:
                written.append(token)
                logits, cache = self._forward([token], cache)
        return self._vocabulary.tokenizer.decode(written, skip_special_tokens=True).strip()

    def choose(self, prefix: str, question: str, neutral: str, labels: Sequence[str], most: int) -> list[str]:
        """One to ``most`` of ``labels`` as the model continues ``prefix + question``, decoded greedily under the rule that each is a
        label, followed by a comma and another one or by the end of the line.

        What the model would say anyway, after the question ``neutral``, is subtracted from the first token (contextual calibration,
        Zhao et al., arXiv 2102.09690). The prefix is read once and kept.
        """
        cache, length = self._read_prefix(prefix)
        spelt = {label: self._encode(f" {label}") for label in labels}
        more, stop = self._encode(",")[0], self._encode("\n")[0]
        chosen: list[str] = []
        with torch.no_grad():
            if neutral not in self._neutral:
                self._neutral[neutral] = torch.log_softmax(self._forward(self._encode(neutral), cache)[0], -1)
                self._rewind(cache, length)
            logits, cache = self._forward(self._encode(question), cache)
            logits = torch.log_softmax(logits, -1) - self._neutral[neutral]
            while len(chosen) < most:
                label, logits, cache = self._choose_label(
                    logits, cache, {key: ids for key, ids in spelt.items() if key not in chosen}, stop
                )
                chosen.append(label)
                if logits[more] <= logits[stop]:
                    break
                logits, cache = self._forward([more], cache)
        self._rewind(cache, length)
        return chosen

    def likeness(self, text: str, other: str) -> float:
        """Cosine of the mean word embeddings of two texts, the mean of all words taken off."""
        words = self._model.get_input_embeddings().weight
        one, two = (words[self._encode(f" {said}")].float().mean(0) - self._word_mean for said in (text, other))
        return float(torch.nn.functional.cosine_similarity(one, two, dim=0))

    def _choose_label(
        self, logits: torch.Tensor, cache: Any, open_labels: dict[str, list[int]], stop: int
    ) -> tuple[str, torch.Tensor, Any]:
        """Walk down the labels' tokens; where one label is the beginning of another, ``stop`` decides."""
        place = 0
        while True:
            done = next((label for label, ids in open_labels.items() if len(ids) == place), None)
            allowed = sorted({ids[place] for ids in open_labels.values() if len(ids) > place})
            if done and (not allowed or logits[stop] > logits[allowed].max()):
                return done, logits, cache
            token = allowed[int(logits[allowed].argmax())]
            open_labels = {label: ids for label, ids in open_labels.items() if len(ids) > place and ids[place] == token}
            logits, cache = self._forward([token], cache)
            place += 1

    def _rewind(self, cache: Any, length: int) -> None:
        if (added := cache.get_seq_length() - length) > 0:
            cache.crop(-added)

    def _read_prefix(self, prefix: str) -> tuple[Any, int]:
        if self._prefix is None or self._prefix[0] != prefix:
            ids = self._encode(prefix, trusted=True)
            with torch.no_grad():
                _, cache = self._forward(ids, None)
            self._prefix = (prefix, cache, len(ids))
        return self._prefix[1], self._prefix[2]

    def log_probabilities(self, ids: Sequence[int], places: Sequence[int], width: int) -> Floats:
        """(places, width) natural logarithms of what comes at each of ``places``; entries beyond the words are IMPOSSIBLE."""
        with torch.no_grad():
            device = self._model.device
            logits = self._model(input_ids=torch.tensor([list(ids)], device=device)).logits[0, [place - 1 for place in places]]
        known = torch.log_softmax(logits.float(), -1).cpu().numpy()
        return np.pad(known, ((0, 0), (0, width - known.shape[1])), constant_values=IMPOSSIBLE)

    def _forward(self, ids: Sequence[int], cache: Any) -> tuple[torch.Tensor, Any]:
        device = self._model.device
        output = self._model(input_ids=torch.tensor([list(ids)], device=device), past_key_values=cache, use_cache=True)
        return output.logits[0, -1].float().cpu(), output.past_key_values

    def _encode(self, text: str, trusted: bool = False) -> list[int]:
        return self._vocabulary.encode(text, trusted)


def our_log_probabilities(model: TinyModel, conversation: Conversation, frozen: bool = False) -> tuple[Tokens, list[int], Floats]:
    """Our model on a finished conversation without media: its tokens, the places of the answers' tokens, and (places, words + tags).

    The prompt is the one of the page. ``frozen``: what is left to the frozen language model, which has no tags.
    """
    tokens = model.vocabulary.tokenize(render_conversation(conversation, add_answer_start=False), {}, {})
    places = tokens.learnt()
    network = model.network
    with torch.no_grad(), switched_off(frozen):
        inputs, injection = network.embed(tokens, {})
        hidden = network.run(inputs[None], injection[None])[0]
        states = hidden[[place - 1 for place in places]]
        words = network.language_model.lm_head(states).float()
        logits = torch.cat([words, torch.nn.functional.linear(states.float(), network.tag_embeddings.float())], -1)
    if frozen:
        logits[:, words.shape[1] :] = IMPOSSIBLE
    return tokens, places, torch.log_softmax(logits.float(), -1).cpu().numpy()


class PairComparer:
    """Ours (by name of the system) and the frozen model on the same words, each after its own prompt.

    Where ours leaves plain chat to its frozen language model, so does the measure.
    """

    def __init__(self, frozen: FrozenModel, ours: Callable[[str], TinyModel]) -> None:
        self._frozen, self._ours = frozen, ours

    def compare(self, system: str, conversation: Conversation) -> Compared:
        model = self._ours(system)
        question = Conversation(conversation.messages[:-1])
        guide = model.guide(question, frozenset(), False)
        left = guide is not None and guide.leaves_to_the_frozen_model(question)
        tokens, places, ours = our_log_probabilities(model, conversation, left)
        plain = model.vocabulary.tokenize(render_conversation(conversation, add_answer_start=False), {}, {})
        frozen = self._frozen.log_probabilities(plain.ids, plain.learnt(), ours.shape[1])
        return Compared(frozen, ours, np.array([tokens.ids[place] for place in places]), left)


def load_frozen(settings: Settings, zoo: Zoo) -> FrozenModel:
    """Raises ModelLoadError when the language model is missing."""
    device, dtype = _place(settings)
    language_model, tokenizer = load_language_model(zoo.path("language_model"), settings.cache_dir / "converted" / "language_model", dtype)
    language_model.to(device)
    pack_linears(language_model)
    return FrozenModel(language_model, tokenizer)


def load_untrained(settings: Settings, zoo: Zoo, tasks: tuple[str, ...]) -> TinyModel:
    """Our network with everything that training changes as it is before the first step. Raises ModelLoadError."""
    device, dtype = _place(settings)
    torch.manual_seed(0)
    language_model, tokenizer = load_language_model(zoo.path("language_model"), settings.cache_dir / "converted" / "language_model", dtype)
    config = read_config(zoo.path("tiny_adapters"))
    network, vocabulary = build_network(language_model, tokenizer, config)
    network.to(device).eval().requires_grad_(False)
    return TinyModel(network, vocabulary, load_perception(settings, zoo), tasks)


def _place(settings: Settings) -> tuple[str, torch.dtype]:
    return resolve_device(settings.device), getattr(torch, settings.number_type)
