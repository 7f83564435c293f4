"""Whose conversations they are: a login is an owner of its own, another than the browser it came with."""

from pathlib import Path

import pytest

from unified_demo.errors import UnifiedError
from unified_demo.history import History
from unified_demo.messages import Message, TextPart
from unified_demo.ui.drawer import Drawer
from unified_demo.ui.visit import Visit

KEY = "0123456789abcdef" * 4
"""What one browser keeps."""


@pytest.fixture
def drawer(tmp_path: Path) -> Drawer:
    return Drawer(History(tmp_path / "kept.sqlite", tmp_path / "media"))


def entered(drawer: Drawer, key: str | None, user: str | None) -> Visit:
    visit = Visit()
    drawer.enter(visit, key, user)
    return visit


def asked(drawer: Drawer, visit: Visit, text: str) -> str:
    """Keep a conversation of one question; returns its key."""
    visit.begin(Message("user", (TextPart(text),)))
    visit.settle()
    drawer.keep(visit)
    return visit.key


def test_a_login_and_its_browser_are_two_owners(drawer: Drawer) -> None:
    ann, ben, nobody = (entered(drawer, KEY, user) for user in ("ann", "ben", None))
    assert len({ann.owner, ben.owner, nobody.owner}) == 3
    assert ann.owner == entered(drawer, None, "ann").owner, "a login is the same one in every browser"
    assert nobody.owner == entered(drawer, KEY, None).owner != entered(drawer, None, None).owner


def test_a_name_cannot_be_chosen_to_be_a_browser_or_the_other_way_round(drawer: Drawer) -> None:
    browser = entered(drawer, KEY, None)
    assert entered(drawer, None, browser.owner).owner != browser.owner
    forged = entered(drawer, "user:ann".ljust(64), None)
    assert forged.owner != entered(drawer, None, "ann").owner


@pytest.mark.parametrize(("mine", "theirs"), [("ann", None), (None, "ann"), ("ann", "ben")])
def test_what_one_owner_keeps_another_neither_sees_opens_renames_nor_deletes(drawer: Drawer, mine: str | None, theirs: str | None) -> None:
    owner, other = entered(drawer, KEY, mine), entered(drawer, KEY, theirs)
    key = asked(drawer, owner, "my secret")
    assert "my secret" in drawer.html(owner) and "my secret" not in drawer.html(other)
    assert "my secret" not in drawer.html(other, "secret")
    with pytest.raises(UnifiedError, match="gone"):
        drawer.open(other, key)
    drawer.rename(other, key, "stolen")
    drawer.delete(other, key)
    back = entered(drawer, None if mine else KEY, mine)
    drawer.open(back, key)
    assert back.conversation == owner.conversation and "my secret" in drawer.html(back)
