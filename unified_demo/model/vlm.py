"""The full profile's language backend: an open vision-language model of the Qwen3-VL family, as it comes from the hub.

It is told the representation in words (``vlm_prompt``) and held to it letter by letter while it decodes (``vlm_rules``), so that
every call is well-formed without training. All state of an answer is in its generator. It parses nothing and calls no expert.
"""

import importlib.util
import logging
import re
import threading
import time
from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from unified_demo.compiling import Compiled
from unified_demo.config import GenerationOptions, Settings
from unified_demo.conversation import VISIBLE
from unified_demo.errors import ModelLoadError, UnifiedError
from unified_demo.messages import Conversation
from unified_demo.model.vlm_adapters import load_adapters
from unified_demo.model.vlm_prompt import NATIVE_GRID, CoordinateTranslator, Shown, Turn, render_turns
from unified_demo.model.vlm_rules import Offer, Place, SurfaceRules
from unified_demo.model_facts import resolve_device

log = logging.getLogger(__name__)

FAMILY = ("qwen3_vl", "qwen3_vl_moe")
"""``model_type`` of checkpoints this file can drive: coordinates from 0 to 1000, M-RoPE, one placeholder per merged patch."""
MOST_PROMPT_TOKENS = 24_000
MOST_PIXELS = 1280 * 32 * 32
"""A picture is reduced to this many pixels for the model: at most 1,280 tokens."""
OUT_OF_MEMORY = (
    "The language model ran out of memory while it read the conversation; begin a new one, or start with --quantisation nf4 or a smaller "
    "--max-memory, which leaves less to the experts."
)
ROOM = 1024
"""Fixed caches hold a multiple of so many tokens, so that few different ones are compiled for."""
_FIRST_TRIES = 64
_PART_OF_A_LETTER = "é"
"""Stands for a letter of which only some bytes are written yet."""


@dataclass(frozen=True)
class Prompt:
    """``ids`` (1, tokens); ``pixel_values`` (patches, values) and ``grid`` (pictures, 3) or None without pictures."""

    ids: torch.Tensor
    pixel_values: torch.Tensor | None
    grid: torch.Tensor | None


class Reader:
    """Turns -> prompt, by the checkpoint's own chat template, tokenizer and image processor."""

    def __init__(self, tokenizer: Any, image_processor: Any, image_token: str) -> None:
        self.tokenizer, self.image_processor = tokenizer, image_processor
        self.image_token, self.image_id = image_token, tokenizer.convert_tokens_to_ids(image_token)
        self._marks = re.compile("|".join(re.escape(mark) for mark in sorted(tokenizer.get_added_vocab(), key=len, reverse=True)))

    def read(self, turns: Sequence[Turn]) -> Prompt:
        """A conversation whose next answer is to be written."""
        return self._prompt(turns, [self._text(turns, answer=True)])[0]

    def read_answered(self, turns: Sequence[Turn]) -> tuple[Prompt, list[tuple[int, int]]]:
        """A conversation that ends with an answer, and where the tokens of each answer with its end mark stand: (first, behind the last).

        Before the last answer stand the tokens that ``read`` gives. ModelLoadError for a chat template that writes answers otherwise.
        """
        pieces, done = [], 0
        for number, turn in enumerate(turns):
            if turn.role == "assistant":
                before, behind = self._text(turns[:number], answer=True), self._text(turns[: number + 1], answer=False).rstrip("\n")
                if not behind.startswith(before):
                    raise ModelLoadError("This chat template does not write answers as it begins them, so they cannot be learnt.")
                pieces += [before[done:], behind[len(before) :]]
                done = len(behind)
        prompt, ends = self._prompt(turns, pieces)
        return prompt, list(zip(ends[::2], ends[1::2], strict=True))

    def _text(self, turns: Sequence[Turn], answer: bool) -> str:
        messages = [{"role": turn.role, "content": [self._entry(item) for item in turn.content]} for turn in turns]
        text: str = self.tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=answer)
        return text

    def _prompt(self, turns: Sequence[Turn], pieces: Sequence[str]) -> tuple[Prompt, list[int]]:
        """Pieces of text, one after the other, with a placeholder for each picture of the turns; and where each piece ends."""
        pictures = [item.image for turn in turns for item in turn.content if isinstance(item, Shown)]
        pixels = grid = None
        counts: Iterator[int] = iter(())
        if pictures:
            looked = self.image_processor(images=pictures, return_tensors="pt")
            pixels, grid = looked["pixel_values"], looked["image_grid_thw"]
            counts = iter((grid.prod(-1) // self.image_processor.merge_size**2).tolist())
        ids: list[int] = []
        ends = []
        for piece in pieces:
            first, *rest = piece.split(self.image_token)
            text = first + "".join(self.image_token * next(counts) + part for part in rest)
            ids += self.tokenizer(text, add_special_tokens=False)["input_ids"]
            ends.append(len(ids))
        return Prompt(torch.tensor([ids]), pixels, grid), ends

    def _entry(self, item: str | Shown) -> dict[str, str]:
        """What is typed cannot become one of the tokenizer's marks: ``<|im_end|>`` turns into ``‹|im_end|>``."""
        if isinstance(item, Shown):
            return {"type": "image"}
        return {"type": "text", "text": self._marks.sub(lambda found: "‹" + found[0][1:], item)}


class TokenText:
    """Token ids -> text, one by one; knows what a token would add without taking it. For any tokenizer."""

    _CONTEXT = 4

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer
        self._done: list[int] = []
        self._pending: list[int] = []

    def preview(self, token: int) -> str | None:
        """The text that ``token`` would complete; None while bytes of a letter are missing."""
        context = self._done[-self._CONTEXT :]
        added = self._decode([*context, *self._pending, token])[len(self._decode(context)) :]
        return None if added.endswith("\ufffd") and len(self._pending) < 3 else added

    def take(self, token: int) -> str:
        """The text that ``token`` completes."""
        text = self.preview(token)
        self._pending.append(token)
        if text is None:
            return ""
        self._done, self._pending = [*self._done, *self._pending][-self._CONTEXT :], []
        return text

    def _decode(self, ids: list[int]) -> str:
        return self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False)


class _Decoder:
    """Key-value cache and positions of one answer; ``logits`` (vocabulary) of the next token, on the CPU.

    With ``compiled``, the network's step as ``Compiled``, the cache has a fixed room: for the prompt and ``most`` tokens more.
    """

    def __init__(self, network: Any, prompt: Prompt, image_id: int, compiled: Compiled | None = None, most: int = 0) -> None:
        self._network, self._run, cache = network, compiled or network, None
        if compiled:
            from transformers import StaticCache

            room = -(-(prompt.ids.shape[1] + most) // ROOM) * ROOM
            cache = StaticCache(config=network.config.text_config, max_cache_len=room)
        ids = prompt.ids.to(network.device)
        seen: dict[str, Any] = {}
        if prompt.pixel_values is not None and prompt.grid is not None:
            seen = {"pixel_values": prompt.pixel_values.to(network.device), "image_grid_thw": prompt.grid.to(network.device)}
        with torch.no_grad():
            positions, shift = network.model.get_rope_index(ids, (ids == image_id).int(), seen.get("image_grid_thw"))
            self._next = int(ids.shape[1] + shift.item())
            self._look(network(input_ids=ids, position_ids=positions, past_key_values=cache, use_cache=True, logits_to_keep=1, **seen))

    def step(self, token: int) -> None:
        """Feed one chosen token."""
        device = self._network.device
        with torch.no_grad():
            ids, positions = torch.tensor([[token]], device=device), torch.full((3, 1, 1), self._next, device=device)
            self._look(self._run(input_ids=ids, position_ids=positions, past_key_values=self._cache, use_cache=True))
        self._next += 1

    def _look(self, output: Any) -> None:
        self._cache, self.logits = output.past_key_values, output.logits[0, -1].float().cpu()


class VisionLanguageModel:
    """A ``LanguageBackend``; ``build`` loads network and reader on first use, once. ``offers``: the tasks that may be called."""

    reads = VISIBLE

    def __init__(self, build: Callable[[], tuple[Any, Reader]], offers: Sequence[Offer], compiled: bool = False) -> None:
        """``compiled``: the step that writes a token is compiled at its first use."""
        self.offers = tuple(offers)
        self._wish = compiled
        self._step: Compiled | None = None
        self._build = build
        self._parts: tuple[Any, Reader] | None = None
        self._lock = threading.Lock()

    def load(self) -> None:
        """Raises ModelLoadError when the checkpoint is missing or of another family; may then be tried again."""
        with self._lock:
            if self._parts is None:
                self._parts = self._build()
                if self._wish:
                    self._step = Compiled(self._parts[0].forward, self._parts[0].device.type)

    def generate(
        self, conversation: Conversation, options: GenerationOptions, cancel: threading.Event
    ) -> Generator[str, None, dict[str, float]]:
        """Surface text as it is decoded; returns {"look_s", "prefill_s", "decode_s", "tokens", "prompt_tokens"}."""
        self.load()
        assert self._parts is not None
        network, reader = self._parts
        started = time.perf_counter()
        prompt = self._prompt(conversation, reader)
        looked = time.perf_counter()
        try:
            decoder = _Decoder(network, prompt, reader.image_id, self._step, options.max_new_tokens)
        except torch.OutOfMemoryError as exc:
            raise UnifiedError(OUT_OF_MEMORY) from exc
        prefilled = time.perf_counter()
        rules = SurfaceRules(self.offers, tuple(conversation.artefacts()), NATIVE_GRID) if options.constrained else None
        writer = _Writer(reader.tokenizer, rules, end_ids(network, reader.tokenizer))
        translator = CoordinateTranslator()
        generator = torch.Generator().manual_seed(options.seed)
        count = 0
        while count < options.max_new_tokens and not cancel.is_set():
            token = writer.choose(decoder.logits, options.temperature, generator)
            if token is None:
                break
            count += 1
            if text := translator.feed(writer.take(token)):
                yield text
            decoder.step(token)
        if text := translator.close():
            yield text
        end = time.perf_counter()
        times = {"look_s": looked - started, "prefill_s": prefilled - looked, "decode_s": end - prefilled}
        return {**times, "tokens": float(count), "prompt_tokens": float(prompt.ids.shape[1])}

    def _prompt(self, conversation: Conversation, reader: Reader) -> Prompt:
        """The prompt; when it is too long the oldest messages go. UnifiedError when the last one alone is too long."""
        messages = conversation.messages
        while True:
            prompt = reader.read(render_turns(Conversation(messages), self.offers))
            length = prompt.ids.shape[1]
            if length <= MOST_PROMPT_TOKENS:
                return prompt
            if len(messages) == 1:
                raise UnifiedError(
                    f"The message has {length:,} tokens with its pictures; at most {MOST_PROMPT_TOKENS:,} are read, so please shorten it."
                )
            messages = messages[2:] or messages[1:]


class _Writer:
    """Chooses tokens whose letters may stand where the answer is."""

    def __init__(self, tokenizer: Any, rules: SurfaceRules | None, ends: frozenset[int]) -> None:
        self._rules, self._ends = rules, ends
        self._special = frozenset(tokenizer.all_special_ids) - ends
        self._text = TokenText(tokenizer)
        self._place = Place()

    def choose(self, logits: torch.Tensor, temperature: float, generator: torch.Generator) -> int | None:
        """The best token that is allowed (temperature 0) or a sample of those; None when the answer is over."""
        for token in _by_preference(logits, temperature, generator):
            if token in self._ends:
                if self._place.may_end:
                    return None
            elif token not in self._special and self._after(token) is not None:
                return token
        return None

    def take(self, token: int) -> str:
        """The letters that became complete."""
        after = self._after(token)
        text = self._text.take(token)
        if after is not None and text:
            self._place = after
        return text

    def _after(self, token: int) -> Place | None:
        if self._rules is None:
            return self._place
        text = self._text.preview(token)
        if text == "":
            return None
        return self._rules.advance(self._place, _PART_OF_A_LETTER if text is None else text)


def _by_preference(logits: torch.Tensor, temperature: float, generator: torch.Generator) -> Iterator[int]:
    """Token ids: best first, or drawn one after the other without putting back, which samples exactly from what is allowed."""
    if temperature == 0:
        yield from logits.topk(min(_FIRST_TRIES, len(logits))).indices.tolist()
    else:
        chances = torch.softmax(logits / temperature, -1)
        yield from torch.multinomial(chances, min(_FIRST_TRIES, int((chances > 0).sum())), generator=generator).tolist()
    yield from logits.argsort(descending=True).tolist()


def end_ids(network: Any, tokenizer: Any) -> frozenset[int]:
    """Tokens that end an answer."""
    named = getattr(network.generation_config, "eos_token_id", None)
    ids = named if isinstance(named, list) else [named]
    return frozenset(token for token in (*ids, tokenizer.eos_token_id) if token is not None)


# ---- loading ----


def load_vision_language_model(folder: Callable[[], Path], settings: Settings, offers: Sequence[Offer]) -> VisionLanguageModel:
    """The backend for a checkpoint in the hub's layout; ``folder`` finds (and fetches) it on first use."""
    return VisionLanguageModel(lambda: read_checkpoint(folder(), settings), offers, settings.compile)


def read_checkpoint(folder: Path, settings: Settings) -> tuple[Any, Reader]:
    """(network in evaluation mode, reader). ModelLoadError when it is damaged, of another family, or cannot be quantised here."""
    from transformers import AutoConfig, AutoImageProcessor, AutoModelForImageTextToText, AutoTokenizer

    device, dtype = resolve_device(settings.device), getattr(torch, settings.number_type)
    try:
        config = AutoConfig.from_pretrained(folder)
        if config.model_type not in FAMILY:
            raise ModelLoadError(
                f"The language model is of the family '{config.model_type}'; allowed: {', '.join(FAMILY)}. Serve others with an "
                "OpenAI-compatible server."
            )
        tokenizer = AutoTokenizer.from_pretrained(folder)
        processor = AutoImageProcessor.from_pretrained(folder, backend="pil", size={"shortest_edge": 32 * 32, "longest_edge": MOST_PIXELS})
        network = AutoModelForImageTextToText.from_pretrained(
            folder,
            dtype=dtype,
            attn_implementation="sdpa" if settings.compile else attention_backend(device),
            quantization_config=quantisation(settings.quantisation),
            device_map={"": device},
        )
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise ModelLoadError(f"The language model in {folder} cannot be loaded ({exc}); fetch it again.") from exc
    image_token = tokenizer.convert_ids_to_tokens(config.image_token_id)
    if settings.adapters:
        load_adapters(network, settings.adapters)
    return network.eval().requires_grad_(False), Reader(tokenizer, processor, image_token)


def attention_backend(device: str) -> str:
    """FlashAttention where it is installed and there is a GPU, PyTorch's own otherwise."""
    return "flash_attention_2" if device != "cpu" and importlib.util.find_spec("flash_attn") else "sdpa"


def quantisation(kind: str) -> Any:
    """The configuration for 'int8' or 'nf4', None for 'none'. ModelLoadError without bitsandbytes."""
    if kind == "none":
        return None
    if importlib.util.find_spec("bitsandbytes") is None:
        raise ModelLoadError(f"Quantisation to {kind} needs bitsandbytes and a GPU; 'pip install bitsandbytes', or leave the flag out.")
    from transformers import BitsAndBytesConfig

    if kind == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_compute_dtype=torch.bfloat16)
