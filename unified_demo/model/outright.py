"""Wishes that are said outright: "draw the sun, a house and a tree" is a new picture of just that, whatever is there beside it, "make the
picture twice as large" is about the whole of it, "put a hat on the cow" adds something, and "blur the background" leaves the cow as it is.

What the message says is what the tool is told. It knows words and token ids and no network.
"""

import re
from collections.abc import Iterable, Sequence
from functools import lru_cache

import torch

from unified_demo import grammar
from unified_demo.deeds import CARRIERS
from unified_demo.grammar import Box, MediaKind, Task
from unified_demo.messages import Conversation, Message, RegionPart, TaskCall, TextPart
from unified_demo.model.absence import PEOPLE
from unified_demo.model.caption_rules import sure_things
from unified_demo.model.chinese import in_english
from unified_demo.model.decoding_rule import MOST_BOXES, LogitFilter, closing
from unified_demo.model.decoding_state import DecodingState
from unified_demo.nouns import IN_THE_SKY, IRREGULAR, article, is_plural, plural
from unified_demo.promises import PROMISES
from unified_demo.regions import COLOURS, Region

_SHOWN = tuple(kind.value for kind in (MediaKind.IMAGE, MediaKind.VIDEO, MediaKind.AUDIO))
LONGEST = 100
"""Characters of such a wish; longer ones say more than one thing."""
_BEFORE = (
    r"(?:(?:please|pls|plz|hi|hey|hello|ok|okay|and|so|now|then|just|can|could|would|will|you"
    r"|(?:i|we)(?:'d| would)? (?:want|like) you to),? )*"
)
_BEHIND = r"(?:,? (?:please|pls|plz|for me|for us|thanks|thank you|now))*[ .!?]*"
_PICTURE = r"(?:pictures?|images?|photos?|photographs?|drawings?)"
_DRAW = re.compile(
    rf"{_BEFORE}(?:(?:draw|sketch|doodle)(?: (?:me|us|of))?|paint(?: (?:me|us))?(?= (?!the )))"
    rf"(?: (?:a|another|one more) (?:new )?{_PICTURE} (?:of|with|showing))? (?P<what>.+?){_BEHIND}",
    re.IGNORECASE,
)
_THERE = re.compile(
    r"\b(?:another one|another picture|it|its|this|that|these|those|them|their|him|his|her|my|our|your|same|again|around|round|over"
    r"|instead|then|but|not|no"
    r"|box|boxes|lines?|outlines?|contour|border|mask|attention|arrow|circle|rectangle|frame|video|clip|film|footage|gif|sound|song"
    r"|draw|paint|make|turn|remove|add|show|cut|find|tell|what|where|how|change|put|animate"
    r"|the (?!(?:left|right|top|bottom|middle|sun|moon|sky|sea|snow|rain|dark|stars|forest|woods|desert|jungle|beach)\b))\b"
    r"|[?!:;\"()]|\. ",
    re.IGNORECASE,
)
"""What is said of what is there already, or besides."""
_LARGER = re.compile(
    rf"{_BEFORE}(?:make|get|scale|upscale|enlarge|resize) (?:the|this|that|my) (?:whole |entire )?{_PICTURE}\b(?: to be| up| to| by)?"
    r" (?:(?:twice|three times|four times|\d ?(?:x|times))(?: (?:as (?:large|big)|the size|larger|bigger))?|double the size|bigger|larger"
    rf"|\d{{2,4}} ?(?:px|pixels)(?: wide| large)?){_BEHIND}",
    re.IGNORECASE,
)

WORN = ("hat", "crown", "cap", "helmet", "wig", "sunglasses", "glasses", "headphones", "bow")
_PAIR = r"(?:[a-z]+ )?(?:sunglasses|glasses|headphones|wings|horns)"
"""What needs no article."""
_ADD = re.compile(
    rf"{_BEFORE}(?:put|place|add|stick) (?P<new>(?:an?|some) [a-z -]+?|{_PAIR}) (?P<how>on|onto|on top of|to|next to|beside)"
    rf" (?P<there>(?:the|my|his|her|this|that) [a-z -]+?){_BEHIND}",
    re.IGNORECASE,
)
_GIVE = re.compile(
    rf"{_BEFORE}(?:give (?P<there>(?:the|my|his|her|this|that)(?: (?!(?:the|of|an?|some|my)\b)[a-z-]+)+?|him|her|them)"
    rf" (?P<new>(?:an?|some) [a-z -]+?|{_PAIR})|give it (?P<worn>(?:an? )(?:[a-z]+ )?(?:{'|'.join(WORN)})|{_PAIR})){_BEHIND}",
    re.IGNORECASE,
)
_ADD_SOMEWHERE = re.compile(
    rf"{_BEFORE}(?:add|insert|include|put in|put) (?:in )?(?P<new>(?:an?|another|one more) [a-z -]+?)"
    rf"(?: (?:in(?:to)?|to) (?:it|this|that|there|(?:the|my|this|that) (?:sky|{_PICTURE}|scene|background))"
    rf"| too| as well| somewhere)*{_BEHIND}",
    re.IGNORECASE,
)
_GROUND = re.compile(
    rf"{_BEFORE}(?:make|turn|paint|(?:re)?colou?r|dye|tint) the (?:sky|background|grass|lawn|ground|floor|walls?|water|sea|sand)"
    rf"(?: in(?:to)?| to)? (?:(?:light|dark|bright|pale) )?(?P<colour>{'|'.join(COLOURS)}|grey){_BEHIND}",
    re.IGNORECASE,
)
"""What is no thing with an outline: its colour is a change of the whole picture."""
_REST = r"(?:the |my )?(?:(?:whole )?background|backdrop|surroundings|rest(?: of (?:it|the picture))?|everything else)"
_BACKDROP = re.compile(
    rf"{_BEFORE}(?:(?P<how>blur|darken|desaturate)(?: out)? (?:{_REST}|everything (?:but|except|behind) (?P<there>(?:the|my) [a-z -]+?))"
    rf"|(?:make|turn) {_REST} (?:in(?:to)? |to )?(?P<state>blurr?y|blurred|out of focus|darker|black and white|gr[ae]y ?scale|colou?rless)"
    rf"|keep (?:only|just) (?P<kept>(?:the|my) [a-z -]+?) in colou?r){_BEHIND}",
    re.IGNORECASE,
)
_TURN = re.compile(
    rf"{_BEFORE}(?P<turn>(?:rotate|flip|mirror|turn(?= .*\b(?:left|right|upside|degrees?|clockwise|\d\d)))"
    rf"(?: (?:it|this|that|(?:the|this|that|my) (?:whole |entire )?{_PICTURE}))?"
    r"(?: (?:by|around|round|over|upside down|horizontally|vertically|sideways|left to right|top to bottom|(?:to the )?(?:left|right)"
    rf"|(?:counter-?|anti-?)?clockwise|\d{{2,3}} ?(?:degrees?|°)?|a quarter|half(?: a turn)?|once))*){_BEHIND}",
    re.IGNORECASE,
)
_CROP = re.compile(
    rf"{_BEFORE}(?:crop(?: (?:it|this|that|(?:the|this|my) {_PICTURE}))?(?: (?:to|around|on|down to|so that only))?"
    r"|zoom(?: in)?(?: on| to| onto| into))"
    rf" (?P<there>(?:the|my|his|her|this|that|those|these) [a-z -]+?)(?: (?:is|are) (?:left|seen|there))?{_BEHIND}",
    re.IGNORECASE,
)
HIGH = IN_THE_SKY | {
    "bird", "kite", "balloon", "plane", "airplane", "helicopter", "butterfly", "bee", "bat", "ufo", "rocket", "parachute",
}  # fmt: skip
_SIDES = {"next to": "to the right of", "beside": "to the right of"}
"""As training says it; all others are "on"."""
ALL_OVER, TINY = 0.88, 0.2
"""What covers so much of a picture is its ground; what covers so little beside the largest thing is not what the picture is of."""
SHARE, LEAST, MOST, GAP, SUNK = 0.45, 0.1, 0.3, 0.01, 0.35
"""How large something is beside the shorter side of the thing that it is added to, in parts of the picture; how far from its side it is,
and which part of it lies over the thing's upper edge."""
_PLACED = re.compile(r"\b(?:on|in|over|at|under|above|below|behind|beside|near|next|between|around|into|onto|here|there)\b", re.IGNORECASE)
_ANOTHER = re.compile(
    rf"{_BEFORE}(?:(?:draw|paint|make|show|give|create|generate)(?: me| us)? )?(?:another(?: one| {_PICTURE})?|one more|it again)"
    rf"(?: again)?{_BEHIND}",
    re.IGNORECASE,
)
_BECOME = re.compile(
    rf"{_BEFORE}(?:make|turn|replace) (?:it|him|her|that|this) (?:into |with )?(?P<new>an? [a-z -]+?){_BEHIND}", re.IGNORECASE
)
_CHINESE = re.compile(r"[一-鿿]")
_CHINESE_ADD = re.compile(
    r"(?:请|再|帮我|给我|在?(?:这张)?(?:图片?|画|照片)(?:里面?|上面?|中))*(?:添加|增加|加)(?:上|入)?(?:个|一个)? ?"
    r"(?:an? )?(?P<new>[a-z -]+?) ?(?:吧|好吗)?[。！]?"
)
_CHINESE_BLUR = re.compile(r"(?:请|帮我)?(?:(?:把)?背景(?:给我)?(?:变)?(?:虚化|模糊)(?:一下|掉)?|(?:虚化|模糊)(?:一下)?背景)[。！]?")
_CHINESE_GROUND = re.compile(
    rf"(?:请|帮我)?(?:把|将)?(?:背景|天空)(?:的?颜色)?(?:变成?|改成?|换成?|弄成?|涂成?|设成?)(?:为)?"
    rf" ?(?P<colour>{'|'.join(COLOURS)}) ?(?:色|的)*[。！]?"
)
_PICTURED = re.compile(rf"\b(?:and|then|but|{_PICTURE}|video|clip|film)\b", re.IGNORECASE)
SEEN = "what do you see?"
_WHAT = re.compile(
    r"(?:(?:hi|hey|hello|so|and|ok|okay|now|please|tell me),? )*(?:what(?:'s|s| is| are| do we have)? (?:this|that|it|these|those|here)"
    r"(?: here| now| then| exactly| supposed to be)?|what (?:am i|are we) looking at(?: here)?|what (?:is|do we see) here"
    r"|what (?:can|do) (?:i|we|you) see here)[ .!?]*"
    r"|[这那](?:张图|个|里|张照片)?(?:是什么|是啥|有什么|里有什么|上有什么|里是什么)(?:呀|啊|呢|东西)?[？?。！]*",
    re.IGNORECASE,
)
_NO_THING = re.compile(
    rf"\b(?:and|then|but|with|that|which|who|where|to|from|for|{_PICTURE}|box|mask|outline|filter|effect|frame|list|left|right|video|clip"
    r"|film|animation|sound|music|noise|voice|song|text|words?|letters?|caption|titles?|subtitles?|name|label|sign|border|blur|vignette"
    r"|colou?rs?|tint|hue|palette|haze|look|style|touch|mood|feel(?:ing)?|light(?:ing)?|glow|shadow|contrast|brightness|sharpness"
    r"|bath|kiss|wash|break|hug|few|lot|bit|little|hint|sense|splash|dash|layer|kind|sort)\b",
    re.IGNORECASE,
)


@lru_cache(256)
def outright(message: str) -> tuple[Task, str] | None:
    """The one call that a message asks for in so many words, and what its tool is told; None for every other message."""
    said = _plain(message)
    if len(said) > LONGEST:
        return None
    if (found := _DRAW.fullmatch(said)) and not _THERE.search(found["what"]):
        return Task.IMAGE_GENERATION, found["what"]
    if _LARGER.fullmatch(said):
        return Task.IMAGE_EDITING, said.rstrip(" .!?")
    if new := _somewhere(said):
        return Task.REASONING_EDITING, f"add {new}"
    if (found := _ADD.fullmatch(said)) and not _NO_THING.search(f"{found['new']} {found['there']}"):
        return Task.REASONING_EDITING, f"add {found['new']} {_SIDES.get(found['how'].lower(), 'on')} {found['there']}"
    if (found := _GIVE.fullmatch(said)) and not _NO_THING.search(f"{found['new'] or found['worn']} {found['there']}"):
        return Task.REASONING_EDITING, f"add {found['new'] or found['worn']} on {found['there'] or 'it'}"
    if found := _BACKDROP.fullmatch(said):
        state = found["state"] or ("black and white" if found["kept"] else "")
        how = f"make the background {state.lower()}" if state else f"{found['how'].lower()} the background"
        return Task.REASONING_EDITING, how
    if found := _TURN.fullmatch(said):
        return Task.IMAGE_EDITING, found["turn"].lower()
    if (found := _CROP.fullmatch(said)) and not _PICTURED.search(found["there"]):
        return Task.REASONING_EDITING, f"crop to {found['there'].lower()}"
    if found := _GROUND.fullmatch(said):
        return Task.IMAGE_EDITING, f"{found['colour'].lower()} background"
    return None


def has_its_media(task: Task, keys: Iterable[str]) -> bool:
    """Whether the latest picture, video or sound of these ids is what the task needs, if it needs any."""
    kinds = [key.split("-")[0] for key in keys if key.split("-")[0] in _SHOWN]
    return not grammar.TASKS[task].needs or kinds[-1:] in [[kind.value] for kind in grammar.TASKS[task].needs]


@lru_cache(256)
def _plain(message: str) -> str:
    """In one line; of Chinese wishes for something more, or for another background, the English ones."""
    said = " ".join(message.split())
    if len(said) > LONGEST or not _CHINESE.search(said):
        return said
    if _CHINESE_BLUR.fullmatch(said):
        return "blur the background"
    english = in_english(said)
    if found := _CHINESE_ADD.fullmatch(english):
        return f"add {article(found['new'])}"
    if found := _CHINESE_GROUND.fullmatch(english):
        return f"make the background {found['colour']}"
    return said


def _somewhere(said: str) -> str:
    """What is to be added nowhere in particular, with its article; empty where there is a place, or nothing is."""
    found = _ADD_SOMEWHERE.fullmatch(said)
    if not found or _NO_THING.search(found["new"]) or _PLACED.search(found["new"]):
        return ""
    return article(re.sub("^(?:an?|another|one more) ", "", found["new"], flags=re.IGNORECASE))


def plainly(conversation: Conversation) -> Conversation:
    """ "What is this?" about a picture, nothing in it being marked, asks for what can be seen there, "another one" for what was drawn last;
    they are read so."""
    said = _said(conversation)
    if not has_its_media(Task.IMAGE_EDITING, conversation.artefacts()):
        return conversation
    return _anew(conversation, SEEN if _WHAT.fullmatch(said) else _drawn_last(conversation) if _ANOTHER.fullmatch(said) else "")


def becoming(conversation: Conversation) -> Conversation:
    """ "Make it a dog", of a thing that is to become another, is said as training says it."""
    found = _BECOME.fullmatch(_said(conversation))
    return _anew(conversation, f"change it to {found['new']}" if found else "")


def _drawn_last(conversation: Conversation) -> str:
    """The wish for it, where the last call drew a picture from words; else empty."""
    calls = [part for message in conversation.messages for part in message.parts if isinstance(part, TaskCall)]
    return f"draw {calls[-1].prompt}" if calls and calls[-1].task == Task.IMAGE_GENERATION and calls[-1].prompt else ""


def _said(conversation: Conversation) -> str:
    """The words of the last message; empty where it marks something, or is long."""
    parts = conversation.messages[-1].parts if conversation.messages else ()
    said = " ".join("".join(part.text for part in parts if isinstance(part, TextPart)).split())
    return "" if len(said) > LONGEST or any(isinstance(part, RegionPart) for part in parts) else said


def _anew(conversation: Conversation, words: str) -> Conversation:
    """The conversation with these words in the last message, or as it is for none."""
    if not words:
        return conversation
    last = conversation.messages[-1]
    shown = tuple(part for part in last.parts if not isinstance(part, TextPart))
    return Conversation((*conversation.messages[:-1], Message(last.role, (*shown, TextPart(words)))))


class SaysWhatWasSaid(LogitFilter):
    """The words of a call that was asked for outright are those of the message. What is added has a box of its own, what is to stay as it
    is before its background has one each; nothing is done with what is not seen."""

    def apply(self, logits: torch.Tensor, state: DecodingState) -> None:
        wish = outright(state.asked)
        if wish is None or state.marked or state.wanted or state.calls or closing(state) or not has_its_media(wish[0], state.references):
            return
        places = _places(state)[:MOST_BOXES] if wish[0] == Task.REASONING_EDITING else []
        if wish[0] == Task.REASONING_EDITING and not places:
            return
        task, vocabulary, written = grammar.TASKS[wish[0]], state.vocabulary, list(state.run)
        then = grammar.close_tag(task.tag)
        if not state.inside and task.needs:
            due, then = vocabulary.encode(PROMISES[wish[0]][0]), grammar.open_tag(task.tag)
        elif state.inside[:1] == [task.tag] and state.innermost == grammar.BOX and places:
            due, then = vocabulary.encode(grammar.spell_box(places[state.boxes])), grammar.close_tag(grammar.BOX)
        elif state.innermost == task.tag and (state.refs_done or not task.needs):
            due = [] if state.boxes else vocabulary.encode(grammar.escape(wish[1]))
            then = grammar.open_tag(grammar.BOX) if task.needs_box and state.boxes < len(places) else then
        else:
            return
        if written == due[: len(written)]:
            token = due[len(written)] if len(written) < len(due) else vocabulary.tag_ids[then]
            logits.fill_(-torch.inf)
            logits[token] = 0.0


def place_beside(how: str, thing: Box) -> Box:
    """For something smaller: on top of a thing, smaller still where there is little room above it, or else at its side."""
    side = min(MOST, max(LEAST, SHARE * min(thing.x1 - thing.x0, thing.y1 - thing.y0)))
    if how in _SIDES:
        x = thing.x1 + GAP if thing.x1 + GAP + side <= 1 else max(0.0, thing.x0 - GAP - side)
        y = min(max(0.0, thing.y1 - side), 1 - side)
    else:
        side = min(side, max(LEAST, 0.5 * side + thing.y0 / (1 - SUNK) / 2))
        x = min(max(0.0, (thing.x0 + thing.x1 - side) / 2), 1 - side)
        y = min(max(0.0, thing.y0 - (1 - SUNK) * side), 1 - side)
    return Box(x, y, x + side, y + side)


def place_free(new: str, things: Sequence[Box]) -> Box:
    """For something that is added nowhere in particular: high or low in the picture, where it lies over the ``things`` least."""
    side, high = (0.22, True) if new.split()[-1] in HIGH else (MOST, False)
    y = 0.04 if high else 0.96 - side
    places = [Box(x, y, x + side, y + side) for x in (0.96 - side, 0.04, 0.5 - side / 2, 0.73 - side / 2, 0.27 - side / 2)]
    return min(places, key=lambda place: sum(place.overlap(thing) for thing in things))


def main_things(sure: Sequence[Region]) -> list[Box]:
    """What a picture is of: all that is sure, but for what is all over it, what the others are on, and what is tiny beside the largest."""
    there = [region for region in sure if region.box.area <= ALL_OVER]
    boxes = [region.box for region in there if region.label not in CARRIERS] or [region.box for region in there]
    return [box for box in boxes if box.area >= TINY * max(other.area for other in boxes)]


def _places(state: DecodingState) -> list[Box]:
    """Of what is added, or of what stays before a background; none where that is to be with a thing that is not seen."""
    said = _plain(state.asked)
    keys = [state.picture] if state.picture in state.seen else list(state.seen)
    regions = [region for key in keys if key for region in state.seen[key][1:]]
    sure = sorted(sure_things(state), key=lambda region: -region.score)
    if behind := _BACKDROP.fullmatch(said):
        named = behind["there"] or behind["kept"]
        return [region.box for region in _which(named, _named(named, sure, state))] if named else main_things(sure)
    if found := _CROP.fullmatch(said):
        return [region.box for region in _which(found["there"], _named(found["there"], sure, state))]
    if keys and (new := _somewhere(said)):
        worn = sure and new.split()[-1] in WORN
        return [place_beside("on", sure[0].box) if worn else place_free(new, [region.box for region in sure])]
    if found := _ADD.fullmatch(said) or _GIVE.fullmatch(said):
        noun = (found["there"] or "it").lower()
        there = sure[:1] if noun in ("him", "her", "it", "them") else sorted(_named(noun, regions, state), key=lambda region: -region.score)
        return [place_beside((found.groupdict().get("how") or "on").lower(), there[0].box)] if there else []
    return []


def unseen(state: DecodingState) -> str:
    """What is to stay or to be seen closer, "the cup", and is not seen itself; empty for all other messages."""
    said = _plain(state.asked)
    if state.marked or not state.seen or outright(said) is None or _places(state):
        return ""
    found = _CROP.fullmatch(said) or _BACKDROP.fullmatch(said)
    return str(found["there"] or found.groupdict().get("kept") or "") if found else ""


def _which(noun: str, regions: Sequence[Region]) -> Sequence[Region]:
    """ "The left one" of them, the largest of several for "the cow", or all for "the cows"."""
    side = re.search(r"\b(left|right|top|upper|bottom|lower|bigg?est|largest|smallest)\b", noun.lower())
    if not side:
        several = noun.lower().split()[-1] in IRREGULAR.values() or is_plural(noun.split(" ", 1)[-1])
        return regions if several or not regions else [max(regions, key=lambda region: region.box.area)]
    if not regions:
        return regions
    word = side.group()
    if word in ("left", "right"):
        return [min(regions, key=lambda region: region.box.x0 if word == "left" else -region.box.x1)]
    if word in ("top", "upper", "bottom", "lower"):
        return [min(regions, key=lambda region: region.box.y0 if word in ("top", "upper") else -region.box.y1)]
    return [min(regions, key=lambda region: region.box.area * (1 if word == "smallest" else -1))]


def _named(noun: str, regions: Sequence[Region], state: DecodingState) -> list[Region]:
    """Those that a noun, with what may stand before it, is a name of."""
    names = {region.label: state.called.get(region.label, region.label) for region in regions}
    words = {label: (name, plural(name), *(PEOPLE if name == "person" else ())) for label, name in names.items()}
    ends = {label: "|".join(map(re.escape, forms)) for label, forms in words.items()}
    noun = re.sub(r" (?:on|at|to) the (?:left|right|top|bottom)$", "", noun)
    return [region for region in regions if re.search(rf"(?:^| )(?:{ends[region.label]})$", noun.lower())]
