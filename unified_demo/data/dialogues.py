"""Conversations about a scene: questions people type and answers in the unified representation.

One scene carries several turns, so that a picture's tokens are paid for once. Built from typed parts; the renderer of
``conversation`` turns them into tokens. It draws no scenes and loads no pictures.
"""

import random
from collections.abc import Callable
from pathlib import Path

from unified_demo.data.captions import caption
from unified_demo.data.expressions import Describer, Expression, knowledge
from unified_demo.data.reports import jitter
from unified_demo.data.scenes import Scene
from unified_demo.grammar import MediaKind, Task
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TaskCall, TextPart
from unified_demo.nouns import NUMBERS, article, plural
from unified_demo.regions import COLOURS

PICTURE_ID = "img-1"

SEGMENT = (
    "segment {e}", "segment {e}.", "Segment {e}", "please segment {e}", "can you segment {e}?", "cut out {e}", "Cut out {e}, please.",
    "outline {e}", "mask {e}", "give me a mask of {e}", "mark {e}", "highlight {e}", "select {e}", "I need the mask of {e}",
    "show me the exact outline of {e}", "could you isolate {e}?", "extract {e}", "trace {e}", "segmnt {e}", "segement {e}",
    "pls mask {e}", "paint over {e}", "separate {e} from the background", "create a segmentation mask for {e}",
    "Segment {e} in this picture.", "which pixels belong to {e}?", "I'd like {e} cut out", "draw around {e}", "get me a cutout of {e}",
    "Could you please segment {e} in the photo?", "{e}, segmented please", "make a mask for {e}", "crop out {e} exactly",
    "segmentation of {e}", "show {e} with a mask", "remove everything but {e}",
)  # fmt: skip
FIND = (
    "where is {e}?", "find {e}", "locate {e}", "point at {e}", "show me {e}", "put a box around {e}", "Where is {e}",
    "can you find {e}?", "detect {e}", "box {e}", "I am looking for {e}", "where can I see {e}?", "Which part of the picture shows {e}?",
    "spot {e}", "ground {e}",
)  # fmt: skip
FIND_MANY = ("where are {e}?", "find {e}", "locate {e}", "point at {e}", "show me {e}", "box {e}", "detect {e}", "spot {e}")
DESCRIBE = (
    "describe the picture", "what is in this picture?", "what do you see?", "caption this image", "What can you see here?",
    "describe this photo", "what's in the image", "tell me about this picture", "Give me a short caption.", "what does the photo show?",
    "list the things in the picture", "what objects are there?", "Describe the image with boxes.",
)  # fmt: skip
HOW_MANY = (
    "how many {n} are there?", "count the {n}", "how many {n} can you see?", "How many {n}?", "number of {n}",
    "how many {n} are in the picture?",
)  # fmt: skip
IS_THERE = ("is there {a}?", "can you see {a}?", "do you see {a} here?", "is {a} in the picture?", "Any {n} here?")
COLOUR_OF = ("what colour is {e}?", "What color is {e}?", "which colour does {e} have?", "tell me the colour of {e}")
WHAT_NAME = (
    "what is this?", "what does the picture show?", "what kind of thing is this?", "name the main thing in the picture",
    "What am I looking at?",
)  # fmt: skip
AGAIN_SEGMENT = (
    "segment it", "now segment it", "cut it out", "mask it", "now outline that", "segment that one", "can you mask it?",
    "and now the mask of it, please",
)  # fmt: skip
AGAIN_WHERE = ("where is it?", "point at it", "show it to me", "box it")
UNKNOWN = (
    "unicorn", "dragon", "piano", "guitar", "violin", "drum", "castle", "lighthouse", "rocket", "robot", "ghost", "penguin", "shark",
    "whale", "octopus", "snake", "spider", "kangaroo", "helicopter", "tractor", "submarine", "ladder", "hammer", "candle", "crown", "sword",
    "dinosaur", "pyramid", "volcano", "rainbow", "snowman", "camel", "crocodile", "lobster", "butterfly", "flamingo", "telescope",
    "microscope", "anchor", "windmill", "waterfall", "cactus", "pumpkin", "mermaid", "wheelchair", "shovel", "saxophone", "globe", "trophy",
)  # fmt: skip
"""Things that the detector has no name for and that are no other word for one it has."""
HERE = "\0"
"""Stands in a text where a region belongs that the user marks."""
SHOWN = ("this", "this", "this thing", "that", "this one", "this object", "this part of the picture")
ABOUT_SHOWN = (
    "what is {e}?", "What is {e}?", "what do you call {e}?", "name {e}", "do you know what {e} is?", "tell me what {e} is",
    "{e}: what is it?",
)  # fmt: skip
NO_PICTURE = "There is no picture in this conversation yet. Please attach one and ask again."


class DialogueWriter:
    """Writes one conversation about one scene; ``labels`` are the detector's class names, for things that are absent."""

    def __init__(self, scene: Scene, labels: tuple[str, ...], rng: random.Random) -> None:
        self.scene, self.labels, self.rng = scene, labels, rng
        self.describer = Describer(scene, rng)
        self.focus: Expression | None = None

    def write(self, turns: int) -> Conversation:
        """A picture and ``turns`` questions with answers; scenes without things get questions about what is absent."""
        artefact = Artefact(PICTURE_ID, MediaKind.IMAGE, Path("scene"))
        messages: list[Message] = []
        for turn in range(turns):
            question, answer = self._turn()
            media: tuple[Part, ...] = (MediaPart(artefact),) if turn == 0 else ()
            asked = (TextPart(question),) if isinstance(question, str) else question
            messages.append(Message("user", (*media, *asked)))
            messages.append(Message("assistant", tuple(answer)))
        return Conversation(tuple(messages))

    def _turn(self) -> tuple[str | tuple[Part, ...], list[Part]]:
        makers: list[Callable[[], tuple[str | tuple[Part, ...], list[Part]] | None]] = (
            [self.segment] * 4
            + [self.find] * 4
            + [self.find_several] * 7
            + [self.count] * 2
            + [self.exists] * 2
            + [self.colour] * 2
            + [self.caption] * 3
            + [self.absent, self.shown, self.shown]
        )
        makers += [self.main_thing] * (3 if self.scene.names else 0) + [self.again] * (4 if self.focus else 0)
        while True:
            made = self.rng.choice(makers)()
            if made:
                return made

    def _region(self, phrase: str, targets: tuple[int, ...]) -> RegionPart:
        return RegionPart(phrase, tuple(self.scene.regions[index].box for index in targets), artefact_id=PICTURE_ID)

    def _call(self, expression: Expression) -> TaskCall:
        region = self._region(expression.said, expression.targets)
        return TaskCall(0, Task.IMAGE_SEGMENTATION, expression.said, (PICTURE_ID,), (region,))

    def _remember(self, expression: Expression) -> None:
        self.focus = expression if len(expression.targets) == 1 else None

    def segment(self) -> tuple[str, list[Part]] | None:
        expression = self.describer.any()
        if not expression:
            return None
        self._remember(expression)
        question = self.rng.choice(SEGMENT).format(e=_casual(self.rng, expression.asked))
        return question, self._segmented(expression)

    def _segmented(self, expression: Expression) -> list[Part]:
        verb = "Here are " if len(expression.targets) > 1 else "Here is "
        return [TextPart(verb), self._region(expression.said, expression.targets), TextPart("."), self._call(expression)]

    def find(self) -> tuple[str, list[Part]] | None:
        expression = self.describer.any()
        if not expression:
            return None
        self._remember(expression)
        many = len(expression.targets) > 1
        question = self.rng.choice(FIND_MANY if many else FIND).format(e=_casual(self.rng, expression.asked))
        if many:
            return question, [TextPart("Here are "), self._region(expression.said, expression.targets), TextPart(".")]
        place = self._place(expression.targets[0])
        return question, [self._region(_capital(expression.said), expression.targets), TextPart(f" is {place}.")]

    def find_several(self) -> tuple[str, list[Part]] | None:
        """Several things in one request, each with its own region."""
        drawn = [self.describer.any() for _ in range(self.rng.randint(2, 6))]
        wanted = list({expression.said: expression for expression in drawn if expression}.values())
        if len(wanted) < 2:
            return None
        listed = ", ".join(expression.asked for expression in wanted[:-1]) + self.rng.choice([" and ", ", "]) + wanted[-1].asked
        parts: list[Part] = [TextPart("Here are ")]
        for place, expression in enumerate(wanted):
            parts.append(self._region(expression.said, expression.targets))
            parts.append(TextPart("." if place == len(wanted) - 1 else ", "))
        return self.rng.choice(FIND_MANY).format(e=listed), parts

    def shown(self) -> tuple[tuple[Part, ...], list[Part]] | None:
        """The user marks a thing in the picture: what is it, where, or outline it."""
        expression = self.describer.any()
        if not expression or len(expression.targets) != 1:
            return None
        (index,) = expression.targets
        region = self.scene.regions[index]
        shown = RegionPart(self.rng.choice(SHOWN), (jitter(self.rng, region.box, 0.06),), artefact_id=PICTURE_ID)
        self._remember(expression)
        if self.rng.random() < 0.5:
            name = article(self.scene.names.get(index, region.label))
            return mark(self.rng.choice(ABOUT_SHOWN).format(e=HERE), shown), [
                TextPart("This is "), self._region(name, (index,)), TextPart("."),
            ]  # fmt: skip
        return mark(self.rng.choice(SEGMENT).format(e=HERE), shown), self._segmented(expression)

    def again(self) -> tuple[str, list[Part]] | None:
        if not self.focus:
            return None
        if self.rng.random() < 0.75:
            return self.rng.choice(AGAIN_SEGMENT), self._segmented(self.focus)
        place = self._place(self.focus.targets[0])
        return self.rng.choice(AGAIN_WHERE), [self._region(_capital(self.focus.said), self.focus.targets), TextPart(f" is {place}.")]

    def _place(self, index: int) -> str:
        box = self.scene.regions[index].box
        x, y = (box.x0 + box.x1) / 2, (box.y0 + box.y1) / 2
        across = "left" if x < 0.38 else "right" if x > 0.62 else ""
        down = "top" if y < 0.35 else "bottom" if y > 0.68 else ""
        if not across and not down:
            return "in the middle"
        return f"at the {down} {across}".strip() if down and across else f"at the {down}" if down else f"on the {across}"

    def count(self) -> tuple[str, list[Part]] | None:
        label = self._some_label()
        found = tuple(self.describer.by_label.get(label, ()))
        noun = self.describer.noun(label)
        question = self.rng.choice(HOW_MANY).format(n=plural(noun))
        if not found:
            return question, [TextPart(f"I see no {plural(label)} here.")]
        if len(found) > 10:
            return None
        phrase = f"{NUMBERS[len(found)]} {label if len(found) == 1 else plural(label)}"
        return question, [TextPart("There is " if len(found) == 1 else "There are "), self._region(phrase, found), TextPart(".")]

    def exists(self) -> tuple[str, list[Part]]:
        label = self._some_label()
        noun = self.describer.noun(label)
        question = self.rng.choice(IS_THERE).format(a=article(noun), n=plural(noun))
        found = tuple(self.describer.by_label.get(label, ()))[:4]
        if not found:
            return question, [TextPart(f"No, I cannot see {article(label)} here.")]
        phrase = article(label) if len(found) == 1 else f"{NUMBERS[len(found)]} {plural(label)}"
        self._remember(Expression(f"the {label}", f"the {label}", found, "name"))
        return question, [TextPart("Yes, there is " if len(found) == 1 else "Yes, there are "), self._region(phrase, found), TextPart(".")]

    def absent(self) -> tuple[str, list[Part]] | None:
        missing = [label for label in self.labels if label not in {region.label for region in self.scene.regions}]
        label = self.rng.choice(missing) if self.rng.random() < 0.75 else self.rng.choice(UNKNOWN)
        noun = label if label in UNKNOWN else self.describer.noun(label)
        if noun in {name for present in self.describer.by_label for name in knowledge().get(present, {}).get("names", [])}:
            return None
        asked = self.rng.choice(
            [
                f"the {noun}",
                f"the {noun}",
                f"the {noun} on the left",
                f"the red {noun}",
                f"the {self.rng.choice(['big', 'right', 'left'])} {noun}",
                plural(noun),
            ]
        )
        question = self.rng.choice(SEGMENT if self.rng.random() < 0.6 else FIND).format(e=asked)
        return question, [TextPart(f"I cannot see {article(label)} in this picture.")]

    def _some_label(self) -> str:
        present = list(self.describer.by_label)
        if present and self.rng.random() < 0.75:
            return self.rng.choice(present)
        missing = [label for label in self.labels if label not in {region.label for region in self.scene.regions}]
        return self.rng.choice(missing)

    def colour(self) -> tuple[str, list[Part]] | None:
        expression = self.describer.any()
        if not expression or len(expression.targets) > 1 or expression.kind == "colour":
            return None
        shares = self.scene.regions[expression.targets[0]].colours[0]
        order = shares.argsort()[::-1]
        if shares[order[0]] < 0.3:
            return None
        colours = COLOURS[order[0]]
        if shares[order[1]] > 0.25:
            colours += f" and {COLOURS[order[1]]}"
        self._remember(expression)
        question = self.rng.choice(COLOUR_OF).format(e=expression.asked)
        return question, [self._region(_capital(expression.said), expression.targets), TextPart(f" is mostly {colours}.")]

    def caption(self) -> tuple[str, list[Part]]:
        return self.rng.choice(DESCRIBE), list(caption(self.scene, self._region, self.rng))

    def main_thing(self) -> tuple[str, list[Part]] | None:
        if len(self.scene.names) != 1:
            return None
        index, name = next(iter(self.scene.names.items()))
        self._remember(Expression(f"the {name}", f"the {name}", (index,), "name"))
        return self.rng.choice(WHAT_NAME), [TextPart("This is "), self._region(article(name), (index,)), TextPart(".")]


def mark(text: str, shown: RegionPart) -> tuple[Part, ...]:
    """The text with the marked region where HERE stands."""
    before, _, after = text.partition(HERE)
    parts: list[Part] = [TextPart(before)] if before else []
    return (*parts, shown, *([TextPart(after.replace(HERE, shown.phrase))] if after else []))


def _casual(rng: random.Random, phrase: str) -> str:
    """Now and then what people really type: no article, capitals, "that" for "the"."""
    roll = rng.random()
    if phrase.startswith("the "):
        if roll < 0.12:
            return phrase[4:]
        if roll < 0.17:
            return "that " + phrase[4:]
    return phrase.upper() if roll > 0.99 else phrase


def _capital(phrase: str) -> str:
    return phrase[:1].upper() + phrase[1:]


def without_picture(rng: random.Random, labels: tuple[str, ...]) -> Conversation:
    """Somebody asks about a picture that is not there."""
    question = rng.choice(SEGMENT + FIND).format(e=f"the {rng.choice(labels)}") if rng.random() < 0.7 else rng.choice(DESCRIBE)
    return Conversation((Message("user", (TextPart(question),)), Message("assistant", (TextPart(NO_PICTURE),))))
