"""A process that ends sessions on demand ends them, and leaves the others alone."""

from pathlib import Path

import pytest

from benchmarks.endings import Endings
from benchmarks.servers import HarnessError


def test_sessions_stop_and_expire_beside_the_others(tmp_path: Path) -> None:
    with Endings(tmp_path / "sessions.db", 20) as process:
        assert process.fill_seconds > 0
        assert process.cpu_us("stop", 10) > 0
        assert process.cpu_us("expire", 10) > 0


def test_what_cannot_be_filled_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(HarnessError, match="could not be made"):
        Endings(tmp_path / "no-such-folder" / "sessions.db", 1)
