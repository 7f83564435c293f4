"""The steps of an answer to HTML: one task call each, from waiting to done, with what was asked, seed, weights and licence.

Everything from outside is escaped; the artefacts themselves are drawn by ``frames.py``.
"""

import base64
import io

from markupsafe import Markup

from unified_demo.grammar import title_of
from unified_demo.ui.frames import EMPTY, join
from unified_demo.ui.view import Step
from unified_demo.ui.words import listed, say, tell

_STEP_WORDS = {
    "writing": "writing the call",
    "queued": "waiting for the expert",
    "running": "working",
    "done": "done",
    "failed": "failed",
    "stopped": "stopped",
}
_RECIPE_FACTS = ("expert", "weights", "seed", "steps", "guidance", "strength", "licence")


def step_html(step: Step) -> Markup:
    """One task call: the summary says how it goes and why it failed, the body what was asked and with which weights."""
    running = step.status in ("queued", "running")
    clock = f"{step.seconds:.1f} s" if step.status in ("done", "failed") else ""
    return Markup(
        '<div class="um-call"><details class="um-step" data-status="{status}" data-index="{index}"{unfolded}>'
        '<summary><i class="um-dot"></i>'
        '<span class="um-step-title">{title}</span><span class="um-step-note">{note}</span>{licence}{counter}'
        '<span class="um-clock" data-run="{run}">{clock}</span>{error}</summary>{bar}<div class="um-step-body">{preview}'
        "<dl>{facts}</dl></div></details>{action}{left_out}</div>"
    ).format(
        status=step.status,
        index=step.index,
        unfolded=Markup(" open") if step.preview is not None else EMPTY,
        title=task_title(step.task),
        note=_step_note(step),
        licence=_licence(step),
        counter=_counter(step),
        run="on" if running else "off",
        clock=clock,
        bar=_bar(step),
        error=Markup('<span class="um-error" role="alert">{}</span>').format(sentence(step.error)) if step.error else EMPTY,
        preview=_preview(step.preview),
        facts=join([Markup("<dt>{}</dt><dd>{}</dd>").format(say(name), value) for name, value in _facts(step)]),
        action=_action(step),
        left_out=_left_out(step),
    )


def _counter(step: Step) -> Markup:
    """Step 7 of 20, and how long the rest will take at the speed so far; the page script counts that down."""
    if step.status != "running" or not step.steps:
        return EMPTY
    rest = Markup('<span class="um-eta" data-eta="{:.1f}"></span>').format(step.eta_s) if step.eta_s else EMPTY
    return Markup('<span class="um-step-count">{}/{}</span>{}').format(step.step, step.steps, rest)


def _bar(step: Step) -> Markup:
    if step.status != "running" or step.steps < 2:
        return EMPTY
    return Markup(
        '<div class="um-bar" role="progressbar" aria-label="{}" aria-valuenow="{}" aria-valuemax="{}"><i style="width:{:.1f}%"></i></div>'
    ).format(task_title(step.task), step.step, step.steps, 100 * step.step / step.steps)


def _licence(step: Step) -> Markup:
    licence = step.recipe.get("licence")
    if not licence:
        return EMPTY
    free = step.recipe.get("commercial_use", True)
    return Markup('<span class="um-badge" data-free="{}">{}</span>').format(
        "yes" if free else "no", licence if free else say("non-commercial")
    )


def _action(step: Step) -> Markup:
    """Cancel what runs; try again what failed or was stopped."""
    if step.status in ("queued", "running"):
        return Markup('<button type="button" class="um-step-action" data-um="skip" data-index="{}">{}</button>').format(
            step.index, say("Cancel this step")
        )
    if step.status in ("failed", "stopped") and step.call:
        return Markup('<button type="button" class="um-step-action" data-um="again" data-index="{}">{}</button>').format(
            step.index, say("Try this step again")
        )
    return EMPTY


def sentence(text: str) -> str:
    """In the visitor's language, with a capital and a full stop, for errors come as they suit a log line."""
    text = tell(text.strip())
    start = text[:1].upper() if text.split(" ")[0].isalpha() else text[:1]
    return start + text[1:] + ("" if text.endswith((".", "!", "?", "。")) else ".")


def _left_out(step: Step) -> Markup:
    """Words that the expert does not know: what it made may lack them."""
    words = step.recipe.get("left_out")
    return (
        Markup('<p class="um-left-out">{}</p>').format(say("Words it does not know were left out: {words}.", words=listed(words)))
        if words
        else EMPTY
    )


def _step_note(step: Step) -> str:
    """What the summary of a call says: the progress while it runs, what was asked for once it is over."""
    asked = step.call.prompt if step.call else ""
    notes = {"running": step.note, "done": asked}
    return notes.get(step.status) or say(_STEP_WORDS[step.status])


def task_title(task: str) -> str:
    """Name of a task for people; a plug-in's is not translated."""
    return say(title_of(task)).capitalize()


def _facts(step: Step) -> list[tuple[str, str]]:
    """What is worth knowing of a call, as (name, value)."""
    facts = [("status", say(_STEP_WORDS[step.status]))]
    if step.call:
        facts += [("asked for", step.call.prompt)] if step.call.prompt else []
        facts += [("in", ", ".join(step.call.refs))] if step.call.refs else []
        boxes = [box for region in step.call.regions for box in region.boxes]
        facts += [("region", "; ".join(" ".join(f"{value:.3f}" for value in box.as_tuple()) for box in boxes))] if boxes else []
    for key in _RECIPE_FACTS:
        value = step.recipe.get(key)
        if value not in (None, "", []):
            facts.append((key, ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)))
    facts += [("took", f"{step.seconds:.2f} s")] if step.status in ("done", "failed") else []
    facts += [("gave", ", ".join(artefact.id for artefact in step.artefacts))] if step.artefacts else []
    return facts


def _preview(picture: object) -> Markup:
    if picture is None:
        return EMPTY
    buffer = io.BytesIO()
    small = picture.convert("RGB")  # type: ignore[attr-defined]
    small.thumbnail((320, 320))
    small.save(buffer, "JPEG", quality=80)
    data = base64.b64encode(buffer.getvalue()).decode("ascii")
    return Markup('<img class="um-preview" alt="{}" src="data:image/jpeg;base64,{}">').format(say("Preview"), data)
