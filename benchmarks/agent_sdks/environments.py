"""The SDKs that are compared, each in a virtual environment of its own: what they need does not go together.

`python -m benchmarks.agent_sdks --install` makes them, with the versions in `pins/`. Nothing else does.
"""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.loadgen import CACHE

PINS = Path(__file__).parent / "pins"
ENVIRONMENTS = CACHE / "agent-sdks"
INSTALL = "python -m benchmarks.agent_sdks --install"


@dataclass(frozen=True, kw_only=True)
class Side:
    """One store: its name in the report, and how a process measures it."""

    name: str
    module: str
    "Of this package."
    options: tuple[str, ...] = ()
    environment: str | None = None
    "Whose interpreter runs it, and the name of its pins; None: this one."
    alone: int = 10
    "Conversations in which turns are taken one at a time."
    has_bulk: bool = True
    "It can append a question and an answer at once."
    is_short: bool = True
    "It is played in a short round too."
    reads: str = ""
    "What the short read-back is."

    def interpreter(self, environments: Path) -> str:
        """The Python that has what this side needs."""
        return sys.executable if self.environment is None else str(_python(environments / self.environment))

    def is_installed(self, environments: Path) -> bool:
        """It can be measured, and with the pinned versions."""
        if self.environment is None:
            return True
        stamp = environments / self.environment / ".installed"
        return stamp.exists() and stamp.read_text() == _pins(self.environment).read_text()


SOJOURN = Side(
    name="Sojourn",
    module="sojourn_runtime",
    reads="the session with its context, and the last 10 events by `history`",
)
PEERS = (
    Side(
        name="OpenAI Agents SDK SQLiteSession",
        module="openai_session",
        environment="openai",
        reads="the last 10 items by `get_items(10)`",
    ),
    Side(
        name="LangGraph SqliteSaver",
        module="langgraph_saver",
        options=("--plain",),
        environment="langgraph",
        reads="the whole state by `get_tuple`: there is no shorter read",
    ),
    Side(
        name="LangGraph AsyncSqliteSaver",
        module="langgraph_saver",
        environment="langgraph",
        is_short=False,
        reads="the whole state by `aget_tuple`: there is no shorter read",
    ),
    Side(
        name="Google ADK DatabaseSessionService",
        module="adk_service",
        environment="adk",
        alone=1,  # growing one to full length takes it half a minute
        has_bulk=False,
        reads="state and the last 10 events by `get_session(num_recent_events=10)`",
    ),
)


def install(environments: Path = ENVIRONMENTS) -> None:
    """Make what is missing or has other versions than the pinned ones. Raises CalledProcessError."""
    for name in sorted({side.environment for side in PEERS if side.environment is not None}):
        side = next(side for side in PEERS if side.environment == name)
        if side.is_installed(environments):
            continue
        place = environments / name
        subprocess.run([sys.executable, "-m", "venv", "--clear", str(place)], check=True)
        pip = [str(_python(place)), "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
        subprocess.run([*pip, "-r", str(_pins(name))], check=True)
        (place / ".installed").write_text(_pins(name).read_text())


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


def _pins(name: str) -> Path:
    return PINS / f"{name}.txt"
