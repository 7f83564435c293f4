"""The page's words in both languages: none is missing, none is left over, braces agree."""

import ast
import re
from pathlib import Path

import pytest

from unified_demo.grammar import TASKS
from unified_demo.ui import examples, panel, steps
from unified_demo.ui.words import chinese, errors_chinese, listed, say, speaking, tell

FOLDER = Path(panel.__file__).parent


def spoken_in_code() -> set[str]:
    """Every literal that stands in ``say(...)``."""
    calls = [node for file in FOLDER.glob("*.py") for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    said = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "say"]
    return {call.args[0].value for call in said if isinstance(call.args[0], ast.Constant)}


def test_every_sentence_of_the_page_is_there() -> None:
    looked_up = {spec.title for spec in TASKS.values()} | set(steps._STEP_WORDS.values()) | {words for _, words in panel._TIMINGS}
    looked_up |= {text for _, text, _ in examples.EXAMPLES}
    looked_up |= {text for pair in panel._TERMS for text in pair}
    assert spoken_in_code() | looked_up <= set(chinese())


@pytest.mark.parametrize("english", sorted(chinese()))
def test_braces_agree(english: str) -> None:
    assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese()[english]))


VISITORS = (
    "media recordings arrays ply signals intake router engine safety history transcript "
    "experts/generation experts/layout experts/editing experts/restyling "
    "experts/arrangement experts/layered experts/layers "
)
VISITORS += "experts/region_editing experts/region_wishes experts/segmentation experts/grounded_sam experts/video ui/keeping parser"
OPERATORS = ("cannot be imported", "cannot be loaded", "needs at least one frame", " is a bool array", " is a finite array")
"""What only the operator can mend, or only a program can do wrong."""


def sentences_of_errors() -> set[str]:
    """Every sentence that is raised, or told as a warning, in the modules whose errors visitors meet; ``{}`` for what is filled in."""
    found = set()
    for name in VISITORS.split():
        for node in ast.walk(ast.parse((FOLDER.parent / f"{name}.py").read_text("utf-8"))):
            function = node.func if isinstance(node, ast.Call) else None
            called = function.id if isinstance(function, ast.Name) else function.attr if isinstance(function, ast.Attribute) else ""
            if not isinstance(node, ast.Call) or not called.endswith(("Error", "_warn", "Warning")) or not node.args:
                continue
            match node.args[0]:
                case ast.Constant(str(sentence)):
                    found.add(sentence)
                case ast.JoinedStr(values):
                    found.add("".join(str(value.value) if isinstance(value, ast.Constant) else "{}" for value in values))
    return {sentence for sentence in found if not any(words in sentence for words in OPERATORS)}


def test_every_error_that_a_visitor_can_meet_is_there() -> None:
    found = sentences_of_errors()
    assert len(found) > 50
    assert found <= set(errors_chinese())


@pytest.mark.parametrize("english", sorted(errors_chinese()))
def test_what_is_filled_in_stays(english: str) -> None:
    places = re.findall(r"{(\d)}", errors_chinese()[english])
    assert sorted(places) == [str(place) for place in range(english.count("{}"))]


def test_errors_are_told_with_what_is_filled_in() -> None:
    error = "dog.txt: The file is text; JPEG, PNG, WebP, GIF, BMP, TIFF and AVIF pictures are allowed, so please send one of these."
    assert tell(error) == error
    with speaking("zh"):
        told = tell(error)
        assert told.startswith("dog.txt：这个文件是文本，") and "AVIF 图片" in told
        assert "图像分割" in tell("The segmentation failed (ValueError); the rest of the answer stands, try again.")
        assert tell("nobody said this: ever") == "nobody said this: ever"


def test_the_language_ends_with_its_block() -> None:
    with speaking("zh"):
        assert say("Use {id} as input", id="img-1") == "把 img-1 用作输入"
    assert say("Use {id} as input", id="img-1") == "Use img-1 as input"
    with speaking("zh"):
        assert say("words of a model {with} braces") == "words of a model {with} braces"


def test_lists_have_the_comma_of_the_language() -> None:
    assert listed(["a", "b"]) == "a, b"
    with speaking("zh"):
        assert listed(["a", "b"]) == "a、b"
