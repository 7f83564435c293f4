"""HTML around the conversation: header with the loading state, welcome, notice line, inspector. Everything from outside is escaped."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from types import MappingProxyType

from markupsafe import Markup

from unified_demo.config import Drawing
from unified_demo.engine import Engine
from unified_demo.fakes import SCRIPTED_NOTICE, ScriptedModel
from unified_demo.grammar import TASKS
from unified_demo.model_facts import resolve_device
from unified_demo.ui.frames import EMPTY, join
from unified_demo.ui.steps import task_title
from unified_demo.ui.warmup import Warmup
from unified_demo.ui.words import listed, say, spoken, tell

TITLE = "UnifiedMLLM Demo"
STATM = Path("/proc/self/statm")
PAGE_BYTES = 4096
NO_TASKS: Mapping[int, str] = MappingProxyType({})
_CALL_NAME = re.compile(r"call_([0-9]{1,4})_start_s")
_LAYER_NAME = re.compile(r"layer_([0-9]{1,4})_gate_[0-9]{1,2}")
"""Of a timing; an imported conversation may have others."""
_MARK = Markup(
    '<svg class="um-logo" viewBox="0 0 32 32" aria-hidden="true"><rect x="2.5" y="2.5" width="20" height="20" rx="5"/>'
    '<path d="M29.5 17.2c0 6.8-5.5 12.3-12.3 12.3-3 0-5.7-1-7.8-2.8 6.5-.3 15.3-3 16.6-16.4 2.2 1.800 3.5 4.200 3.5 6.900z"/></svg>'
)
_TIMINGS = (
    ("first_text_s", "first word"),
    ("first_box_s", "first box"),
    ("first_output_s", "first mask or output"),
    ("total_s", "whole answer"),
)

_TERMS = (
    ("Raw representation", "What the model really wrote: words, and tokens for phrases, places and calls of experts."),
    ("Expert", "Another model that the language model calls to outline, draw, edit or sound."),
    ("Seed", "Where chance begins: the same number gives the same result again."),
    ("Temperature", "0 takes the likeliest word each time; more is more varied and less sure."),
    ("steps", "How often an expert goes over a picture; more is finer and slower."),
    ("guidance", "How closely a picture follows the words."),
    ("strength", "How much of a picture an edit may change."),
    ("Profile", "Which set of models runs: tiny on any computer, full on a graphics card."),
    ("Precision", "How exactly the language model calculates; fewer bits need less memory."),
    ("Token", "A word, a piece of one or a tag; the model writes one at a time."),
    ("Adapters", "Small parts that were trained into the language model; the bars show how much each had to do with the last answer."),
    ("Keyboard", "Ctrl+K opens the conversations, / goes to the composer, Escape stops the answer."),
)


def header_html(engine: Engine, warmup: Warmup) -> Markup:
    """Name, loading state, and the two switches that the page script answers to."""
    return Markup(
        '<header class="um-header"><button type="button" class="um-icon" data-um="history" aria-label="{kept}" title="{kept} (Ctrl+K)" '
        'aria-keyshortcuts="Control+K Meta+K">'
        '{list}</button>{mark}<div class="um-title"><h1>{title}</h1><p>{motto}</p></div>'
        '<span class="um-status" data-state="{state}" role="status" title="{why}"><i></i><span>{note}</span></span>'
        '<button type="button" class="um-icon" data-um="language" data-now="{language}" aria-label="{other}" '
        'title="{other}">{globe}</button>'
        '<button type="button" class="um-icon" data-um="theme" aria-label="{light}" title="{light}">{theme}</button>'
        '<button type="button" class="um-icon" data-um="inspector" aria-label="{inspector}" title="{inspector}">{panel}</button></header>'
        "{words}"
    ).format(
        words=_viewer_words(),
        kept=say("Conversations"),
        motto=say("words, regions and experts in one answer"),
        light=say("Light or dark"),
        inspector=say("Inspector"),
        other=say("中文"),
        language=spoken(),
        globe=Markup(
            '<svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="6.5"/><path d="M3.500 10h13'
            'M10 3.400c-4.400 4-4.400 9.200 0 13.200M10 3.400c4.400 4 4.400 9.200 0 13.200"/></svg>'
        ),
        list=Markup('<svg viewBox="0 0 20 20" aria-hidden="true"><path d="M3.5 5.5h13M3.5 10h13M3.5 14.5h8"/></svg>'),
        mark=_MARK,
        title=TITLE,
        state=warmup.state,
        note=status_words(engine, warmup),
        why=tell(warmup.error) if warmup.error else status_words(engine, warmup),
        theme=Markup(
            '<svg viewBox="0 0 20 20" aria-hidden="true"><circle cx="10" cy="10" r="6.5"/><path d="M10 3.5a6.5 6.5 0 0 1 0 13z"/></svg>'
        ),
        panel=Markup(
            '<svg viewBox="0 0 20 20" aria-hidden="true"><rect x="3" y="4" width="14" height="12" rx="2.5"/><path d="M12.5 4v12"/></svg>'
        ),
    )


def _viewer_words() -> Markup:
    """What the page script says, in the visitor's language."""
    return Markup(
        '<span id="um-words" hidden data-how="{how}" data-paint="{paint}" data-keys="{keys}" data-shapes="{shapes}" '
        'data-labels="{labels}" data-opacity="{opacity}" data-close="{close}" data-box="{box}" data-brush="{brush}" data-size="{size}" '
        'data-tool="{tool}" data-camera="{camera}" data-snap="{snap}" data-nocamera="{nocamera}"></span>'
    ).format(
        how=say("Drag a box around what you mean, or click on it."),
        paint=say("Paint over what you mean; an edit changes that alone. Strokes that touch are one region."),
        box=say("Box"),
        brush=say("Brush"),
        size=say("Stroke width"),
        tool=say("Mark with"),
        camera=say("Picture from the camera"),
        snap=say("Take the picture"),
        nocamera=say("There is no camera, or this page may not use it: a browser lends it to https and to this machine alone."),
        keys=say("Arrow keys move a box, Shift with arrows changes its size, Enter marks it, Escape closes."),
        shapes=say("Masks and boxes"),
        labels=say("Labels"),
        opacity=say("Opacity"),
        close=say("Close"),
    )


def camera_html() -> Markup:
    """The button in the composer that opens the camera."""
    return Markup(
        '<button type="button" class="um-camera" data-um="camera" aria-label="{words}" title="{words}">'
        '<svg viewBox="0 0 24 24" aria-hidden="true">'
        '<path d="M3.500 8.500a2 2 0 0 1 2-2h2.300l1.500-2.300h5.400l1.500 2.300h2.300a2 2 0 0 1 2 2v9a2 2 0 0 1-2 2h-13a2 2 0 0 1-2-2z"/>'
        '<circle cx="12" cy="12.700" r="3.700"/></svg></button>'
    ).format(words=say("Picture from the camera"))


def status_words(engine: Engine, warmup: Warmup) -> str:
    if isinstance(engine.model, ScriptedModel):
        return SCRIPTED_NOTICE
    return {"ready": say("{name} profile · ready", name=engine.settings.profile), "failed": say("model not loaded")}.get(
        warmup.state, warmup.note
    )


def welcome_html(engine: Engine) -> Markup:
    """What stands in the empty conversation above the example cards: what this is, which profile runs, what it can and cannot do
    (on a phone, the last of it unfolds from one line)."""
    return Markup(
        '<div class="um-welcome">{mark}<h2>{title}</h2><p>{lead}</p>'
        '<details class="um-banner"><summary>{profile} {what}</summary>'
        '<p class="um-honest"><b>{profile}</b> {works} {missing} {more}</p></details></div>'
    ).format(
        mark=_MARK,
        title=say("Show it a picture, ask in words"),
        lead=say("The answer points at what it means: phrases, boxes and masks share a colour. Mark a region to ask about it."),
        profile=say("Profile {name}.", name=engine.settings.profile),
        what=say("What it can and cannot do"),
        works=say("It can do: {tasks}. It makes mistakes; check what matters.", tasks=_works(engine)),
        missing=_missing(engine),
        more=_more(engine),
    )


def _works(engine: Engine) -> str:
    return listed([say("describing, answering and pointing in pictures"), *(task_title(task).lower() for task in engine.tasks())])


def _missing(engine: Engine) -> str:
    """The tasks without an expert; empty when there is none."""
    missing = listed(say(spec.title) for task, spec in TASKS.items() if task.value not in engine.tasks())
    return say("Not yet: {tasks}.", tasks=missing) if missing else ""


def _more(engine: Engine) -> str:
    """How to have what is missing."""
    if engine.settings.profile != "full":
        return say("The full profile, on a GPU, can do more: python app.py --profile full.")
    return say("The server's log says why.") if _missing(engine) else ""


def notice_html(sentences: Sequence[str]) -> Markup:
    """What was wrong with the last thing that was sent; empty when nothing was."""
    lines = Markup("").join(Markup("<p>{}</p>").format(tell(sentence)) for sentence in sentences)
    return Markup('<div class="um-notice" role="alert">{}</div>').format(lines) if sentences else EMPTY


def inspector_html(engine: Engine, warmup: Warmup, timings: dict[str, float], tasks: Mapping[int, str] = NO_TASKS) -> Markup:
    """What works here and on what it runs, how long the last answer took (``tasks`` says which its calls were, by their number), which
    models are loaded, what the words mean."""
    return Markup("<section><h3>{}</h3>{}{}</section><section><h3>{}</h3>{}</section><section><h3>{}</h3>{}{}</section>{}").format(
        say("This page"),
        _abilities(engine, warmup),
        _setting(engine, warmup),
        say("Last answer"),
        _timings(timings, tasks),
        say("Models"),
        _models(engine, warmup),
        _memory(),
        _terms(engine),
    )


def _abilities(engine: Engine, warmup: Warmup) -> Markup:
    missing = _missing(engine)
    return Markup(
        '<p>{works}</p>{missing}{failed}<p class="um-quiet">{other} '
        '<a href="?view=api" target="_blank" rel="noopener"><code>/infer</code></a></p>'
    ).format(
        works=say("It can do: {tasks}. It makes mistakes; check what matters.", tasks=_works(engine)),
        missing=Markup('<p class="um-quiet">{}</p>').format(missing) if missing else EMPTY,
        failed=Markup('<p class="um-error" role="alert">{}</p>').format(tell(warmup.error)) if warmup.error else EMPTY,
        other=say("Other programs can ask the same through"),
    )


def _setting(engine: Engine, warmup: Warmup) -> Markup:
    """Profile, and the language model's precision and device; what "auto" means is told once torch is loaded with the weights. The
    experts' device is told where it is another one."""
    speaker, experts = engine.speaker, engine.router.registry.device
    device = resolve_device(speaker.device) if warmup.state == "ready" else speaker.device
    rows = [(say("Profile"), engine.settings.profile), (say("Precision"), speaker.precision), (say("Device"), say(device))]
    if device not in ("", "auto", experts):
        rows.append((say("Device of the experts"), experts))
    facts = [Markup("<dt>{}</dt><dd>{}</dd>").format(*row) for row in rows if row[1]]
    return Markup('<dl class="um-setting">{}</dl>').format(join(facts))


def _timings(timings: dict[str, float], tasks: Mapping[int, str]) -> Markup:
    rows = [(say(words), f"{timings[key]:.2f} s") for key, words in _TIMINGS if key in timings]
    if timings.get("tokens") and timings.get("decode_s"):
        speed = timings["tokens"] / timings["decode_s"]
        rows.append((say("speed"), f"{speed:.{0 if speed >= 10 else 1}f} tokens/s"))
    if not rows:
        return Markup('<p class="um-quiet">{}</p>').format(say("Ask something and the seconds appear here."))
    facts = join([Markup("<dt>{}</dt><dd>{}</dd>").format(*row) for row in rows])
    return Markup("{}<dl>{}</dl>{}").format(_gantt(timings, tasks), facts, _gates(timings))


def _gantt(timings: dict[str, float], tasks: Mapping[int, str]) -> Markup:
    """When what was done: looking, reading the prompt and writing one after the other, experts beside them."""
    total = timings.get("total_s", 0.0)
    looked = timings.get("look_s", 0.0)
    read = looked + timings.get("prefill_s", 0.0)
    spans = [(say("looking"), "look", 0.0, looked), (say("reading"), "read", looked, read)]
    spans.append((say("writing"), "write", read, read + timings.get("decode_s", 0.0)))
    calls = sorted(int(found[1]) for name in timings if (found := _CALL_NAME.fullmatch(name)))
    for call, words in zip(calls, _numbered([tasks.get(call, "") for call in calls]), strict=True):
        spans.append((words, "expert", timings[f"call_{call}_start_s"], timings.get(f"call_{call}_end_s", total)))
    rows = [
        Markup('<li><span>{}</span><div><i data-kind="{}" style="left:{:.2f}%;width:{:.2f}%" title="{:.2f} s"></i></div></li>').format(
            words, kind, 100 * start / total, max(100 * (min(end, total) - start) / total, 0.8), end - start
        )
        for words, kind, start, end in spans
        if total and end > start
    ]
    return Markup('<ul class="um-gantt">{}</ul>').format(join(rows))


def _numbered(tasks: Sequence[str]) -> list[str]:
    """Names of the tasks of an answer's calls in their order; where there are several calls of one, with a number."""
    names = [task_title(task).lower() if task else say("expert") for task in tasks]
    return [name if names.count(name) == 1 else f"{name} {names[: place + 1].count(name)}" for place, name in enumerate(names)]


def _gates(timings: dict[str, float]) -> Markup:
    """How much of the answer went through each adapter of the LoRAMoE."""
    shares = [timings[name] for name in sorted(timings) if name.startswith("gate_")]
    if timings.get("frozen"):
        off = say("Switched off: plain chat is answered by the frozen language model.")
        return Markup('<h3>{}</h3><p class="um-quiet">{}</p>').format(say("Adapters"), off)
    if not shares:
        return EMPTY
    bars = join(
        [Markup('<i style="flex-grow:{:.4f}" title="{}: {:.1%}">{}</i>').format(share, n, share, n) for n, share in enumerate(shares, 1)]
    )
    return Markup('<h3>{}</h3><div class="um-gates" role="img" aria-label="{}">{}</div>{}').format(
        say("Adapters"),
        say("Shares of the adapters: {shares}", shares=", ".join(f"{share:.0%}" for share in shares)),
        bars,
        _gates_by_layer(timings, len(shares)),
    )


def _gates_by_layer(timings: dict[str, float], adapters: int) -> Markup:
    """A column for each layer that has adapters, a row for each adapter; the fuller the colour, the larger its share there."""
    layers = sorted({int(found[1]) for name in timings if (found := _LAYER_NAME.fullmatch(name))})
    if not layers:
        return EMPTY
    shares = [(layer, n, timings.get(f"layer_{layer}_gate_{n}", 0.0)) for n in range(adapters) for layer in layers]
    largest = max(share for _, _, share in shares) or 1.0
    cells = join(
        [
            Markup('<i style="--share:{:.1f}%" title="{}"></i>').format(
                100 * share / largest, say("layer {layer}, adapter {n}: {share}", layer=layer, n=n + 1, share=f"{share:.0%}")
            )
            for layer, n, share in shares
        ]
    )
    return Markup(
        '<div class="um-layers" role="img" aria-label="{words}" style="--layers:{count}">{cells}</div>'
        '<p class="um-layer-names"><span>{first}</span><span>{last}</span></p>'
    ).format(
        words=say("Shares of the adapters by layer"),
        count=len(layers),
        cells=cells,
        first=say("layer {layer}", layer=layers[0]),
        last=layers[-1],
    )


def _terms(engine: Engine) -> Markup:
    """The words of this panel that only those know who build such models."""
    offered = {name for task in engine.tasks() for name in engine.router.registry.spec(task).options}
    absent = {field.name for field in fields(Drawing)} - offered
    rows = [Markup("<dt>{}</dt><dd>{}</dd>").format(say(word).capitalize(), say(told)) for word, told in _TERMS if word not in absent]
    return Markup('<details class="um-terms"><summary>{}</summary><dl>{}</dl></details>').format(say("What these words mean"), join(rows))


def _memory() -> Markup:
    """What the program holds now, where the system tells it."""
    try:
        pages = int(STATM.read_text(encoding="ascii").split()[1])
    except OSError:
        return EMPTY
    return Markup('<p class="um-quiet">{}</p>').format(say("The program holds {gb} GB of memory.", gb=f"{pages * PAGE_BYTES / 2**30:.1f}"))


def _models(engine: Engine, warmup: Warmup) -> Markup:
    """The language model, then the experts."""
    registry, speaker = engine.router.registry, engine.speaker
    loaded = registry.loaded()
    rows = [_model(say("Language model"), [speaker.name, speaker.licence], warmup.state == "ready", say("not loaded yet"))]
    for task in engine.tasks():
        spec = registry.spec(task)
        limits = "" if spec.commercial_use else say("non-commercial")
        rows.append(_model(task_title(task), [spec.name, spec.licence, limits], task in loaded, say("loads when first called")))
    return Markup('<ul class="um-experts">{}</ul>').format(join(rows))


def _model(title: str, facts: Sequence[str], loaded: bool, otherwise: str) -> Markup:
    """One row: what it does, what it is, and whether it is in memory."""
    return Markup('<li data-loaded="{on}"><i></i><div><b>{title}</b><small>{facts}</small><small>{state}</small></div></li>').format(
        on="yes" if loaded else "no",
        title=title,
        facts=" · ".join(fact for fact in facts if fact),
        state=say("loaded") if loaded else otherwise,
    )
