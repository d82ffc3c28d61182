"""Where Pykka's suite comes from, and how a second runtime gets into it."""

from __future__ import annotations

import subprocess
import sys
import tarfile
from importlib.metadata import version
from importlib.util import find_spec
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

# Right behind this, the suite's conftest takes the runtimes as parameters of the fixture that all tests use.
ANCHOR = '@pytest.fixture(scope="session", params=RUNTIMES.values())\n'

SECOND_RUNTIME = """\
from sojourn.actors.futures import LoopFuture
from sojourn.actors.loop import LoopActor

RUNTIMES["loop"] = pytest.param(
    Runtime(
        name="loop",
        actor_class=LoopActor,
        event_class=threading.Event,
        future_class=LoopFuture,
        sleep_func=time.sleep,
    ),
    id="loop",
)


"""


class SuiteChanged(Exception):
    """Pykka's conftest is not built as it was: look how its runtimes get into the fixture now."""


def fetch(cache: Path) -> Path:
    """The unpacked sdist of the installed Pykka, below `cache`; downloaded only when it is not there yet."""
    name = f"pykka-{version('pykka')}"
    archive = cache / f"{name}.tar.gz"
    if not archive.exists():
        pip(
            "download",
            "--no-deps",
            "--no-binary",
            "pykka",
            "--dest",
            str(cache),
            f"pykka=={version('pykka')}",
        )
    with tarfile.open(archive) as sdist:
        sdist.extractall(cache, filter="data")
    return cache / name


def needs(cache: Path) -> Path:
    """A folder with what the suite imports and our development set-up may lack."""
    folder = cache / "pykka-suite-needs"
    if find_spec("pytest_mock") is None and not (folder / "pytest_mock").exists():
        pip("install", "--no-deps", "--target", str(folder), "pytest-mock")
    return folder


def pip(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--quiet", *arguments], check=True)


def add_runtime(conftest: str) -> str:
    """The text of the suite's conftest with `LoopActor` among its runtimes."""
    if conftest.count(ANCHOR) != 1:
        raise SuiteChanged(f"expected once: {ANCHOR!r}")
    return conftest.replace(ANCHOR, SECOND_RUNTIME + ANCHOR)
