"""Kept conversations in a real browser: reload, restart, two browsers, search, rename, delete, export and import."""

import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from page_site import PHOTO, WAIT_MS, Site, Visitor, serve

pytestmark = pytest.mark.browser

PASSWORD = "open sesame"


@contextmanager
def entered(browser: Any, site: Site, **context: Any) -> Iterator[Visitor]:
    visitor = Visitor(browser, site.url, **context)
    yield visitor
    visitor.context.close()
    assert visitor.errors == []


def titles(visitor: Visitor) -> list[str]:
    return visitor.page.locator("#um-kept .um-open span").all_inner_texts()


def open_drawer(visitor: Visitor) -> None:
    visitor.page.get_by_role("button", name="Conversations").click()
    visitor.page.locator("#um-search").wait_for()


def test_a_reload_and_a_restart_show_the_conversation_again(browser: Any, tmp_path: Path) -> None:
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site, entered(browser, site) as visitor:
        visitor.attach(PHOTO)
        visitor.send("segment the dog")
        visitor.finished()
        visitor.page.reload()
        assert visitor.finished().locator(".um-mask").count() == 1
        state = visitor.context.storage_state()
        port = int(site.url.rstrip("/").rsplit(":", 1)[1])
    with (
        serve(tmp_path / "media", kept=tmp_path / "kept.sqlite", port=port) as site,
        entered(browser, site, storage_state=state) as visitor,
    ):
        visitor.page.locator("#um-kept .um-open").wait_for(state="attached")
        open_drawer(visitor)
        visitor.page.locator("#um-kept .um-open").click()
        answer = visitor.finished()
        assert answer.locator(".um-stage img").evaluate("image => image.complete && image.naturalWidth") == 1024
        visitor.send("hello")
        visitor.finished(2)
        assert len(site.model.turns[-1].messages) == 3
        assert titles(visitor) == ["segment the dog"]


def test_two_browsers_do_not_see_each_other_s(browser: Any, tmp_path: Path) -> None:
    with (
        serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site,
        entered(browser, site) as first,
        entered(browser, site) as second,
    ):
        first.send("my secret")
        first.finished()
        second.send("hello")
        second.finished()
        assert titles(second) == ["hello"]
        key = first.page.locator("#um-kept .um-open").get_attribute("data-key")
        second.page.evaluate("key => document.dispatchEvent(new CustomEvent('um:open', { detail: { key } }))", key)
        second.page.locator(".um-notice").get_by_text("gone").wait_for()
        assert "secret" not in second.page.locator("body").inner_text()


def test_what_a_login_keeps_is_not_its_browser_s(browser: Any, tmp_path: Path) -> None:
    """The same browser, with and without a login, and another login in it: three owners."""

    def asks(site: Site, context: Any, user: str | None, text: str) -> list[str]:
        """What the drawer lists before ``text`` is asked."""
        page = context.new_page()
        if user:
            assert context.request.post(f"{site.url}login", form={"username": user, "password": PASSWORD}).ok
        page.goto(site.url)
        page.locator("#um-kept nav").wait_for(state="attached")
        page.locator(".um-status[data-state=ready]").wait_for()
        before = page.locator("#um-kept .um-open span").all_text_contents()
        page.locator("#um-composer textarea").fill(text)
        page.locator("#um-composer .submit-button").click()
        page.locator(".um-answer[data-state=done]").wait_for()
        page.close()
        return before

    context = browser.new_context()
    context.set_default_timeout(WAIT_MS)
    logins = [("ann", PASSWORD), ("ben", PASSWORD)]
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site:
        port = int(site.url.rstrip("/").rsplit(":", 1)[1])
        assert asks(site, context, None, "nobody's") == []
        assert asks(site, context, None, "more") == ["nobody's"]
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite", port=port, auth=logins) as site:
        assert asks(site, context, "ann", "Ann's") == []
        assert asks(site, context, "ben", "Ben's") == []
        assert asks(site, context, "ann", "more") == ["Ann's"]
    context.close()


def test_new_search_rename_delete_export_import(browser: Any, tmp_path: Path) -> None:
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site, entered(browser, site) as visitor:
        page = visitor.page
        visitor.send("about foxes")
        visitor.finished()
        open_drawer(visitor)
        page.get_by_role("button", name="New conversation").click()
        page.locator(".um-welcome").wait_for()
        visitor.send("about hens")
        visitor.finished()
        page.wait_for_function("document.querySelectorAll('#um-kept li').length === 2")
        page.get_by_placeholder("Search").fill("fox")
        page.wait_for_function("document.querySelectorAll('#um-kept li').length === 1")
        page.locator("#um-kept li").hover()
        page.get_by_role("button", name="Rename").click()
        page.locator(".um-rename").fill("Reynard, a fox")
        page.keyboard.press("Enter")
        page.locator("#um-kept").get_by_text("Reynard").wait_for()
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Export all").click()
        waiting.value.save_as(tmp_path / "all.zip")
        page.wait_for_function("document.querySelectorAll('#um-kept li').length === 2")
        for left in (1, 0):
            page.locator("#um-kept li").first.hover()
            page.get_by_role("button", name="Delete").first.click()
            page.get_by_role("button", name="Delete").first.click()
            page.wait_for_function("left => document.querySelectorAll('#um-kept .um-open').length === left", arg=left)
        page.locator("#um-zip input[type=file]").set_input_files(str(tmp_path / "all.zip"))
        page.wait_for_function("document.querySelectorAll('#um-kept .um-open').length === 2")
        assert sorted(titles(visitor)) == ["Reynard, a fox", "about hens"]


def test_data_and_its_preview_are_exported_and_imported(browser: Any, tmp_path: Path) -> None:
    np.save(tmp_path / "depth.npy", np.arange(1, 401.0).reshape(20, 20))
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site, entered(browser, site) as visitor:
        page = visitor.page
        visitor.attach_all([tmp_path / "depth.npy"])
        visitor.send("keep this")
        visitor.finished()
        caption = page.locator("#um-conversation .um-data figcaption").text_content()
        open_drawer(visitor)
        with page.expect_download() as waiting:
            page.get_by_role("button", name="Export all").click()
        waiting.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as exported:
            assert sorted(Path(name).suffix for name in exported.namelist()) == [".json", ".npy", ".png"]
        page.locator("#um-kept li").hover()
        for _ in range(2):
            page.get_by_role("button", name="Delete").click()
        page.locator(".um-welcome").wait_for()
        assert {path.suffix for path in (tmp_path / "media").iterdir()} <= {".zip"}
        page.locator("#um-zip input[type=file]").set_input_files(str(tmp_path / "all.zip"))
        page.locator("#um-kept .um-open").click()
        visitor.finished()
        assert page.locator("#um-conversation .um-data figcaption").text_content() == caption and "20 × 20" in caption
        assert page.locator("#um-conversation .um-data img").evaluate("image => image.decode().then(() => image.naturalWidth)") >= 200


def test_what_is_thought_of_an_answer_is_kept_and_exported(browser: Any, tmp_path: Path) -> None:
    with serve(tmp_path / "media", kept=tmp_path / "kept.sqlite") as site, entered(browser, site) as visitor:
        visitor.send("about foxes")
        answer = visitor.finished()
        answer.get_by_role("button", name="Bad answer").click()
        answer.get_by_role("button", name="Bad answer", pressed=True).wait_for()
        answer.get_by_role("button", name="Good answer").click()
        answer.get_by_role("button", name="Good answer", pressed=True).wait_for()
        answer.get_by_role("button", name="Bad answer", pressed=False).wait_for()
        visitor.page.reload()
        answer.get_by_role("button", name="Good answer", pressed=True).wait_for()
        open_drawer(visitor)
        with visitor.page.expect_download() as waiting:
            visitor.page.get_by_role("button", name="Export all").click()
        waiting.value.save_as(tmp_path / "all.zip")
        with zipfile.ZipFile(tmp_path / "all.zip") as exported:
            assert '"liked": true' in exported.read("conversations.json").decode("utf-8")
        visitor.page.get_by_role("button", name="Conversations").click()
        answer.get_by_role("button", name="Good answer").click()
        answer.get_by_role("button", name="Good answer", pressed=False).wait_for()
