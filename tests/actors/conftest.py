from pathlib import Path

import pytest


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where a test's database may be."""
    return tmp_path / "sojourn.db"
