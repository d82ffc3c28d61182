"""Run Pykka's suite on both runtimes; what is given on the command line goes to pytest."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.pykka_conformance import suite

CACHE = Path(__file__).parents[2] / ".cache"


def main(*options: str) -> int:
    """The exit code of pytest: 0 when every test passed on both runtimes."""
    CACHE.mkdir(exist_ok=True)
    sdist = suite.fetch(CACHE)
    conftest = sdist / "tests" / "conftest.py"
    conftest.write_text(suite.add_runtime(conftest.read_text()))
    path = os.pathsep.join(filter(None, [str(suite.needs(CACHE)), os.environ.get("PYTHONPATH")]))
    # The suite's own folder and settings: our pyproject.toml lies above it and would be taken otherwise.
    pytest = [
        sys.executable,
        "-m",
        "pytest",
        "-c",
        "pyproject.toml",
        "--rootdir",
        ".",
        "-p",
        "no:cacheprovider",
    ]
    return subprocess.run(
        [*pytest, "--timeout", "60", *options, "tests"],
        cwd=sdist,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    ).returncode


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
