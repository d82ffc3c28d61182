"""For every test: it leaves no actor and no thread behind; how long Hypothesis searches."""

from __future__ import annotations

import gc
import os
import shutil
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest
from hypothesis import settings
from pykka import ActorRegistry

settings.register_profile("quick", max_examples=40, deadline=None)  # no test is timed
settings.register_profile("thorough", max_examples=1000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "quick"))

# The workers and a hundred commands read these same files: compiled once, whatever the shell was told.
sys.dont_write_bytecode = False
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
# sqlite-utils reads numpy where it finds it, whose idle threads would spin in each process for a while.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Thousands of small databases, and no test cuts the power: they need no disk where there is room in memory.
MEMORY: Final = Path("/dev/shm")
if os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > 4 << 30:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(MEMORY))

OF_THE_PROCESS = "sojourn-default-actors"
"""The thread of actors without a loop of their own: made once, kept until the process ends."""


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers() -> int:
    """`-n auto`: two more than can run at once, because many tests wait for a process they have started."""
    return (os.cpu_count() or 1) + 2


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The browser's tests come first: one worker has them all then, and no other starts a browser."""
    items.sort(key=lambda item: item.path.parent.name != "browser")


def pytest_collection_finish() -> None:
    """Who collects garbage is not to walk through thousands of tests each time, nor after each 700 objects:
    that took a tenth of the time.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 50, 50)


def ours(thread: threading.Thread) -> bool:
    """Is it a runtime's loop, pool or client, or the thread of an actor?"""
    name = thread.name
    return name != OF_THE_PROCESS and (name.startswith("sojourn") or "Actor-" in name)


@pytest.fixture(autouse=True)
def nothing_is_left_behind() -> Iterator[None]:
    """No actor in Pykka's registry and no thread of ours that was not there before."""
    before = set(threading.enumerate())
    actors_before = set(ActorRegistry.get_all())
    yield
    left = [thread for thread in threading.enumerate() if thread not in before and ours(thread)]
    for thread in left:
        thread.join(5.0)  # it may be ending; one that is not fails the test below
    assert [thread.name for thread in left if thread.is_alive()] == []
    assert [ref for ref in ActorRegistry.get_all() if ref not in actors_before] == []
