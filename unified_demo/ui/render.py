"""Messages to HTML: the visitor's question and the answer as it grows. Everything from outside is escaped.

``Markup.format`` escapes each value that is not Markup itself. Nothing here reads events, runs models or keeps state.
"""

import re
from collections.abc import Sequence
from weakref import WeakKeyDictionary

from markupsafe import Markup

from unified_demo.grammar import GROUNDING_TAGS
from unified_demo.messages import Artefact, Conversation, MediaPart, Message, Part, RegionPart, TextPart
from unified_demo.ui.frames import EMPTY, crop_html, frame_html, join
from unified_demo.ui.steps import sentence, step_html
from unified_demo.ui.theme import region_colour
from unified_demo.ui.view import AnswerView
from unified_demo.ui.words import say, spoken, tell

_THUMB = Markup(
    '<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M6.5 9 10 2.8c1.2 0 2 .9 1.8 2.2L11.3 8h4a1.6 1.6 0 0 1 1.6 2'
    'l-1.3 5.4a1.8 1.8 0 0 1-1.8 1.4H6.5zM6.5 9v7.8H3.2V9z"/></svg>'
)
_ANY_TAG = re.compile(r"(</?[a-z]+>)")


# ---- the visitor's message ----


def question_html(message: Message, number: int, artefacts: dict[str, Artefact]) -> Markup:
    """Media with their ids, then the text as it was typed, marked regions as small cut-outs in it; ``number`` is its place."""
    media = [frame_html(part.artefact, "attachment") for part in message.parts if isinstance(part, MediaPart)]
    said = [_said(part, artefacts) for part in message.parts if not isinstance(part, MediaPart)]
    return Markup('<div class="um-question" data-message="{number}">{media}{said}{tools}</div>').format(
        number=number,
        media=Markup('<div class="um-attachments">{}</div>').format(join(media)) if media else EMPTY,
        said=Markup('<div class="um-said">{}</div>').format(join(said)) if said else EMPTY,
        tools=_question_tools(number),
    )


def _question_tools(number: int) -> Markup:
    """Ask again, or edit. The page script asks once more before a retry that takes later messages with it."""
    return Markup(
        '<div class="um-question-tools"><button type="button" data-um="retry" data-message="{n}" data-goes="{goes}">{retry}</button>'
        '<button type="button" data-um="edit" data-message="{n}">{edit}</button></div>'
    ).format(n=number, goes=say("what followed it goes; sure?"), retry=say("Retry"), edit=say("Edit"))


def _said(part: Part, artefacts: dict[str, Artefact]) -> Markup:
    if isinstance(part, TextPart):
        return Markup("{}").format(part.text)
    if isinstance(part, RegionPart) and part.artefact_id in artefacts and part.boxes:
        artefact, box = artefacts[part.artefact_id], part.boxes[0]
        return Markup('<span class="um-marked" data-artefact="{}" data-box="{}" tabindex="0">{}{}<small>{}</small></span>').format(
            artefact.id,
            ",".join(f"{value:.5f}" for value in box.as_tuple()),
            part.phrase,
            crop_html(artefact, box, part.strokes),
            artefact.id,
        )
    return EMPTY


# ---- an answer ----


_complete: WeakKeyDictionary[AnswerView, tuple[tuple[object, ...], Markup]] = WeakKeyDictionary()


def conversation_html(conversation: Conversation, views: Sequence[AnswerView], raw: bool, most: int) -> list[tuple[str, Markup]]:
    """(role, HTML) of the last ``most`` messages or one more, beginning with a question; before them a button for the earlier ones.

    ``views`` has one answer per assistant message, and the one that is being written. What is not shown is not kept drawn either.
    """
    answers = iter(views)
    rows: list[tuple[Message, int] | AnswerView] = [
        (message, number) if message.role == "user" else next(answers) for number, message in enumerate(conversation.messages)
    ]
    rows += answers
    hidden = max(0, len(rows) - most)
    if hidden and isinstance(rows[hidden], AnswerView):
        hidden -= 1
    unseen = [row for row in rows[:hidden] if isinstance(row, AnswerView)]
    for view in unseen:
        _complete.pop(view, None)
    artefacts = conversation.artefacts()
    shown = [
        ("assistant", answer_html(row, raw)) if isinstance(row, AnswerView) else ("user", question_html(*row, artefacts))
        for row in rows[hidden:]
    ]
    return [("assistant", _earlier_html(hidden, len(unseen))), *shown] if hidden else shown


def _earlier_html(messages: int, answers: int) -> Markup:
    return Markup('<button type="button" class="um-earlier" data-um="earlier" data-answers="{}">{}</button>').format(
        answers, say("Show the {count} messages before", count=messages)
    )


def answer_html(view: AnswerView, raw: bool = False) -> Markup:
    """The whole answer; one that is complete is drawn once, for every step of a later one shows it again."""
    with view.lock:
        if not view.finished:
            return _draw(view, raw)
        manner = (raw, spoken(), view.version)
        if view not in _complete or _complete[view][0] != manner:
            _complete[view] = (manner, _draw(view, raw))
        return _complete[view][1]


def _draw(view: AnswerView, raw: bool) -> Markup:
    """The children stay in the same order while the answer grows, so that the page updates them in place."""
    return Markup(
        '<article class="um-answer" data-state="{state}">'
        '<div class="um-text" aria-live="polite">{text}</div><div class="um-pictures">{pictures}</div>'
        '<div class="um-steps">{steps}</div><div class="um-outputs">{outputs}</div><div class="um-foot">{foot}</div></article>'
    ).format(
        state=view.state,
        text=text_html(view),
        pictures=join([frame_html(picture, "picture", view.things_in(picture)) for picture in view.pictures()]),
        steps=join([step_html(step) for step in view.steps.values()]),
        outputs=join([frame_html(artefact, "output") for artefact in view.outputs()]),
        foot=foot_html(view, raw),
    )


def text_html(view: AnswerView) -> Markup:
    """The words, grounded phrases coloured from their first letter on."""
    pieces = []
    for run in view.runs:
        number = view.phrases.get(run.phrase) if run.phrase is not None else None
        pieces.append(_phrase_html(run.text, number) if number else Markup("<span>{}</span>").format(run.text))
    return join(pieces)


def _phrase_html(text: str, number: int) -> Markup:
    return Markup('<mark class="um-phrase" data-object="{n}" tabindex="0" style="--hue:{hue}">{text}</mark>').format(
        n=number, hue=region_colour(number)[0], text=text
    )


# ---- what stands below an answer ----


def foot_html(view: AnswerView, raw: bool) -> Markup:
    """Waiting note, error, stop mark, warnings, the raw representation when it is wanted, and what the visitor thinks of it."""
    return join([_status_line(view), _warnings(view), raw_html(view.raw) if raw and view.finished else EMPTY, _judgement(view)])


def _judgement(view: AnswerView) -> Markup:
    """Two buttons; pressing the one that is pressed takes it back."""
    if not view.finished:
        return EMPTY
    button = Markup(
        '<button type="button" data-um="judge" data-liked="{value}" aria-pressed="{pressed}" aria-label="{words}" title="{words}">'
        "{icon}</button>"
    )
    choices = ((True, "yes", say("Good answer")), (False, "no", say("Bad answer")))
    buttons = [
        button.format(value=value, pressed="true" if view.liked is liked else "false", words=words, icon=_THUMB)
        for liked, value, words in choices
    ]
    return Markup('<div class="um-judgement">{}</div>').format(join(buttons))


def _status_line(view: AnswerView) -> Markup:
    if view.error:
        return Markup('<p class="um-error" role="alert">{}</p>').format(sentence(view.error))
    if view.note or view.state == "waiting":
        return waiting_html(view.note or say("thinking"))
    if view.state == "stopped":
        return Markup('<p class="um-stopped">{}</p>').format(
            say("Stopped. What was said so far is kept.") if view.runs else say("Stopped before the first word.")
        )
    if view.state == "done" and not view.runs and not view.steps:
        return Markup('<p class="um-stopped">{}</p>').format(say("The model had nothing to say; try other words."))
    return EMPTY


def waiting_html(note: str) -> Markup:
    return Markup('<p class="um-waiting" role="status"><i></i><i></i><i></i><span>{}</span></p>').format(note)


def _warnings(view: AnswerView) -> Markup:
    if not view.warnings or not view.finished:
        return EMPTY
    lines = join([Markup("<li>{}</li>").format(tell(warning)) for warning in dict.fromkeys(view.warnings)])
    return Markup('<details class="um-warnings"><summary>{}</summary><ul>{}</ul></details>').format(
        say("Slips of notation in this answer: {n}", n=len(view.warnings)), lines
    )


def raw_html(raw: str) -> Markup:
    """What the model really wrote, each kind of token in its own colour."""
    pieces: list[Markup] = []
    inside = ""
    for place, piece in enumerate(_ANY_TAG.split(raw)):
        name = piece.strip("</>")
        if place % 2:
            inside = "" if piece.startswith("</") else name
            kind = "grounding" if name in GROUNDING_TAGS else "task"
            pieces.append(Markup('<b data-kind="{}">{}</b>').format(kind, piece))
        elif inside in GROUNDING_TAGS:
            pieces.append(Markup('<i data-kind="{}">{}</i>').format(inside, piece))
        else:
            pieces.append(Markup("{}").format(piece))
    return Markup('<div class="um-raw"><span>{}</span><pre>{}</pre></div>').format(say("raw representation"), join(pieces))
