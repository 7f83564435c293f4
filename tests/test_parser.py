"""The push parser: what each form means, any chunking, any garbage, and that nothing is looked at twice."""

import re
import sys
from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from unified_demo import parser as parser_module
from unified_demo.grammar import TAGS, TASK_TAGS, Box, close_tag, open_tag, spell_box
from unified_demo.messages import CallStarted, GrammarWarning, ParserEvent, RegionFound, TaskCall, TextDelta
from unified_demo.parser import StreamParser

BOX = Box(0.0, 0.0, 333 / 999, 666 / 999)
BOX_TEXT = f"<box>{spell_box(BOX)}</box>"
ANY_TAG = re.compile("</?(" + "|".join(TAGS) + ")>")


def parse(*chunks: str) -> list[ParserEvent]:
    parser = StreamParser()
    events = [event for chunk in chunks for event in parser.feed(chunk)]
    return merged([*events, *parser.close()])


def merged(events: Sequence[ParserEvent]) -> list[ParserEvent]:
    """Adjacent TextDelta of the same phrase become one."""
    out: list[ParserEvent] = []
    for event in events:
        last = out[-1] if out else None
        if isinstance(event, TextDelta) and isinstance(last, TextDelta) and event.phrase == last.phrase:
            out[-1] = TextDelta(last.text + event.text, event.phrase)
        else:
            out.append(event)
    return out


def shown(events: Sequence[ParserEvent]) -> str:
    return "".join(event.text for event in events if isinstance(event, TextDelta))


def warnings(events: Sequence[ParserEvent]) -> list[GrammarWarning]:
    return [event for event in events if isinstance(event, GrammarWarning)]


# ---- what each form means ----


def test_example_of_the_representation() -> None:
    events = parse(
        "A tabby sleeps on <p>the left cushion</p><box>[112,340,560,910]</box>. I'll cut it out. "
        "<seg><ref>img-1</ref>the tabby<box>[140,360,520,880]</box></seg>"
    )
    kinds = [type(event) for event in events]
    assert kinds == [TextDelta, TextDelta, RegionFound, TextDelta, CallStarted, TaskCall]
    assert events[0] == TextDelta("A tabby sleeps on ")
    assert events[1] == TextDelta("the left cushion", 0)
    region, call = events[2], events[5]
    assert isinstance(region, RegionFound) and isinstance(call, TaskCall)
    assert (region.phrase, region.text, region.artefact_id) == (0, "the left cushion", None)
    assert region.box == Box(112 / 999, 340 / 999, 560 / 999, 910 / 999)
    assert (call.index, call.task, call.prompt, call.refs) == (0, "seg", "the tabby", ("img-1",))
    assert [(part.phrase, part.boxes, part.artefact_id) for part in call.regions] == [
        ("the tabby", (Box(140 / 999, 360 / 999, 520 / 999, 880 / 999),), "img-1")
    ]


def test_phrase_text_streams_before_its_close_tag() -> None:
    parser = StreamParser()
    assert parser.feed("<p>a black") == [TextDelta("a black", 0)]
    assert parser.feed(" dog") == [TextDelta(" dog", 0)]
    assert parser.feed("</p>") == []
    assert parser.feed(BOX_TEXT) == [RegionFound(0, "a black dog", BOX)]


def test_several_boxes_spans_and_a_reference() -> None:
    events = parse(f"<p>two dogs</p> <ref>img-2</ref>{BOX_TEXT} {BOX_TEXT}<time>[0,999]</time>.")
    regions = [event for event in events if isinstance(event, RegionFound)]
    assert [region.artefact_id for region in regions] == ["img-2"] * 3
    assert [bool(region.box) for region in regions] == [True, True, False]
    assert regions[2].span is not None and (regions[2].span.start, regions[2].span.end) == (0, 1)
    assert not warnings(events)


def test_phrases_and_calls_are_numbered() -> None:
    events = parse(f"<p>a</p>{BOX_TEXT}<p>b</p>{BOX_TEXT}<gen>one</gen><gen>two</gen>")
    assert [event.phrase for event in events if isinstance(event, RegionFound)] == [0, 1]
    assert [(event.index, event.prompt) for event in events if isinstance(event, TaskCall)] == [(0, "one"), (1, "two")]


def test_phrase_without_a_box_is_text_that_keeps_its_number() -> None:
    assert parse("see <p>the dog</p> there") == [TextDelta("see "), TextDelta("the dog", 0), TextDelta(" there")]


def test_a_late_box_belongs_to_no_phrase() -> None:
    events = parse(f"<p>the dog</p> there {BOX_TEXT}")
    assert not [event for event in events if isinstance(event, RegionFound)]
    assert len(warnings(events)) == 1


def test_a_reference_in_running_text_is_its_id() -> None:
    assert parse("look at <ref>img-2</ref>!") == [TextDelta("look at img-2!")]


@pytest.mark.parametrize("text", ["a < b", "<3", "<html>", "x<y>z", "<Box>", "< box>", "1 <", "<pp>", "</", "a<b<c<d", "<<", "a<<b", "</<"])
def test_a_bracket_that_is_no_tag_is_text(text: str) -> None:
    events = parse(text + " ")
    assert events == [TextDelta(text + " ")]


def test_payload_in_any_order() -> None:
    for payload in (
        f"<ref>img-1</ref>dog{BOX_TEXT}",
        f"dog<ref>img-1</ref>{BOX_TEXT}",
        f"{BOX_TEXT}dog<ref>img-1</ref>",
        f"dog{BOX_TEXT}<ref>img-1</ref>",
    ):
        (_, call) = parse(f"<seg>{payload}</seg>")
        assert isinstance(call, TaskCall)
        assert (call.prompt, call.refs, [(part.phrase, part.boxes, part.artefact_id) for part in call.regions]) == (
            "dog",
            ("img-1",),
            [("dog", (BOX,), "img-1")],
        )


def test_layout_payload_pairs_phrases_with_boxes() -> None:
    (_, call) = parse(f"<layout>a room with <p>a bed</p>{BOX_TEXT} <p>two lamps</p>{BOX_TEXT}{BOX_TEXT}</layout>")
    assert isinstance(call, TaskCall)
    assert call.prompt == "a room with a bed two lamps"
    assert [(part.phrase, len(part.boxes)) for part in call.regions] == [("a bed", 1), ("two lamps", 2)]


def test_a_plugin_tag_opens_a_call_only_where_it_is_known() -> None:
    assert parse("<speak>hi</speak>") == [TextDelta("<speak>hi</speak>")]
    parser = StreamParser([*TASK_TAGS, "speak"])
    assert parser.feed("<speak>hi</speak>") == [CallStarted(0, "speak"), TaskCall(0, "speak", "hi")]


# ---- malformed ----


@pytest.mark.parametrize(
    ("text", "visible"),
    [
        ("<box>[1,2,3]</box>x", "x"),
        ("<p>a</p><box>[9,9,1,1]</box>x", "ax"),
        ("<p>a</p><box>[0,0,1000,5]</box>x", "ax"),
        ("<p>a</p><box>[1,2,3,4 and more", "aand more"),
        ("<p>a <p>b</p>x", "a bx"),
        ("</p></seg>x", "x"),
        (f"<p>the dog{BOX_TEXT} runs", "the dog runs"),
        ("x<seg>cut</gen>y", "xy"),
        ("x<seg>cut", "x"),
        ("<ref>dog</ref>x", "x"),
        ("x<bo", "x"),
        (f"<p></p>{BOX_TEXT}x", "x"),
        ("<p>a</p><ref>img-1</ref>x", "ax"),
    ],
)
def test_malformed_becomes_text_and_a_warning(text: str, visible: str) -> None:
    events = parse(text)
    assert shown(events) == visible
    assert warnings(events)


def test_a_missing_close_of_a_phrase_still_gives_the_region() -> None:
    assert RegionFound(0, "the dog", BOX) in parse(f"<p>the dog{BOX_TEXT} runs")


def test_a_call_inside_a_call_drops_the_outer_one() -> None:
    events = parse("<seg>a<gen>b</gen>")
    assert [type(event) for event in events] == [CallStarted, GrammarWarning, CallStarted, TaskCall]
    assert isinstance(events[3], TaskCall) and events[3].index == 1


def test_a_payload_that_never_ends_is_bounded() -> None:
    events = parse("<p>a</p><box>" + "1" * 5000)
    assert len(shown(events)) > 4900 and len(warnings(events)) == 1


def test_dropped_tags_cannot_join_into_a_tag() -> None:
    for text in ("<b</p>ox>", "<<box>p>", "<</seg>seg>", "<b<time>ox></time>", "</<p>p>"):
        assert not ANY_TAG.search(shown(parse(text))), text


# ---- properties ----

_words = st.text(alphabet="ab <>/[],0123456789-‹\n", max_size=8)
_tags = st.sampled_from([spelt(tag) for tag in TAGS for spelt in (open_tag, close_tag)])
_broken_tags = st.builds(lambda tag, cut: tag[:cut], _tags, st.integers(1, 8))
_boxes = st.lists(st.integers(0, 1100), min_size=3, max_size=5).map(lambda values: f"[{','.join(map(str, values))}]")
_forms = st.sampled_from(
    [BOX_TEXT, f"<p>a dog</p>{BOX_TEXT}", "<ref>img-1</ref>", "<time>[1,5]</time>", f"<seg>dog{BOX_TEXT}</seg>", "<gen>a cat</gen>"]
)
surface = st.lists(st.one_of(_words, _tags, _broken_tags, _boxes, _forms), max_size=14).map("".join)


@st.composite
def cut_text(draw: Any) -> tuple[str, list[str]]:
    """A surface text, and the same text in chunks cut anywhere (also inside tags; empty chunks happen)."""
    text = draw(surface)
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=12)))
    edges = [0, *cuts, len(text)]
    return text, [text[start:end] for start, end in pairwise(edges)]


@given(cut_text())
@example(("<p>a</p><ref>img-1</ref> b", ["<p>a</p><ref>img-1</ref>", " ", "b"]))
@example((f"<seg>{BOX_TEXT} the dog</seg>", [f"<seg>{BOX_TEXT}", " the", " ", "dog</seg>"]))
def test_any_chunking_gives_the_same_events(case: tuple[str, list[str]]) -> None:
    text, chunks = case
    assert parse(*chunks) == parse(text) == parse(*text)


@given(surface)
def test_no_raw_tag_is_ever_shown(text: str) -> None:
    events = parse(*text)
    visible = [shown(events)]
    for event in events:
        match event:
            case RegionFound():
                visible.append(event.text)
            case TaskCall():
                visible += [event.prompt, *(part.phrase for part in event.regions)]
            case GrammarWarning():
                visible.append(event.message)
    assert not [words for words in visible if ANY_TAG.search(words)]


@given(surface)
def test_events_are_consistent(text: str) -> None:
    """Phrases and calls are numbered from 0 without gaps, a region follows its phrase's text, a call its start."""
    events = parse(text)
    started = [event.index for event in events if isinstance(event, CallStarted)]
    called = [event.index for event in events if isinstance(event, TaskCall)]
    assert started == list(range(len(started)))
    assert called == sorted(called) and set(called) <= set(started)
    said: dict[int, str] = {}
    for event in events:
        if isinstance(event, TextDelta) and event.phrase is not None:
            said[event.phrase] = said.get(event.phrase, "") + event.text
        elif isinstance(event, RegionFound):
            assert event.text == " ".join(said[event.phrase].split())
            assert bool(event.box) != bool(event.span)


@given(st.text(max_size=200).filter(lambda text: "<" not in text))
def test_text_without_brackets_passes_unchanged(text: str) -> None:
    assert shown(parse(text)) == text


@given(st.text(max_size=200))
def test_a_closed_parser_is_empty(text: str) -> None:
    parser = StreamParser()
    parser.feed(text)
    parser.close()
    assert parser.close() == []


# ---- linear work, counted and not timed ----


def lines_run(action: Callable[[], object]) -> int:
    """Lines of ``parser.py`` that ``action`` executes."""
    count = 0

    def trace(frame: Any, event: str, argument: Any) -> Any:
        nonlocal count
        count += event == "line"
        return trace if frame.f_code.co_filename == parser_module.__file__ else None

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        action()
    finally:
        sys.settrace(before)
    return count


def held_characters(parser: StreamParser) -> int:
    """All text that the parser keeps between two feeds."""
    state = vars(parser)
    return len(state["_before_held"] + state["_held"]) + sum(map(len, state["_payload"])) + sum(map(len, state["_said"]))


PERIOD = f"A dog < 3 <p>on the mat</p>{BOX_TEXT} and <b <seg><ref>img-1</ref>it{BOX_TEXT}</seg> "


def test_a_feed_costs_the_same_however_long_the_answer_is() -> None:
    """No feed looks back: late periods cost exactly what early ones do, and next to nothing is kept in between."""
    parser = StreamParser()
    costs = []
    for _ in range(200):
        costs.append(lines_run(lambda: [parser.feed(character) for character in PERIOD]))
        assert held_characters(parser) == 0
    assert len(set(costs[1:])) == 1


@pytest.mark.parametrize(
    "period", [PERIOD, "<", "a<b", "<p>", "<p>a", "<box>", "<box>[1", "<seg>", "<seg>a ", "</p>", BOX_TEXT, "<p>x</p><ref>img-1</ref>"]
)
def test_work_grows_with_the_length_and_no_faster(period: str) -> None:
    def work(repeats: int) -> int:
        parser = StreamParser()
        return lines_run(lambda: (parser.feed(period * repeats), parser.close()))

    assert work(800) <= 2.2 * work(400)
