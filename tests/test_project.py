"""The checkout is what it says: links, wheel, imports, public names, nothing private in a file."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

import sojourn

ROOT = Path(__file__).parent.parent
ROOMS = ("actors", "gateway", "storage")
MADE = {".git", ".venv", ".cache", "build", "dist", "out", "__pycache__", ".hypothesis"}


def sources(folder: Path) -> Iterator[Path]:
    """Every file of the checkout below `folder` that is kept, links not followed."""
    for path in sorted(folder.iterdir()):
        if path.name in MADE or path.name.endswith(("_cache", ".egg-info")) or path.is_symlink():
            continue
        if path.is_dir():
            yield from sources(path)
        elif path.suffix not in {".db", ".png", ".pyc", ".so"}:
            yield path


@pytest.mark.parametrize("room", ROOMS)
def test_link_leads_to_the_folder(room: str) -> None:
    link = ROOT / "sojourn" / room
    assert link.is_symlink()
    assert link.is_dir()
    assert link.samefile(ROOT / room)


def test_wheel_holds_every_file(tmp_path: Path) -> None:
    checkout = tmp_path / "checkout"
    shutil.copytree(ROOT, checkout, symlinks=True, ignore=lambda _, names: [*MADE.intersection(names)])
    subprocess.run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, checkout],
        check=True,
        capture_output=True,
    )
    (wheel,) = tmp_path.glob("*.whl")
    held = set(zipfile.ZipFile(wheel).namelist())
    kept = [path.relative_to(ROOT) for room in ROOMS for path in sources(ROOT / room)]
    files = {f"sojourn/{path.as_posix()}" for path in kept}
    assert {"sojourn/gateway/web/static/index.html", "sojourn/gateway/web/static/sojourn.js"} <= files
    assert files <= held
    assert {"sojourn/py.typed", "sojourn/__init__.py", "sojourn/__main__.py"} <= held
    assert not [name for name in held if not name.startswith(("sojourn/", "sojourn-"))]


def test_import_contracts_hold() -> None:
    linter = Path(sys.executable).with_name("lint-imports")
    result = subprocess.run([linter, "--no-cache"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout


def test_no_file_imports_a_room_by_its_bare_name() -> None:
    """From the checkout's root `import actors` would load a second copy with other classes."""
    found: list[str] = []
    suspicious = re.compile(rf"^\s*(?:from|import)\b.*(?<![\w.])(?:{'|'.join(ROOMS)})\b", re.MULTILINE)
    for path in sources(ROOT):
        if path.suffix != ".py" or not suspicious.search(text := path.read_text("utf-8")):
            continue
        for node in ast.walk(ast.parse(text)):
            names: list[str] = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and not node.level:
                names = [node.module or ""]
            found += [f"{path}: {name}" for name in names if name.partition(".")[0] in ROOMS]
    assert not found


def test_public_names_are_these() -> None:
    assert sorted(sojourn.__all__) == [
        "Client",
        "Runtime",
        "RuntimeConfig",
        "SessionConfig",
        "__version__",
        "connect",
    ]
    for name in sojourn.__all__:
        assert getattr(sojourn, name) is not None


def test_no_file_names_a_machine_or_a_package_index() -> None:
    private = re.compile(
        r"(?<![\w.~-])/(?:work|root|home|opt)/|pypi\.org|pythonhosted|npmjs|debian\.org|(?:extra-)?index-url|find-links"
    )
    found: list[str] = []
    for path in sources(ROOT):
        if path == Path(__file__):
            continue
        text = path.read_text("utf-8")
        for match in private.finditer(text):
            number = text.count("\n", 0, match.start()) + 1
            found.append(f"{path.relative_to(ROOT)}:{number}: {text.splitlines()[number - 1].strip()}")
    assert not found


def test_version_is_in_the_changelog_or_unreleased() -> None:
    changelog = (ROOT / "CHANGELOG.md").read_text("utf-8")
    assert f"## [{sojourn.__version__}]" in changelog or "## [Unreleased]" in changelog


def test_every_dependency_has_its_reason() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    reasons = (ROOT / "docs" / "dependencies.md").read_text("utf-8")
    table = [line.split(" | ")[0].lower() for line in reasons.splitlines() if line.startswith("| `")]
    for block in re.findall(r"(?:dependencies|dev) = \[(.*?)\n\]", project, re.DOTALL):
        names = re.findall(r'^    "([a-z][a-z0-9-]*)', block.lower(), re.MULTILINE)
        assert len(names) > 5
        assert not [name for name in names if not any(f"`{name}`" in cell for cell in table)]


def test_constraints_pin_every_dependency() -> None:
    project = (ROOT / "pyproject.toml").read_text("utf-8")
    constraints = (ROOT / "constraints.txt").read_text("utf-8").lower()
    for block in re.findall(r"(?:dependencies|dev) = \[(.*?)\n\]", project, re.DOTALL):
        for name in re.findall(r'^    "([A-Za-z][A-Za-z0-9-]*)', block.lower(), re.MULTILINE):
            assert f"\n{name.replace('-', '_')}==" in constraints.replace("-", "_"), name


def test_every_word_of_the_makefile_is_a_rule() -> None:
    for word in ("setup", "demo", "test", "lint", "types", "bench", "docs", "check", "conformance"):
        result = subprocess.run(["make", "-n", word], cwd=ROOT, capture_output=True, text=True, check=False)
        assert result.returncode == 0, result.stderr
        assert result.stdout


def test_ci_runs_the_whole_check() -> None:
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make check" in script.read_text("utf-8")
