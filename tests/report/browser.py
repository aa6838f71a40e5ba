"""A real browser for pages: Chromium and Playwright, where there are both."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
try:
    from playwright.sync_api import Page, sync_playwright
except ModuleNotFoundError:
    CHROMIUM, Page = None, Any


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=root)
        yield started
        started.close()


@pytest.fixture
def visit(browser: Any) -> Iterator[Callable[..., Page]]:
    """`visit(file)` opens a page; at the end it must have said nothing wrong and asked nothing of the network."""
    wrong: list[str] = []
    asked: list[str] = []
    contexts = []

    def visit(file: Path, ready: str = "#commands code", **options: Any) -> Page:
        contexts.append(browser.new_context(**{"viewport": {"width": 1280, "height": 800}, **options}))
        page = contexts[-1].new_page()
        page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
        page.on("pageerror", lambda error: wrong.append(str(error)))
        page.on("dialog", lambda dialog: wrong.append(f"dialog: {dialog.message}"))
        page.on("request", lambda request: asked.append(request.url[:100]))
        page.goto(file.as_uri())
        page.wait_for_selector(ready, state="attached")
        return page

    yield visit
    for context in contexts:
        context.close()
    assert wrong == []
    assert {url.split(":")[0] for url in asked} <= {"file", "data", "blob"}
