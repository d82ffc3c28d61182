"""Work on a database file that no server has open: a runtime of its own for a moment."""

import asyncio
from pathlib import Path
from typing import Any

from sojourn.actors import Runtime, RuntimeConfig
from sojourn.actors.erasing import receipt_map
from sojourn.actors.errors import SessionNotFound
from sojourn.actors.mail import Caller
from sojourn.actors.messages import EraseSession
from sojourn.storage import Call, Receipt, StoreLocked, erasure
from sojourn.storage.insights import Insights, insights_path

Map = dict[str, Any]


def erase_in_file(path: str, config: RuntimeConfig, user: str | None, session: str | None) -> Map | None:
    """Erase a person or a session and stay until no byte is left, as far as nobody else is in the way.

    The receipt, and whether it is `complete`; None where there is no such session. Raises StorageError.
    """
    return asyncio.run(_erase(path, config, user, session))


async def _erase(path: str, config: RuntimeConfig, user: str | None, session: str | None) -> Map | None:
    async with Runtime(path, config=config) as runtime:
        core = runtime.core
        if user is not None:
            request = EraseSession(Caller("service"), runtime.clock.now(), None, attach=False)
            answer = await core.reception.erase_user(user, request)
        else:
            assert session is not None
            try:
                answer = await runtime.session(session).erase()
            except SessionNotFound:
                return None
        await core.erasing.settled()
        if await asyncio.to_thread(_bring_up, path):
            core.erasing.look()
            await core.erasing.settled()
        assert answer.receipt is not None
        erasure_id: str = answer.receipt["erasure_id"]
        receipt: Receipt | None = await core.tend(Call(erasure.receipt, erasure_id))
        assert receipt is not None
        return {**receipt_map(receipt), "complete": receipt.completed_at is not None}


def keep_in_file(path: str, config: RuntimeConfig) -> int:
    """Have everything go that need not be kept any more; how many sessions went. Raises StorageError."""
    return asyncio.run(_keep(path, config))


async def _keep(path: str, config: RuntimeConfig) -> int:
    async with Runtime(path, config=config) as runtime:
        await runtime.core.retention.through()
        await runtime.core.erasing.settled()
        return runtime.core.retention.sessions


def _bring_up(path: str) -> bool:
    """Have the insights, if there are any, forget what is gone; who gathers them already does so himself."""
    if not Path(insights_path(path)).exists():
        return False
    try:
        with Insights.open(path) as insights:
            while insights.catch_up().taken:
                pass
    except StoreLocked:
        pass
    return True
