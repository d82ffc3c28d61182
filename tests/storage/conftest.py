from collections.abc import Iterator
from pathlib import Path

import pytest

from sojourn.storage import Journal, Reader


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "sojourn.db")


@pytest.fixture
def journal(path: str) -> Iterator[Journal]:
    """A store in a file."""
    with Journal.open(path) as opened:
        yield opened


@pytest.fixture(params=["full", "relaxed", "memory"])
def any_journal(request: pytest.FixtureRequest, path: str) -> Iterator[Journal]:
    """Each kind of store in turn."""
    with Journal.open(None if request.param == "memory" else path, request.param) as opened:
        yield opened


@pytest.fixture
def reader(journal: Journal) -> Iterator[Reader]:
    with journal.reader() as opened:
        yield opened


@pytest.fixture
def any_reader(any_journal: Journal) -> Iterator[Reader]:
    with any_journal.reader() as opened:
        yield opened
