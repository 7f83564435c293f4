"""The tiny profile's model, put together from its weights when it is first needed."""

import threading
from collections.abc import Callable, Generator, Sequence

import torch

from unified_demo import grammar
from unified_demo.config import GenerationOptions, Settings
from unified_demo.conversation import VISIBLE
from unified_demo.grammar import Box, TaskSpec
from unified_demo.messages import Artefact, Conversation
from unified_demo.model.answers import AnswerMaps
from unified_demo.model.antecedents import load_head as load_antecedents
from unified_demo.model.backend import TinyModel
from unified_demo.model.detection import Detector
from unified_demo.model.intents import IntentReader, load_head
from unified_demo.model.loading import add_plugins, build_network, load_encoder, load_language_model, load_trained, read_config
from unified_demo.model.naming import Names
from unified_demo.model.packing import pack_linears
from unified_demo.model.perception import Perception
from unified_demo.model.small_talk import SmallTalk
from unified_demo.model.tuning import cast_added
from unified_demo.model_facts import resolve_device
from unified_demo.zoo import Zoo

INTENTS = ("tiny_intents", "tiny_own_intents")
"""Roles of the heads that read what a message asks for."""


class LazyModel:
    """A ``LanguageBackend`` that builds its TinyModel on first use, once; a failed load may be tried again."""

    reads = VISIBLE

    def __init__(self, build: Callable[[], TinyModel]) -> None:
        self._build = build
        self._model: TinyModel | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Raises ModelLoadError when weights are missing or do not fit."""
        with self._lock:
            if self._model is None:
                self._model = self._build()

    @property
    def model(self) -> TinyModel:
        """The loaded model; loads it if need be."""
        self.load()
        assert self._model is not None
        return self._model

    def propose(self, artefact: Artefact) -> tuple[Box, ...]:
        """Boxes of what the model sees in a picture. MediaError when its file is gone."""
        return self.model.look(artefact).boxes

    def wants_something_new(self, conversation: Conversation) -> bool:
        """Whether the last message asks for what needs none of its files, such as a picture from words."""
        guide = self.model.guide(conversation, frozenset(), False)
        return guide is not None and guide.wants_something_new()

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        return (yield from self.model.generate(conversation, options, cancel))


def load_multimodal_lm(settings: Settings, zoo: Zoo, tasks: Sequence[TaskSpec]) -> LazyModel:
    """The tiny profile's model; nothing is read before its first use. ``tasks``: those that have an expert, plug-ins among them."""
    return LazyModel(lambda: _build(settings, zoo, tasks))


def _build(settings: Settings, zoo: Zoo, tasks: Sequence[TaskSpec]) -> TinyModel:
    trained = zoo.path("tiny_adapters")
    device, dtype = _place(settings)
    language_model, tokenizer = load_language_model(zoo.path("language_model"), settings.cache_dir / "converted" / "language_model", dtype)
    config = read_config(trained)
    network, vocabulary = build_network(language_model, tokenizer, config)
    load_trained(network, trained)
    vocabulary = add_plugins(network, vocabulary, [task for task in tasks if task.tag not in grammar.TASK_TAGS])
    small_talk = SmallTalk.load(zoo.path("tiny_small_talk"))
    small_talk.put_into(language_model)
    network.to(device).eval().requires_grad_(False)
    for layer in network.lora_layers:
        layer.record = True
    cast_added(language_model, dtype)
    intents = IntentReader([load_head(zoo.path(role)) for role in INTENTS], language_model, vocabulary)
    pack_linears(language_model)
    names, antecedents = Names.load(zoo.path("tiny_names")), load_antecedents(zoo.path("tiny_antecedents"))
    answers = AnswerMaps.load(zoo.path("tiny_answers"))
    tags = tuple(task.tag for task in tasks)
    return TinyModel(network, vocabulary, load_perception(settings, zoo), tags, names, intents, antecedents, answers, small_talk)


def load_perception(settings: Settings, zoo: Zoo) -> Perception:
    """Encoder and detector of the tiny profile."""
    device, dtype = _place(settings)
    encoder = load_encoder(zoo.path("image_encoder"), settings.cache_dir / "converted" / "image_encoder.safetensors", device, dtype)
    return Perception(encoder, Detector(zoo.path("detector")))


def _place(settings: Settings) -> tuple[str, torch.dtype]:
    return resolve_device(settings.device), getattr(torch, settings.number_type)
