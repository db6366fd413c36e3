"""People at their browsers: what a clinician and a patient do, step by step, as a person would."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from playwright.sync_api import Browser, BrowserContext, BrowserType, Page, expect, sync_playwright

from tests.browser.product import CLINICIAN, Product

CHROMIUM = os.environ.get("CHROMIUM", "/usr/bin/chromium")
ARGUMENTS = [
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
    "--autoplay-policy=no-user-gesture-required",
]
#: lets a test look into the page's own peer connections, also those that it makes in a frame, and tells when each was
#: told to restart ICE
WATCH = """
(() => {
  const Native = window.RTCPeerConnection;
  window.connections = window.parent.connections ?? [];
  window.restarts = window.parent.restarts ?? [];
  const { restartIce } = Native.prototype;
  Native.prototype.restartIce = function () {
    window.restarts.push(Date.now());
    return restartIce.call(this);
  };
  window.RTCPeerConnection = function (...given) {
    const made = new Native(...given);
    window.connections.push(made);
    return made;
  };
  window.RTCPeerConnection.prototype = Native.prototype;
  Object.setPrototypeOf(window.RTCPeerConnection, Native);
})();
"""


class Asked(Protocol):
    """A page that can be asked: Playwright's, or one of tests.browser.firefox."""

    def evaluate(self, question: str, /) -> Any: ...

    def click(self, selector: str, /) -> None: ...

    def wait_for_timeout(self, milliseconds: float, /) -> None: ...


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright, launched(playwright.chromium) as browser:
        yield browser


@contextmanager
def launched(kind: BrowserType, *more: str) -> Iterator[Browser]:
    # Playwright's own "--headless" is the old mode on some versions; ours is in ARGUMENTS.
    browser = kind.launch(executable_path=CHROMIUM, headless=False, args=[*ARGUMENTS, *more])
    try:
        yield browser
    finally:
        browser.close()


def visitor(browser: Browser, *, width: int = 1280, height: int = 800, dark: bool = False) -> BrowserContext:
    context = browser.new_context(
        ignore_https_errors=True,
        viewport={"width": width, "height": height},
        color_scheme="dark" if dark else "light",
        permissions=["camera", "microphone", "clipboard-read", "clipboard-write"],
    )
    context.add_init_script(WATCH)
    context.set_default_timeout(15_000)
    return context


def sign_in(context: BrowserContext, product: Product, email: str = CLINICIAN) -> Page:
    """Sign in by the pages, once for each person; later browsers of hers get the same session."""
    page = context.new_page()
    if email in product.sessions:
        context.add_cookies(product.sessions[email])
        page.goto(product.origin)
        return page
    page.goto(f"{product.origin}/signin/")
    page.get_by_label("E-mail").fill(email)
    page.get_by_label("Password").fill(product.password)
    page.get_by_role("button", name="Continue").click()
    page.get_by_label("One-time code").fill(product.code(email))
    page.get_by_role("button", name="Sign in").click()
    page.wait_for_url(lambda url: "/signin/" not in url)
    product.sessions[email] = context.cookies()
    return page


def expect_stage(page: Page, stage: str) -> None:
    expect(page.locator(f"[data-stage={stage}]").first).to_be_attached(timeout=15_000)


def until(page: Asked, question: str, *, seconds: float = 20) -> None:
    """Ask the page until it says yes. Playwright's own wait needs `eval`, which the product's policy forbids."""
    for _ in range(int(seconds * 10)):
        if page.evaluate(question):
            return
        page.wait_for_timeout(100)
    raise AssertionError(f"still not so after {seconds} s: {question.strip()}")
