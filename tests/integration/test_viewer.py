"""The viewer's server: who reaches it, what it serves, and the command that starts it."""

from __future__ import annotations

import base64
import io
import os
import re
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from bokeh.client import pull_session
from bokeh.models import Spinner
from PIL import Image
from tornado.httpclient import HTTPClientError, HTTPRequest
from tornado.ioloop import IOLoop
from tornado.websocket import websocket_connect

import distbragg as db
from distbragg.cli.main import main
from distbragg.viewer.serve import Viewer

from .conftest import tiny_sweep
from .forwarder import forwarded

EVIL = "</title><script>alert(1)</script>"


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("viewer") / "RUN"
    db.sweep(tiny_sweep(title=EVIL), path, cluster="serial", progress=False)
    return path


@pytest.fixture(scope="module")
def viewer(run: Path) -> Iterator[Viewer]:
    with db.view(run) as opened:
        yield opened


def status_of(url: str) -> int:
    try:
        with urllib.request.urlopen(url) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        error.close()
        return error.code


@pytest.mark.spec("VIE-1")
def test_it_listens_on_the_loopback_interface_alone(viewer):
    listening = [
        connection.laddr
        for connection in psutil.Process().net_connections("inet")
        if connection.status == psutil.CONN_LISTEN and connection.laddr.port == viewer.port
    ]
    assert [address.ip for address in listening] == ["127.0.0.1"]
    # Every address of 127.0.0.0/8 is this machine; the server is on one of them.
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", viewer.port), timeout=5).close()


@pytest.mark.spec("VIE-1")
def test_who_does_not_know_the_secret_sees_nothing(viewer):
    base = f"http://127.0.0.1:{viewer.port}/"
    assert status_of(viewer.url) == 200
    assert len(viewer.url) - len(base) >= 32
    for path in ("", "ws", "static/js/bokeh.min.js", "autoload.js", "metadata"):
        assert status_of(base + path) == 404
    assert status_of(viewer.url[:-2] + "/") == 404


@pytest.mark.spec("VIE-1")
@pytest.mark.parametrize(
    ("origin", "taken"),
    [
        ("http://localhost:9999", True),
        ("http://127.0.0.1:5006", True),
        ("http://evil.example", False),
        ("http://localhost.evil.example:5006", False),
        ("null", False),
    ],
)
def test_pages_of_this_machine_alone_speak_to_it_whatever_the_port(viewer, origin, taken):
    """Through a tunnel the port of the page is another one than the server's."""
    page = urllib.request.urlopen(viewer.url).read().decode()
    (token,) = re.findall(r'"token":"([^"]+)"', page)
    url = viewer.url.replace("http", "ws") + "ws"
    request = HTTPRequest(url, headers={"Origin": origin})

    async def speak() -> int:
        try:
            opened = await websocket_connect(request, subprotocols=["bokeh", token])
        except HTTPClientError as error:
            return error.code
        opened.close()
        return 101

    loop = IOLoop(make_current=False)
    try:
        assert loop.run_sync(speak) == (101 if taken else 403)
    finally:
        loop.close(all_fds=True)


@pytest.mark.spec("VIE-1")
def test_everything_a_page_loads_comes_from_the_address_it_was_opened_by(viewer):
    page = urllib.request.urlopen(viewer.url).read().decode()
    secret = viewer.url.rstrip("/").rpartition("/")[2]
    loaded = re.findall(r'(?:src|href)="([^"]+)"', page)
    held = [address for address in loaded if address.startswith("data:image/png;base64,")]
    assert len(held) == 1
    assert len(loaded) > 2
    assert all(a.startswith(f"/{secret}/static/") for a in loaded if a not in held)
    assert f":{viewer.port}" not in page, "behind a tunnel the port is another one"


@pytest.mark.spec("VIE-1")
def test_frames_travel_through_a_forwarded_port(viewer, run):
    with forwarded(viewer.port) as port:
        url = viewer.url.replace(f":{viewer.port}/", f":{port}/")
        assert port != viewer.port
        assert status_of(url) == 200
        session = pull_session(url=url.rstrip("/"))
        try:
            (source,) = [m for m in session.document.models if "image" in getattr(m, "data", {})]
            assert source.data["image"][0].shape == (17, 23)
        finally:
            session.close()


@pytest.mark.spec("VIE-12")
def test_the_frame_comes_with_the_page_before_any_script(viewer, run):
    page = urllib.request.urlopen(viewer.url).read().decode()
    held = re.search(r'src="data:image/png;base64,([^"]+)"', page)
    assert held.start() < page.index("<script")
    with Image.open(io.BytesIO(base64.b64decode(held[1]))) as picture:
        shown = np.asarray(picture.convert("L"), dtype=float)
    values = np.asarray(db.open_stack(run).images[0, 0])
    assert shown.shape == values.shape
    # Dark on white: the greater the value, the darker.
    order = np.argsort(values, axis=None)
    assert (np.diff(shown.ravel()[order]) <= 0.0).all()
    assert shown.min() < shown.max()


@pytest.mark.spec("VIE-2")
def test_a_title_injects_no_html(viewer):
    page = urllib.request.urlopen(viewer.url).read().decode()
    assert "<script>alert(1)" not in page
    assert "&lt;/title&gt;&lt;script&gt;alert(1)" in page


@pytest.mark.spec("VIE-6")
def test_a_browser_that_asks_for_a_frame_gets_it(viewer):
    session = pull_session(url=viewer.url.rstrip("/"))

    def picture() -> Any:
        again = pull_session(session_id=session.id, url=viewer.url.rstrip("/"))
        (source,) = [m for m in again.document.models if "image" in getattr(m, "data", {})]
        again.close()
        return source.data["image"][0]

    try:
        before = picture()
        assert before.dtype == "uint8", "256 levels are what travels"
        assert before.shape == (17, 23)
        spinners = session.document.select({"type": Spinner})
        (frame,) = [one for one in spinners if one.title == "frame, 0 to 14"]
        frame.value = 7
        session.force_roundtrip()
        assert any((picture() != before).any() for _ in range(100))
    finally:
        session.close()


@pytest.mark.spec("VIE-10")
def test_the_command_tells_address_and_tunnel_and_ends_by_interrupt(run):
    command = [sys.executable, "-m", "distbragg", "view", str(run)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(4)]
        url = lines[0].strip().rpartition(" ")[2]
        assert status_of(url) == 200
        port = url.split(":")[2].partition("/")[0]
        assert f"ssh -N -L {port}:127.0.0.1:{port} {socket.gethostname()}" in lines[2]
        secret = url.rstrip("/").rpartition("/")[2]
        argv = b" ".join(Path(f"/proc/{process.pid}/cmdline").read_bytes().split(b"\0"))
        assert secret.encode() not in argv, "all users see the list of processes"
        os.kill(process.pid, signal.SIGINT)
        _, told = process.communicate(timeout=60)
        assert process.returncode == 130
        assert told.strip() == "distbragg: interrupted", "there is nothing to resume"
    finally:
        process.kill()
        process.wait()


@pytest.mark.spec("VIE-10")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["/nowhere/RUN"], 2, "/nowhere/RUN"),
        (["{run}", "--frame", "15"], 2, "there is no frame 15"),
        (["{run}", "--set", "noise.seed=1"], 2, "changes a specification"),
        (["{run}", "--port", "{taken}"], 6, "is taken by another program"),
    ],
)
def test_bad_input_is_one_line(run, capsys, arguments, status, said):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert main(["view", *(a.format(run=run, taken=port) for a in arguments)]) == status
    told = capsys.readouterr().err
    assert said in told
    assert told.count("\n") == 1
