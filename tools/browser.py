"""A headless Chromium, spoken to by its own protocol: for pictures and tests of the viewer."""

from __future__ import annotations

import asyncio
import base64
import json
import shutil
import subprocess
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tornado.websocket import WebSocketClientConnection, websocket_connect

CHROMIUM = next(
    (
        path
        for name in ("chromium", "chromium-browser", "google-chrome")
        if (path := shutil.which(name))
    ),
    None,
)
"""Path of the browser; None where there is none."""

_FLAGS = (
    "--headless=new --no-sandbox --disable-gpu --no-first-run --disable-extensions "
    "--disable-background-networking --disable-component-update --hide-scrollbars "
    "--remote-debugging-port=0 --remote-allow-origins=*"
)
_KEYS = {"ArrowRight": 39, "ArrowLeft": 37, "PageDown": 34, "PageUp": 33, "Escape": 27}


class Browser:
    """One page of a browser of its own, ended with its block."""

    def __init__(self, width: int = 1400, height: int = 900) -> None:
        self._size = width, height
        self._number = 0
        self.console: list[str] = []  # errors of the page

    def __enter__(self) -> Self:
        assert CHROMIUM is not None
        self._folder = Path(tempfile.mkdtemp(prefix="distbragg-browser-"))
        size = f"--window-size={self._size[0]},{self._size[1]}"
        command = [CHROMIUM, *_FLAGS.split(), size, f"--user-data-dir={self._folder}"]
        self._process = subprocess.Popen(
            [*command, "about:blank"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        told = self._folder / "DevToolsActivePort"
        self.wait(lambda: told.is_file() and told.read_text().count("\n") >= 1, 60)
        port = int(told.read_text().split("\n")[0])
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/json/list") as answer:
            pages = [page for page in json.load(answer) if page["type"] == "page"]
        self._runner = asyncio.Runner()
        self._socket: WebSocketClientConnection = self._runner.run(
            _connect(pages[0]["webSocketDebuggerUrl"])
        )
        self.call("Page.enable")
        self.call("Runtime.enable")
        size_told = {"width": self._size[0], "height": self._size[1], "deviceScaleFactor": 1}
        self.call("Emulation.setDeviceMetricsOverride", mobile=False, **size_told)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._hang_up())
        self._runner.close()
        self._process.terminate()
        self._process.wait(20)
        shutil.rmtree(self._folder, ignore_errors=True)

    async def _hang_up(self) -> None:
        """Close the connection, and wait until it is closed."""
        self._socket.close()
        while await self._socket.read_message() is not None:
            pass

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 JSON
        """Call a method of the protocol and return its result."""
        return self._runner.run(self._call(method, parameters))

    async def _call(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        await self._socket.write_message(json.dumps(message))
        while True:
            text = await self._socket.read_message()
            assert text is not None, "the browser has gone"
            answer: dict[str, Any] = json.loads(text)
            if answer.get("method") == "Runtime.exceptionThrown":
                self.console.append(json.dumps(answer["params"]["exceptionDetails"])[:2000])
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def evaluate(self, code: str) -> Any:  # noqa: ANN401 of JavaScript
        """Return the value of an expression of JavaScript, a promise's once it is kept."""
        answer = self.call(
            "Runtime.evaluate", expression=code, awaitPromise=True, returnByValue=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def goto(self, url: str) -> None:
        """Open an address."""
        self.call("Page.navigate", url=url)

    def until(self, code: str, seconds: float = 30.0) -> Any:  # noqa: ANN401 of JavaScript
        """Wait until an expression is true, and return its value."""
        return self.wait(lambda: self.evaluate(code), seconds, code)

    @staticmethod
    def wait(what: Callable[[], Any], seconds: float, said: str = "") -> Any:  # noqa: ANN401
        """Wait until something is true, and return it."""
        end = time.monotonic() + seconds
        while not (value := what()):
            assert time.monotonic() < end, f"never true: {said}"
            time.sleep(0.02)
        return value

    def press(self, key: str) -> None:
        """Press a key."""
        code = _KEYS.get(key, ord(key[0].upper()))
        text = {} if len(key) > 1 else {"text": key}
        common = {"key": key, "windowsVirtualKeyCode": code}
        self.call("Input.dispatchKeyEvent", type="keyDown", **common, **text)
        self.call("Input.dispatchKeyEvent", type="keyUp", **common)

    def move(self, x: float, y: float) -> None:
        """Move the pointer."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def wheel(self, x: float, y: float, delta: float) -> None:
        """Turn the wheel at a place: a negative delta zooms in."""
        self.call("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=delta)

    def screenshot(self, path: Path | str) -> None:
        """Write a picture of the page."""
        answer = self.call("Page.captureScreenshot", format="png")
        Path(path).write_bytes(base64.b64decode(answer["data"]))


async def _connect(url: str) -> WebSocketClientConnection:
    return await websocket_connect(url, max_message_size=1 << 28)
