"""Plain chat that the frozen language model makes up itself: a question sampled after the mark of a user's turn, then its answer.

With it training keeps plain chat as it was (the idea of Magpie, Xu et al., arXiv 2406.08464, turned on retention). It also answers the
plain questions of our own data, which then need no answers of ours. Questions that speak of pictures, videos or sounds are left out,
for those are ours to answer. It trains nothing.
"""

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from unified_demo.conversation import ANSWER_START, SYSTEM_TEXT, TURN_END, TURN_START
from unified_demo.data.requests import chats
from unified_demo.data.split import held_out_templates
from unified_demo.data.wishes import NONE, wishes
from unified_demo.errors import MediaError
from unified_demo.messages import Conversation, Message, TextPart
from unified_demo.model.intents import speaks_to_us

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

BATCH = 24
MOST_ASKED, MOST_SAID = 40, 72
"""Tokens."""
TOP_P = 0.95
SYSTEM = f"{TURN_START}system\n{SYSTEM_TEXT}{TURN_END}\n{TURN_START}user\n"
_OURS = re.compile(
    r"\b(pictur|image|photo|draw|paint|sketch|video|clip|film|movie|sound|audio|music|song|record|animat|segment|mask|caption|logo|"
    r"illustrat|render|attach|upload|file|scene)",
    re.IGNORECASE,
)
_REFUSED = re.compile(r"\b(chatbot|as an AI|I'm sorry|I apologize|I don't have the ability|I'm unable|I cannot|I can't)\b", re.IGNORECASE)


def sample_chats(
    language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", count: int, seed: int
) -> Iterator[tuple[str, str]]:
    """``count`` pairs of question and answer, at most MOST_ASKED and MOST_SAID tokens long; a function of ``seed``."""
    torch.manual_seed(seed)
    made = 0
    while made < count:
        asked = [text for text in _continue(language_model, tokenizer, [SYSTEM] * BATCH, MOST_ASKED) if _is_plain(text)]
        for question, answer in _answered(language_model, tokenizer, asked):
            if made < count:
                made += 1
                yield question, answer


def answer_own(language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase") -> Iterator[tuple[str, str]]:
    """Each of ``own_questions`` with its likeliest answer, word by word."""
    asked = own_questions()
    for start in range(0, len(asked), BATCH):
        yield from _answered(language_model, tokenizer, asked[start : start + BATCH], sampled=False)


def own_questions() -> list[str]:
    """The plain questions in English that training conversations ask, in a fixed order.

    What is no question keeps our answers, and so does what is asked about ourselves: the frozen model makes a person up.
    """
    hidden = held_out_templates()
    asked = [text for name, questions, _ in chats() if name not in hidden for text in questions]
    asked += [text for text, _, language in wishes()[NONE] if language == "english"]
    return [text for text in dict.fromkeys(asked) if text.endswith("?") and is_general(text)]


def is_general(message: str) -> bool:
    """Whether it speaks neither of pictures, videos and sounds nor to somebody in particular."""
    return _is_plain(message) and not speaks_to_us(message)


def _answered(
    language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", asked: list[str], sampled: bool = True
) -> Iterator[tuple[str, str]]:
    """Each question with its answer, but for empty ones and for such as say what a chatbot cannot do: that becomes a habit with wishes."""
    prompts = [f"{SYSTEM}{question}{TURN_END}\n{ANSWER_START}" for question in asked]
    said = _continue(language_model, tokenizer, prompts, MOST_SAID, sampled) if prompts else []
    yield from ((question, answer) for question, answer in zip(asked, said, strict=True) if answer and not _REFUSED.search(answer))


def whole_sentences(answer: str) -> str:
    """An answer that was cut off, up to its last whole sentence; empty where there is none."""
    return answer[: max(answer.rfind(mark) for mark in (".", "!", "?")) + 1]


def _is_plain(question: str) -> bool:
    return 8 <= len(question) <= 240 and "\n" not in question and "<|" not in question and not _OURS.search(question)


def _continue(
    language_model: "LlamaForCausalLM", tokenizer: "PreTrainedTokenizerBase", prompts: list[str], most: int, sampled: bool = True
) -> list[str]:
    """What the model says after each prompt, ``sampled`` or the likeliest words; the end may be cut off."""
    tokenizer.padding_side = "left"
    batch = tokenizer(prompts, return_tensors="pt", padding=True, add_special_tokens=False).to(language_model.device)
    end = tokenizer.convert_tokens_to_ids(TURN_END)
    how = {"do_sample": True, "temperature": 1.0, "top_p": TOP_P} if sampled else {"do_sample": False}
    with torch.no_grad():
        ids = language_model.generate(**batch, **how, max_new_tokens=most, eos_token_id=end, pad_token_id=end)
    return [tokenizer.decode(row[batch["input_ids"].shape[1] :], skip_special_tokens=True).strip() for row in ids]


def write_chats(pairs: Iterator[tuple[str, str]], path: Path) -> int:
    """One JSON object per line; returns how many."""
    path.parent.mkdir(parents=True, exist_ok=True)
    count = 0
    with path.open("w", encoding="utf-8") as handle:
        for question, answer in pairs:
            handle.write(json.dumps({"question": question, "answer": answer}, ensure_ascii=False) + "\n")
            handle.flush()
            count += 1
            if count % 100 == 0:
                logger.info("%d chats", count)
    return count


def read_chats(path: Path) -> list[Conversation]:
    """Inverse of ``write_chats``; MediaError names the line that is broken."""
    chats = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            row = json.loads(line)
            chats.append(Conversation((Message("user", (TextPart(row["question"]),)), Message("assistant", (TextPart(row["answer"]),)))))
        except (ValueError, KeyError, TypeError) as exc:
            raise MediaError(f"{path}:{number} is no question with an answer ({exc}); make the file again with 'training chats'.") from exc
    return chats
