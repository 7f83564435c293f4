"""Chinese words that are known are put into English before the network reads a message: "画一只红色的章鱼" is "画a red octopus" to it.

The small language model was taught little Chinese: it reads what a message asks for, but hardly any noun. The words stand in
``chinese.toml``; numbers with their measure words, places of one thing beside another, and what joins two things are told by patterns.
What is not known stays as it is.
"""

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from unified_demo.messages import Conversation, Message, Part, TextPart
from unified_demo.nouns import article, countable, plural

WORDS_FILE = Path(__file__).with_name("chinese.toml")
_CHINESE = re.compile(r"[一-鿿]")
NUMBERS = dict(
    zip("一两二三四五六七八九十", ("a", "two", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"), strict=True)
)
MEASURES = "只个顶条辆把张朵棵匹头位名座艘架双副件幅块颗枚本杯瓶碗串束台部支根盏栋间扇面株片尊列盆盘壶盒罐份"
NO_THING = "图画照相视短影动段"
"""What begins words for pictures and films: "a picture" is not among the things in it."""
COLOURS = {
    "红": "red",
    "黄": "yellow",
    "绿": "green",
    "蓝": "blue",
    "紫": "purple",
    "黑": "black",
    "白": "white",
    "粉": "pink",
    "灰": "gray",
}
SIZES = {"小": "small", "大": "big"}
BEFORE_SHORT = f"的那这和与跟把将有是在找画给掉除加成到骑{''.join(COLOURS)}{''.join(SIZES)}{MEASURES}"
"""Only behind these a single character is a noun by itself, and not a part of another word."""
SIDES = {
    "左(?:边|侧|面|方)": "to the left of",
    "右(?:边|侧|面|方)": "to the right of",
    "(?:正?上方|上空)": "above",
    "(?:下方|下面|底下)": "below",
    "(?:旁边|边上|身边)": "next to",
    "(?:后面|背后|身后|后方|后边)": "behind",
    "(?:前面|前方|面前|前边|跟前)": "in front of",
    "上面?": "on",
    "里面?": "in",
}
WHICH = {"左(?:边|侧)的": "left", "右(?:边|侧)的": "right", "最大的": "largest", "最小的": "smallest", "中间的": "middle"}
DOING = {"戴着?": "wearing", "穿着": "wearing", "拿着": "holding", "抱着": "holding", "骑着": "riding"}
_ENGLISH = r"[A-Za-z][A-Za-z' -]*?"


@dataclass(frozen=True)
class _Words:
    """``word``: the longest known Chinese word that begins here; ``english``: of each; ``simplified``: for ``str.translate``."""

    word: re.Pattern[str]
    english: dict[str, str]
    nouns: frozenset[str]
    simplified: dict[int, int]


@cache
def _words() -> _Words:
    table = tomllib.loads(WORDS_FILE.read_text("utf-8"))
    english = {word: said for part in ("words", "nouns") for said, words in table[part].items() for word in words}
    long = sorted((word for word in english if len(word) > 1), key=len, reverse=True)
    short = "".join(word for word in english if len(word) == 1)
    pattern = re.compile(rf"(?P<long>{'|'.join(map(re.escape, long))})|(?:(?<=[{BEFORE_SHORT} ])|^)(?P<short>[{short}])(?![着])")
    script = str.maketrans(table["script"]["traditional"], table["script"]["simplified"])
    return _Words(pattern, english, frozenset(table["nouns"]), script)


def in_english(text: str) -> str:
    """The text with its known Chinese words in English; any other text as it is."""
    if not _CHINESE.search(text):
        return text
    words = _words()
    text = re.sub(
        rf"([{''.join(NUMBERS)}])[{MEASURES}](?![{NO_THING}])", lambda match: f" {NUMBERS[match[1]]} ", text.translate(words.simplified)
    )
    for pattern, said in WHICH.items():
        text = re.sub(pattern, f" {said} ", text)
    text = re.sub(" +", " ", words.word.sub(lambda match: f" {words.english[match.group()]} ", text))
    for character, said in {**COLOURS, **SIZES}.items():
        text = re.sub(rf"{character}(?= ?[a-z])", f" {said} ", text)
    for pattern, said in DOING.items():
        text = re.sub(rf"{pattern} ({_ENGLISH}) ?的 ({_ENGLISH})(?= ?(?:[^A-Za-z' -]|$))", rf" \2 {said} \1 ", text)
        text = re.sub(rf"(?<=[a-z]) {pattern} (?=[a-z])", f" {said} ", text)
    text = re.sub(r"(?<=[a-z]) *的 *(?=[a-z])", " ", text)
    for pattern, said in SIDES.items():
        text = re.sub(rf"在? ?({_ENGLISH}) ?的?{pattern}的 ?({_ENGLISH})(?= ?(?:[^A-Za-z' -]|$))", rf" \2 {said} \1 ", text)
        text = re.sub(rf"(?:在|位于|放在)? ?({_ENGLISH}) ?的?{pattern}", rf" {said} \1 ", text)
    text = re.sub(r"(?<=[a-z]) ?(?:和|跟|与|以及|还有|加上) ?(?=[a-z])", " and ", text)
    return _numbered(re.sub(" +", " ", text).strip(), words.nouns)


def _numbered(text: str, nouns: frozenset[str]) -> str:
    """ "two owl" -> "two owls", "a owl" -> "an owl", "a soup" -> "soup"."""
    numbers, longest = "|".join(dict.fromkeys(NUMBERS.values())), "|".join(map(re.escape, sorted(nouns, key=len, reverse=True)))

    def said(match: re.Match[str]) -> str:
        number, which, noun = match.groups()
        if number == "a":
            return article(f"{which}{noun}") if countable(noun) else f"{which}{noun}"
        return f"{number} {which}{plural(noun) if countable(noun) else noun}"

    return re.sub(rf"\b({numbers}) ((?:[a-z]+ ){{0,2}}?)({longest})\b", said, text)


def conversation_in_english(conversation: Conversation) -> Conversation:
    """With the known words of what the user wrote in English."""
    return Conversation(tuple(Message(message.role, tuple(map(_part, message.parts))) for message in conversation.messages))


def _part(part: Part) -> Part:
    return TextPart(in_english(part.text)) if isinstance(part, TextPart) else part
