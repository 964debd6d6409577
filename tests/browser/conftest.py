"""A real JupyterLab and a real browser: Chromium, headless, of the machine's own packages.

Where there is none the tests are skipped, and say so; GRADEKIT_REQUIRE=chromium makes that a failure (CI does).
"""

from __future__ import annotations

import os
import secrets
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

PATIENCE_S = 120.0
NAMES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        missing = f"none of {', '.join(NAMES)} is on the PATH"
        if "chromium" in os.environ.get("GRADEKIT_REQUIRE", "").split(","):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Any) -> Iterator[Any]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    context.set_default_timeout(PATIENCE_S * 1e3)
    yield context.new_page()
    context.close()


@pytest.fixture
def shot(tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[Any, str], None]:
    """Take a picture of a page: into GRADEKIT_SCREENSHOTS, for people to look at."""
    folder = Path(os.environ.get("GRADEKIT_SCREENSHOTS", tmp_path))
    folder.mkdir(parents=True, exist_ok=True)
    return lambda page, name: page.screenshot(path=folder / f"{request.node.name}-{name}.png")


@pytest.fixture
def jupyter(tmp_path: Path) -> Iterator[Callable[[Path], str]]:
    """Start JupyterLab in a folder; its address, with a token. Its settings are nobody's."""
    started: list[subprocess.Popen[bytes]] = []

    def start(root: Path) -> str:
        home = tmp_path / "home"
        settings = home / ".jupyter" / "lab" / "user-settings" / "@jupyterlab" / "apputils-extension"
        settings.mkdir(parents=True, exist_ok=True)
        (settings / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')  # it would ask
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = free.getsockname()[1]
        token = secrets.token_hex(16)
        environment = {name: value for name, value in os.environ.items() if not name.startswith("JUPYTER")}
        environment |= {"HOME": str(home), "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        words = ["lab", "--no-browser", "--allow-root", "--expose-app-in-browser", f"--port={port}"]
        words += [f"--IdentityProvider.token={token}", "--ServerApp.port_retries=0"]
        with (tmp_path / "jupyter.log").open("wb") as log:
            started.append(
                subprocess.Popen(
                    [sys.executable, "-m", "jupyter", *words], cwd=root, env=environment, stdout=log, stderr=log
                )
            )
        address = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline and started[-1].poll() is None:
            with suppress(OSError), urllib.request.urlopen(f"{address}/api?token={token}", timeout=5):
                return f"{address}/{{}}?token={token}"
            time.sleep(0.2)
        pytest.fail(f"JupyterLab did not start:\n{(tmp_path / 'jupyter.log').read_text()[-2000:]}")

    yield start
    for process in started:
        process.terminate()
        with suppress(subprocess.TimeoutExpired):
            process.wait(20)
        process.kill()
