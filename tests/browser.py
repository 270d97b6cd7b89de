"""Headless Chromium over its debugging pipe: a page at a width, in light or dark, its errors, and scripts in it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
REASON = "no chromium on this machine"
FLAGS = ("--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run", "--hide-scrollbars")
ERRORS = ("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
# Elements that reach out of the window; what scrolls within its own box does not count.
OVERFLOW = """
[...document.querySelectorAll("body *")].filter((each) => {
  const box = each.getBoundingClientRect();
  return box.right > innerWidth + 1 && box.width > 1 && !each.closest(".scroll, svg, .hidden, caption");
}).map((each) => each.outerHTML.slice(0, 120))
"""


class Page:
    """A tab."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read, self._number, self._rest = write, read, 0, b""
        self.session: str | None = None
        self.errors: list[str] = []
        self._events: set[str] = set()

    def call(self, method: str, **parameters: Any) -> Any:
        """Send a command of the DevTools protocol and return its result."""
        self._number += 1
        order = {"id": self._number, "method": method, "params": parameters}
        if self.session is not None:
            order["sessionId"] = self.session
        os.write(self._write, json.dumps(order).encode() + b"\0")
        while True:
            answer = self._message()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]

    def _message(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            received = os.read(self._read, 1 << 20)
            assert received, "the browser has ended"
            self._rest += received
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        self._events.add(found.get("method", ""))
        if found.get("method") in ERRORS:
            self.errors.append(json.dumps(found["params"])[:500])
        return found

    def open(self, path: Path, *, width: int, dark: bool = False, scripts: bool = True) -> None:
        """Show a file and wait until it is loaded."""
        self.call(
            "Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500
        )
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.call("Emulation.setEmulatedMedia", features=[scheme])
        self.call("Emulation.setScriptExecutionDisabled", value=not scripts)
        self._events.clear()
        self.call("Page.navigate", url=path.as_uri())
        while "Page.loadEventFired" not in self._events:
            self._message()

    def value(self, expression: str) -> Any:
        """Evaluate JavaScript and return its value."""
        found = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in found, found
        return found["result"].get("value")

    def overflow(self) -> list[str]:
        """Return the elements that reach out of the window to the right; the page itself if it scrolls sideways."""
        wide = self.value("document.documentElement.scrollWidth > innerWidth")
        return (["the page"] if wide else []) + self.value(OVERFLOW)


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start Chromium with an empty profile and open a tab."""
    assert CHROMIUM is not None
    order_read, order_write = os.pipe()
    answer_read, answer_write = os.pipe()
    script = f'exec "$@" 3<&{order_read} 4>&{answer_write}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", CHROMIUM, *FLAGS, "--remote-debugging-pipe", f"--user-data-dir={profile}"],
        pass_fds=(order_read, answer_write),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(order_read)
    os.close(answer_write)
    try:
        page = Page(order_write, answer_read)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            page.call(f"{domain}.enable")
        yield page
        page.session = None
        page.call("Browser.close")
    finally:
        os.close(order_write)
        os.close(answer_read)
        process.kill()
        process.wait()
