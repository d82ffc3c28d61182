"""README and docs are true: every Python example runs and prints what stands below it."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import typer.main

from sojourn.gateway.cli import app
from sojourn.gateway.settings_sources import load_settings
from tests.integration.server_process import ServerProcess
from tests.prepared import run_script

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *(ROOT / "docs").glob("*.md")])
FRESH = ("README.md", "protocol.md")
"""Pages whose examples get an interpreter that has read nothing yet, as a reader's has."""
DEFAULT_PORT, DEFAULT_HTTP_PORT = "7411", "7412"


class Example(NamedTuple):
    page: str
    line: int
    code: str
    prints: str | None
    """What stands in the text block right below, None where there is none."""


def blocks(language: str) -> Iterator[Example]:
    pattern = re.compile(
        rf"^```{language}\n(?P<code>.*?)^```\n(?:\n```text\n(?P<prints>.*?)^```\n)?", re.MULTILINE | re.DOTALL
    )
    for page in PAGES:
        text = page.read_text("utf-8")
        for match in pattern.finditer(text):
            line = text.count("\n", 0, match.start()) + 1
            yield Example(page.name, line, match["code"], match["prints"])


EXAMPLES = list(blocks("python"))


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    with ServerProcess(tmp_path_factory.mktemp("docs"), "--http-port", "0") as process:
        yield process


def at_ports_of(server: ServerProcess, code: str) -> str:
    """Examples talk to the default ports; here the server has picked free ones."""
    http = server.ready_line.rpartition(":")[2]
    return code.replace(DEFAULT_PORT, str(server.address[1])).replace(DEFAULT_HTTP_PORT, http)


@pytest.mark.parametrize("example", EXAMPLES, ids=[f"{each.page}:{each.line}" for each in EXAMPLES])
def test_example_runs_and_prints_what_stands_below(
    example: Example, server: ServerProcess, tmp_path: Path
) -> None:
    script = tmp_path / "example.py"
    script.write_text(at_ports_of(server, example.code), "utf-8")
    if example.page in FRESH:
        result = subprocess.run(
            [sys.executable, script], cwd=tmp_path, capture_output=True, text=True, timeout=30, check=False
        )
    else:
        result = run_script(script, environment=os.environ, folder=tmp_path)
    assert result.returncode == 0, result.stderr
    if example.prints is not None:
        assert result.stdout == example.prints


SHELL_REQUESTS = [example for example in blocks("sh") if "curl " in example.code]


@pytest.mark.parametrize(
    "example", SHELL_REQUESTS, ids=[f"{each.page}:{each.line}" for each in SHELL_REQUESTS]
)
def test_requests_in_a_shell_are_answered(example: Example, server: ServerProcess) -> None:
    script = at_ports_of(server, example.code).replace("curl ", "curl --fail-with-body ")
    result = subprocess.run(
        ["sh", "-e", "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_generated_parts_are_up_to_date() -> None:
    result = subprocess.run(
        [sys.executable, ROOT / "docs" / "generate.py", "--check"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def test_readme_shows_every_way_to_use_it() -> None:
    code = "\n".join(example.code for example in EXAMPLES if example.page == "README.md")
    for name in ("with Runtime(", "async with Runtime(", "connect(", "Client("):
        assert name in code


def test_protocol_page_has_a_whole_client_without_sojourn() -> None:
    (client,) = [example for example in EXAMPLES if example.page == "protocol.md"]
    assert "sojourn" not in client.code
    assert client.prints


@pytest.mark.parametrize("example", [*blocks("toml")], ids=lambda example: f"{example.page}:{example.line}")
def test_settings_example_is_a_settings_file(example: Example, tmp_path: Path) -> None:
    file = tmp_path / "sojourn.toml"
    file.write_text(example.code, "utf-8")
    load_settings(file=file)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text("utf-8"))
    assert not [target for target in targets if not (page.parent / target).exists()]


def test_readme_names_every_command_and_no_other() -> None:
    readme = (ROOT / "README.md").read_text("utf-8")
    table = readme.partition("## Commands")[2].partition("## ")[0]
    named = set(re.findall(r"`sojourn (\w+)", table))
    group: Any = typer.main.get_group(app)
    assert named == set(group.list_commands(None))


def test_every_word_of_the_makefile_in_the_readme_exists() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    for page in PAGES:
        for word in re.findall(r"\bmake ([a-z-]+)(?=`|\s|$)", "\n".join(_code(page.read_text("utf-8")))):
            assert f"\n{word}:" in makefile, f"{page.name}: make {word}"


def _code(text: str) -> list[str]:
    return re.findall(r"`(make [^`]*)`", text) + re.findall(r"^(make .*)$", text, re.MULTILINE)
