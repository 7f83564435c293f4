"""The page's words in both languages: none is missing, none is left over, braces agree."""

import ast
import re
from pathlib import Path

import pytest

from unified_demo.grammar import TASKS
from unified_demo.ui import panel, steps
from unified_demo.ui.words import chinese, say, speaking

FOLDER = Path(panel.__file__).parent


def spoken_in_code() -> set[str]:
    """Every literal that stands in ``say(...)``."""
    calls = [node for file in FOLDER.glob("*.py") for node in ast.walk(ast.parse(file.read_text("utf-8"))) if isinstance(node, ast.Call)]
    said = [call for call in calls if isinstance(call.func, ast.Name) and call.func.id == "say"]
    return {call.args[0].value for call in said if isinstance(call.args[0], ast.Constant)}


def test_every_sentence_of_the_page_is_there() -> None:
    looked_up = {spec.title for spec in TASKS.values()} | set(steps._STEP_WORDS.values()) | {words for _, words in panel._TIMINGS}
    assert spoken_in_code() | looked_up <= set(chinese())


@pytest.mark.parametrize("english", sorted(chinese()))
def test_braces_agree(english: str) -> None:
    assert sorted(re.findall(r"{\w+}", english)) == sorted(re.findall(r"{\w+}", chinese()[english]))


def test_the_language_ends_with_its_block() -> None:
    with speaking("zh"):
        assert say("Use {id} as input", id="img-1") == "把 img-1 用作输入"
    assert say("Use {id} as input", id="img-1") == "Use img-1 as input"
    with speaking("zh"):
        assert say("words of a model {with} braces") == "words of a model {with} braces"
