"""The rule baseline of the routing benchmark: words that name a task, and which media are attached. No model.

Written before any instruction of the benchmark was run through it and not tuned afterwards, but by the hand that wrote those: a
generous baseline. A request is cut at connectives; each piece gets at most one call, whose prompt is the piece without its commands.
"""

import re
from collections.abc import Collection

from unified_demo import grammar
from unified_demo.evaluation.instructions import Instruction
from unified_demo.grammar import TASKS, Box, MediaKind, Task
from unified_demo.messages import TextPart

_CONNECTIVES = re.compile(
    r"(?:[,;.!?]\s*|\s)(?:and then|after that|and also|as well as|then|also|plus|and)\s|[;；。]|，?(?:然后|再|接着|并且|同时)",
    re.IGNORECASE,
)
_NEW_PICTURE = re.compile(r"\b(?:draw|paint|generate|create)\b(?: me)? (?:an?|some)\b|画一", re.IGNORECASE)
WHOLE_PICTURE = Box(0.0, 0.0, 1.0, 1.0)


def _words(text: str) -> re.Pattern[str]:
    """English words match whole (a star at the end: any ending), Chinese ones anywhere."""
    parts = []
    for word in (item.strip() for item in text.split(",")):
        ascii_word = re.escape(word.rstrip("*"))
        parts.append((rf"\b{ascii_word}" + (r"\w*" if word.endswith("*") else r"\b")) if word.isascii() else re.escape(word))
    return re.compile("|".join(parts), re.IGNORECASE)


class Words:
    """Trigger words of the rules."""

    sound = _words(
        "sound*, noise*, audio, music, song, melody, tune, jingle, sfx, hear, listen, play me, hum, ringtone, soundtrack, beat, "
        "声音, 音乐, 音效, 听, 声, 曲"
    )
    video = _words(
        "video*, clip*, footage, film*, movie*, animation*, gif, recording, vid, time-lapse, slow-mo, 视频, 短片, 录像, 片段, 动画"
    )
    motion = _words("animat*, move, moving, motion, come alive, bring to life, come to life, wave, walk, blink, 动起来, 会动, 动态")
    cutting = _words(
        "segment*, mask*, cut out, cutout, outline*, silhouette*, isolate*, extract*, trace, contour*, pixels, crop out, select, "
        "background removed, 抠, 分割, 轮廓, 像素, 扣"
    )
    following = _words("track*, follow*, rotoscop*, every frame, each frame, keep an eye, 跟踪, 跟住, 追踪, 每一帧, 盯住")
    removing = _words(
        "remove*, erase*, delete*, get rid of, take away, take out, without, lose the, gone, vanish, disappear, "
        "去掉, 抹掉, 删除, 移除, 不要"
    )
    replacing = _words(
        "replace*, swap*, exchange*, substitute, instead of, change the, put a, put an, add a, add an, recolour, recolor, "
        "换成, 改成, 加上, 替换"
    )
    style = _words(
        "style, look like, as if, painting, watercolour, watercolor, cartoon, comic, sketch, anime, black and white, sepia, vintage, "
        "night, winter, summer, autumn, spring, snow*, rain*, fog*, sunset, sunny, brighter, darker, contrast, colours, colors, "
        "filter, restyle, convert, turn this into, turn it into, make it, make this, transform, "
        "风格, 晚上, 夜晚, 雪, 雨, 黄昏, 老照片, 水墨, 水彩, 油画, 黑白"
    )
    drawing = _words(
        "draw*, paint*, picture, image, photo*, illustration, illustrate, sketch, generate, create, render*, design, depict, show me, "
        "portrait, poster, wallpaper, logo, drawing, imagine, visuali*, 画, 图, 来一张, 来张, 海报"
    )
    place = _words(
        "left, right, above, below, beneath, under, underneath, on top of, next to, beside, between, corner*, top, bottom, centre, center, "
        "middle, behind, in front of, row, 左, 右, 上面, 下面, 中间, 顶端, 底部, 角"
    )
    asking = re.compile(
        r"^\s*(?:what|where|who|which|how|why|when|is|are|does|do|did|was|were|describe|caption|tell me|explain|find|locate|count)\b"
        r"|哪|几|什么|描述|吗",
        re.IGNORECASE,
    )
    command = _words(
        "please, can you, could you, would you, i want, i need, i would like, i'd like, give me, show me, make me, make, create, "
        "generate, draw, paint, produce, a picture of, an image of, a photo of, a video of, a clip of, the sound of, a sound of, "
        "segment, cut out, outline, track, follow, remove, erase, get rid of, for me, thanks, thx, pls, plz, "
        "请, 帮我, 给我, 画, 来一段, 来一张"
    )


class KeywordRouter:
    """Answers in the unified representation, as a model would; a region, where a task needs one, is the whole picture."""

    name = "keywords"

    def answer(self, instruction: Instruction) -> str:
        conversation = instruction.conversation
        text = "".join(part.text for part in conversation.messages[-1].parts if isinstance(part, TextPart))
        media = list(conversation.artefacts())
        calls = [self._call(task, piece, media) for piece in pieces(text) if (task := task_of(piece, media))]
        return "".join(dict.fromkeys(calls)) or "Sorry, there is nothing for me to call here."

    def _call(self, task: Task, piece: str, media: Collection[str]) -> str:
        spec = TASKS[task]
        refs = "".join(_tagged(grammar.REF, _latest(media, kind) or "") for kind in spec.needs)
        words = " ".join(Words.command.sub(" ", grammar.escape(piece)).split()).strip(" ,.!?，。！？") or grammar.escape(piece).strip()
        box = _tagged(grammar.BOX, grammar.spell_box(WHOLE_PICTURE)) if spec.needs_box else ""
        return _tagged(spec.tag, f"{refs}{words}{box}")


def pieces(text: str) -> list[str]:
    return [piece.strip() for piece in _CONNECTIVES.split(text) if piece and piece.strip()]


def task_of(text: str, media: Collection[str]) -> Task | None:
    """The task that a piece of a request names, given the ids that are attached; None when none is meant or none can be done."""
    if _latest(media, MediaKind.VIDEO):
        return _with_video(text)
    if _latest(media, MediaKind.IMAGE):
        return _with_picture(text)
    return _from_words(text)


def _with_video(text: str) -> Task | None:
    if Words.following.search(text) or Words.cutting.search(text):
        return Task.VIDEO_SEGMENTATION
    if any(kind.search(text) for kind in (Words.removing, Words.replacing, Words.style)):
        return Task.VIDEO_EDITING
    return Task.AUDIO_GENERATION if Words.sound.search(text) else None


def _with_picture(text: str) -> Task | None:
    if Words.sound.search(text) and not Words.asking.search(text):
        return Task.AUDIO_GENERATION
    if Words.motion.search(text) or Words.video.search(text):
        return Task.IMAGE_TO_VIDEO
    if Words.cutting.search(text):
        return Task.IMAGE_SEGMENTATION
    if Words.removing.search(text) or Words.replacing.search(text):
        return Task.REASONING_EDITING
    if _NEW_PICTURE.search(text):
        return Task.IMAGE_GENERATION
    if Words.asking.search(text):
        return None
    return Task.IMAGE_EDITING if Words.style.search(text) else None


def _from_words(text: str) -> Task | None:
    if (
        Words.removing.search(text)
        or Words.cutting.search(text)
        or re.search(r"\b(?:this|my|the) (?:picture|photo|image|video|clip)\b", text)
    ):
        return None
    if Words.video.search(text):
        return Task.VIDEO_GENERATION
    if Words.sound.search(text):
        return Task.AUDIO_GENERATION
    if len(Words.place.findall(text)) >= 2:
        return Task.LAYOUT_GENERATION
    if Words.motion.search(text) and not Words.asking.search(text):
        return Task.VIDEO_GENERATION
    return Task.IMAGE_GENERATION if Words.drawing.search(text) else None


def _latest(media: Collection[str], kind: MediaKind) -> str | None:
    return next((key for key in reversed(list(media)) if key.startswith(kind.value + "-")), None)


def _tagged(tag: str, inner: str) -> str:
    return grammar.open_tag(tag) + inner + grammar.close_tag(tag)
