"""Requests in Chinese: ``chinese.toml`` has their words, ``chinese_words.toml`` what fills the slots; answers and calls are English.

Things in pictures are called by their names, or by side and size where several are alike. It draws no scenes.
"""

import random
import tomllib
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

from unified_demo.data.arrangements import Group, place_for, plan_counts
from unified_demo.data.changes import changed
from unified_demo.data.context import Context, Seen, with_colour, with_label, with_thing, without_thing
from unified_demo.data.creations import USUAL_SECONDS, Creator, sound_prompt
from unified_demo.data.exchanges import Exchange, Outcome, call, no_media
from unified_demo.data.expressions import Expression
from unified_demo.data.layout_prompts import PlannedGroup, paired
from unified_demo.data.split import part_of_noun
from unified_demo.data.understanding import Observer
from unified_demo.grammar import TASKS, MediaKind, Task
from unified_demo.messages import Part, RegionPart, TextPart
from unified_demo.nouns import NUMBERS, countable, listed, plural, said
from unified_demo.promises import PROMISES

DIGITS = ("零", "一", "两", "三", "四", "五", "六", "七", "八", "九")
TRADITIONAL = 0.125
"""Share of the requests in Traditional characters."""
CLEAR = 1.5
"""The biggest thing must be so many times as large as the next one to be called so."""


@cache
def words() -> dict[str, Any]:
    """The committed tables: the requests and what fills their slots."""
    files = [Path(__file__).with_name(name).read_text(encoding="utf-8") for name in ("chinese.toml", "chinese_words.toml")]
    return {table: rows for text in files for table, rows in tomllib.loads(text).items()}


@cache
def to_traditional() -> dict[int, str]:
    """For ``str.translate``: Simplified to Traditional characters, as far as the committed tables need them."""
    return {ord(pair[0]): pair[1] for pair in words()["script"]["pairs"].split()}


@cache
def in_script(key: str, traditional: bool) -> tuple[str, ...]:
    """The requests of ``[ask]`` in one script; Traditional are those that GB 2312, the set of Simplified characters, cannot write."""
    return tuple(request for request in words()["ask"][key] if is_traditional(request) == traditional)


def is_traditional(text: str) -> bool:
    """Whether GB 2312, the set of Simplified characters, cannot write it."""
    try:
        text.encode("gb2312")
    except UnicodeEncodeError:
        return True
    return False


class ChineseWriter(Observer):
    """Writes requests in one script of Chinese, Simplified or Traditional, drawn once."""

    def __init__(self, rng: random.Random, context: Context) -> None:
        super().__init__(rng, context)
        self.traditional = rng.random() < TRADITIONAL

    def write(self, task: str) -> Exchange | None:
        """One request of a task; None when nothing there fits it, or the task has no Chinese words."""
        makers = {
            "seg": self._outline, "vseg": self._outline, "ground": self._outline, "caption": self._describe, "question": self._question,
            "gen": self._new_picture, "vgen": self._new_video, "agen": self._new_sound, "ivgen": self._whole,
            "edit": self._whole, "vedit": self._whole, "redit": self._region_edit, "layout": self._layout, "chat": self._chat,
        }  # fmt: skip
        needs = TASKS[Task(task)].needs if task in {tag.value for tag in TASKS} else ()
        if missing := [kind for kind in needs if not self.context.of_kind(kind)]:
            return self._exchange(task, self._lone(task), (TextPart(no_media(missing[0])),), manner="refuse")
        return makers[task](task) if task in makers else None

    def _ask(self, key: str, **values: str) -> str:
        if self.traditional:
            values = {slot: value.translate(to_traditional()) for slot, value in values.items()}
        return self.rng.choice(in_script(key, self.traditional)).format(**values)

    def _draw(self, table: str) -> tuple[str, Any]:
        """A row: (English, Chinese)."""
        return self.rng.choice(list(words()[table].items()))

    def _exchange(
        self, task: str, asked: str, answer: tuple[Part, ...], outcomes: Any = (), about: str = "", manner: Any = "call"
    ) -> Exchange:
        return Exchange(task, (f"{task}.chinese",), (TextPart(asked),), answer, manner, outcomes, about)

    def _lone(self, task: str) -> str:
        """The request of a task whose picture or video is not there."""
        thing = self._name(self.rng.choice(list(words()["things"])))
        change, motion = self.rng.choice(self._draw("changes")[1]), self._draw("motions")[1]
        key = "remove" if task == "redit" else task
        return self._ask(key, e=thing, do=change, m=motion)

    def _seen(self, kind: MediaKind) -> Seen:
        return self.context.seen[self.context.focus[kind]]

    # ---- things in pictures ----

    def _name(self, label: str, count: int = 0) -> str:
        name, measure = words()["things"].get(label) or words()["more_things"][label]
        return f"{DIGITS[count]}{measure}{name}" if count else name

    def thing(self, seen: Seen, single: bool = False) -> tuple[str, Expression] | None:
        """(Chinese, the same in English with its targets)."""
        assert seen.scene is not None
        by_label = {label: ids for label, ids in self.describer(seen).by_label.items() if label in words()["things"] and ids}
        if not by_label:
            return None
        label = self.rng.choice(list(by_label))
        found, (name, measure) = tuple(by_label[label]), words()["things"][label]
        if len(found) == 1:
            asked = self.rng.choice([name, name, name, f"那{measure}{name}", f"这{measure}{name}"])
            return asked, Expression(f"the {label}", f"the {label}", found, "name")
        if not single and countable(label) and self.rng.random() < 0.35 and len(found) <= 6:
            every = f"the {NUMBERS[len(found)]} {plural(label)}"
            return self.rng.choice(["所有的", "全部的", "所有", f"每一{measure}", f"每{measure}"]) + name, Expression(
                every, every, found, "name"
            )
        boxes = [seen.scene.regions[index].box for index in found]
        ways = [
            (("左边的", "最左边的", "靠左的"), "the {n} on the left", [(box.x0 + box.x1) / 2 for box in boxes], 0.08),
            (("右边的", "最右边的", "靠右的"), "the {n} on the right", [-(box.x0 + box.x1) / 2 for box in boxes], 0.08),
            (("最大的", f"大的那{measure}", f"最大的那{measure}"), "the biggest {n}", [-box.area for box in boxes], 0.0),
        ]
        which, english, scores, apart = self.rng.choice(ways)
        order = sorted(range(len(found)), key=lambda place: scores[place])
        first, second = scores[order[0]], scores[order[1]]
        if second - first < apart or (not apart and first > CLEAR * second):
            return None
        phrase = english.format(n=label)
        return self.rng.choice(which) + name, Expression(phrase, phrase, (found[order[0]],), "place")

    def _absent(self, seen: Seen) -> tuple[str, str] | None:
        label = self.absent_label(seen.scene) if seen.scene else None
        return (self._name(label), label) if label and label in words()["things"] else None

    def _outline(self, task: str) -> Exchange | None:
        kind = MediaKind.VIDEO if task == "vseg" else MediaKind.IMAGE
        if not self.context.of_kind(kind) or not self._seen(kind).scene:
            return None
        seen = self._seen(kind)
        if self.rng.random() < 0.12 and (absent := self._absent(seen)):
            sentence = f"I cannot see {said(absent[1], 1)} in this {'video' if task == 'vseg' else 'picture'}."
            return self._exchange(task, self._ask(task, e=absent[0]), (TextPart(sentence),), about=seen.id, manner="refuse")
        found = self.thing(seen, single=task == "vseg")
        if not found:
            return None
        asked = self._ask(task, e=found[0])
        if task == "ground":
            return self._exchange(task, asked, self._found(seen, found[1]), about=seen.id, manner="answer")
        answer, outcome = self.called(task, seen, found[1])
        return self._exchange(task, asked, answer, (outcome,), seen.id)

    def _describe(self, task: str) -> Exchange | None:
        made = self.describe()
        seen = self.context.seen.get(made.about) if made else None
        return (
            replace(made, templates=(f"{task}.chinese",), user=(TextPart(self._ask(task)),))
            if made and seen and seen.kind == MediaKind.IMAGE
            else None
        )

    def _question(self, task: str) -> Exchange | None:
        """How many there are, or whether there is one."""
        if not self.context.of_kind(MediaKind.IMAGE) or not self._seen(MediaKind.IMAGE).scene:
            return None
        seen = self._seen(MediaKind.IMAGE)
        by_label = {label: ids for label, ids in self.describer(seen).by_label.items() if label in words()["things"] and countable(label)}
        absent = self._absent(seen)
        if absent and (not by_label or self.rng.random() < 0.3):
            key = self.rng.choice(["count", "exists"])
            name, label = absent
            text = f"I see no {plural(label)} here." if key == "count" else f"No, I cannot see {said(label, 1)} here."
            asked = self._ask(key, n=name, m=words()["things"][label][1])
            return self._exchange(task, asked, (TextPart(text),), about=seen.id, manner="answer")
        if not by_label:
            return None
        label = self.rng.choice(list(by_label))
        found = tuple(by_label[label])
        if len(found) > 6:
            return None
        name, measure = words()["things"][label]
        counted = self.rng.random() < 0.6
        phrase = f"{NUMBERS[len(found)]} {label if len(found) == 1 else plural(label)}" if counted else said(label, len(found))
        be = "There is " if len(found) == 1 else "There are "
        head = be if counted else f"Yes, {be[0].lower()}{be[1:]}"
        answer = (TextPart(head), self.region(seen, phrase, found), TextPart("."))
        asked = self._ask("count" if counted else "exists", n=name, m=measure)
        return self._exchange(task, asked, answer, about=seen.id, manner="answer")

    # ---- something new ----

    def _new_sound(self, task: str) -> Exchange:
        sound, chinese = self._draw("sounds")
        answer = (self.say(*PROMISES[Task.AUDIO_GENERATION]), call(Task.AUDIO_GENERATION, sound_prompt(sound, USUAL_SECONDS)))
        return self._exchange(task, self._ask(task, s=chinese), answer, ((Outcome(label=sound),),))

    def _new_video(self, task: str) -> Exchange:
        prompt, chinese = self._draw("films") if self.rng.random() < 0.4 else self._acting()
        answer = (self.say(*PROMISES[Task.VIDEO_GENERATION]), call(Task.VIDEO_GENERATION, prompt))
        return self._exchange(task, self._ask(task, p=chinese), answer, ((Outcome(label=prompt),),))

    def _any_thing(self) -> tuple[str, str]:
        """Something new: (English label, Chinese with its number); nothing that is held out."""
        table = words()["more_things" if self.rng.random() < 0.5 else "things"]
        label = self.rng.choice([label for label in table if part_of_noun(label) == "train"])
        return label, self._name(label, 1)

    def _new_picture(self, task: str) -> Exchange:
        label, chinese = self._any_thing()
        one, name = chinese[:2], chinese[2:]
        adjective = ""
        if self.rng.random() < 0.3:
            adjective, colour = self._draw("colours")
            name = f"{colour}的{name}"
        (place, where), (style, (behind, before)) = self._draw("places"), self._draw("styles")
        prompt = f"{said(label, 1, adjective)} {place}".strip() + (f", {style}" if style else "")
        counted, bare = self.rng.choice([where + one + name, one + where + name]), where + name
        if self.rng.random() < 0.5:
            asked = self._ask(task, p=before + counted, q=before + bare)
        else:
            asked = self._ask(task, p=counted + behind, q=bare + behind)
        answer = (self.say(*PROMISES[Task.IMAGE_GENERATION]), call(Task.IMAGE_GENERATION, prompt))
        return self._exchange(task, asked, answer, ((Outcome(label=prompt),),))

    def _acting(self) -> tuple[str, str]:
        label, chinese = self._any_thing()
        (doing, does), (place, where) = self._draw("doing"), self._draw("places")
        where = where.removesuffix("的")
        asked = self.rng.choice([f"{where}{chinese}{does}", f"{chinese}在{where}{does}"]) if where else f"{chinese}{does}"
        return f"{said(label, 1)} {doing} {place}".strip(), asked

    def _layout(self, task: str) -> Exchange | None:
        prompt, chinese, groups = self._arranged() if self.rng.random() < 0.5 else self._counted()
        made = Creator(self.rng, self.context).layout((prompt, groups))
        return made and self._exchange(task, self._ask(task, p=chinese), made.answer, made.outcomes)

    def _arranged(self) -> tuple[str, str, tuple[PlannedGroup, ...]]:
        relation, patterns = self._draw("relations")
        (one, first), (other, second) = self._any_thing(), self._any_thing()
        words_of = said(one, 1), said(other, 1)
        groups = paired((one, other), words_of, relation)
        english = {"left of": "to the left of", "right of": "to the right of"}.get(relation, relation)
        return f"{words_of[0]} {english} {words_of[1]}", self.rng.choice(patterns).format(a=first, b=second), groups

    def _counted(self) -> tuple[str, str, tuple[PlannedGroup, ...]]:
        names = [label for label in (self._any_thing()[0] for _ in range(self.rng.choice((1, 2, 2, 3)))) if countable(label)] or ["cat"]
        groups = [Group(label, self.rng.randint(1, {1: 7, 2: 4}.get(len(names), 3))) for label in dict.fromkeys(names)]
        phrases = [said(group.label, group.count) for group in groups]
        planned = tuple(PlannedGroup(p, g.label, boxes) for p, g, boxes in zip(phrases, groups, plan_counts(groups), strict=True))
        *first, last = (self._name(group.label, group.count) for group in groups)
        return listed(phrases), "和".join(part for part in ("、".join(first), last) if part), planned

    # ---- changes ----

    def _whole(self, task: str) -> Exchange | None:
        tag = Task(task)
        seen = self._seen(TASKS[tag].needs[0])
        if task == "ivgen":
            motion, chinese = self._draw("motions")
            answer = (self.say(*PROMISES[Task.IMAGE_TO_VIDEO]), call(tag, motion, (seen.id,)))
            return self._exchange(task, self._ask(task, m=chinese), answer, ((Outcome(seen.scene, label=motion),),), seen.id)
        change, ways = self._draw("changes")
        answer = (TextPart("Here you are."), call(tag, change, (seen.id,)))
        return self._exchange(task, self._ask(task, do=self.rng.choice(ways)), answer, ((changed(seen, change),),), seen.id)

    def _region_edit(self, task: str) -> Exchange | None:
        seen = self._seen(MediaKind.IMAGE)
        if not seen.scene:
            return None
        if self.rng.random() < 0.2:
            return self._add(seen)
        found = self.thing(seen, single=True)
        if not found:
            return None
        chinese, thing = found
        target = thing.targets[0]
        operation = self.rng.choice(("remove", "remove", "recolour", "replace"))
        colour, shade = self._draw("colours")
        label, new = self._any_thing()
        if operation == "replace" and label == seen.scene.regions[target].label:
            return None
        bare = chinese[2:] if chinese.startswith(("这", "那")) else chinese
        asked = self._ask(operation, e=chinese, n=bare, c=shade, x=new)
        if operation == "remove":
            prompt, told, outcome = f"remove {thing.said}", f"Here it is without {thing.said}.", Outcome(without_thing(seen.scene, target))
        elif operation == "replace":
            prompt, told = f"replace {thing.said} with {said(label, 1)}", f"Now there is {said(label, 1)} instead."
            outcome = Outcome(with_label(seen.scene, target, label, self.rng), label=label)
        else:
            prompt, told, outcome = f"make {thing.said} {colour}", f"Now it is {colour}.", Outcome(with_colour(seen.scene, target, colour))
        region = self.region(seen, prompt, thing.targets)
        answer = (TextPart(told), call(Task.REASONING_EDITING, prompt, (seen.id,), (region,)))
        return self._exchange("redit", asked, answer, ((outcome,),), seen.id)

    def _add(self, seen: Seen) -> Exchange | None:
        side, (english, *ways) = self._draw("sides")
        label, new = self._any_thing()
        box = place_for(side, None)
        if box is None or seen.scene is None:
            return None
        prompt = f"add {said(label, 1)} {english}"
        answer = (
            TextPart(f"Here is {said(label, 1)} {english}."),
            call(Task.REASONING_EDITING, prompt, (seen.id,), (RegionPart(prompt, (box,), artefact_id=seen.id),)),
        )
        outcome = Outcome(with_thing(seen.scene, label, box, self.rng), label=label)
        return self._exchange("redit", self._ask("add", w=self.rng.choice(ways), x=new), answer, ((outcome,),), seen.id)

    # ---- words alone ----

    def _chat(self, task: str) -> Exchange:
        asked, answer = self._draw("chat_answers")
        return self._exchange(task, asked, (TextPart(answer),), manner="answer")
