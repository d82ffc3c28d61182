"""What a human sees at the desk, over a client: who waits, who is theirs, and what is said.

The server's answers are the truth: a pushed event only says that it is time to ask again, and what came
meanwhile is asked for once. So the lists are right after a reconnect as well, of which nobody is told.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any

from sojourn.gateway.client import Client, Event, Gap, RemoteSession
from sojourn.gateway.errors import GatewayError, RequestFailed

from .desk_state import DeskState, Row, Talk, name_of

MOST_WAITING = 100
"""Rows of those who wait; of the others there is a number."""
PAST = 200
"""Events of a conversation that are shown from before it was opened."""


class DeskLists:
    """One human's desk. `on_change` is called after whatever changes what there is to see."""

    def __init__(self, client: Client, state: DeskState, on_change: Callable[[], None]) -> None:
        self.state = state
        self._client = client
        self._on_change = on_change
        self._sessions: dict[str, RemoteSession] = {}
        self._touched: set[str] = set()
        self._news = asyncio.Event()
        self.loaded = asyncio.Event()
        """Set once the lists are known."""

    async def run(self) -> None:
        """Keep the desk true until cancelled."""
        unsubscribe = self._client.subscribe(self._on_event)
        try:
            await self._load()
            self.loaded.set()
            while True:
                await self._news.wait()
                self._news.clear()
                try:
                    await self._reread()
                except GatewayError as error:
                    self._say(str(error))
        finally:
            unsubscribe()

    def check_connection(self) -> None:
        """To be called now and then: after a broken connection everything is read anew."""
        if self._client.is_connected == self.state.connected:
            return
        self.state.connected = self._client.is_connected
        if self.state.connected:
            self._touched.update(self.state.mine)
            self._news.set()
        self._on_change()

    # -- the lists ---------------------------------------------------------------------------------

    def _on_event(self, event: Event) -> None:
        """What the client hears; the asking is left to `run`."""
        talk = self.state.talks.get(event.session_id)
        if isinstance(event, Gap) or event.type.startswith("session:"):
            self._settle(event.session_id)
        if talk is not None:
            if event.seq is not None:
                talk.add([event.as_map()])
            if event.type == "message:composing":
                starts = event.payload.get("action") == "start"
                talk.writing = _who(event.payload.get("by")) if starts else None
            elif event.type == "message:received":
                talk.writing = None
                self._count_unread(event)
        self._on_change()

    def _count_unread(self, event: Event) -> None:
        row = self.state.mine.get(event.session_id)
        if row is not None and event.author == "user" and event.session_id != self.state.selected:
            row.unread += 1

    def _settle(self, session_id: str) -> None:
        """Have `run` ask where this session is now."""
        self._touched.add(session_id)
        self._news.set()

    async def _load(self) -> None:
        """The desk as it is when one comes to it: what one had before is still one's own."""
        self.state.clock_ahead = await self._client.ping() - time.time()
        page = await self._client.list(handling="human", status="active", limit=1000)
        self._touched.update(
            session["session_id"] for session in page.sessions if session["assignee"] == self.state.identity
        )
        await self._reread()

    async def _reread(self) -> None:
        touched, self._touched = self._touched, set()
        for session_id in touched:
            await self._reread_one(session_id)
        answer = await self._client.watch(self.state.queues)
        waiting: dict[str, Row] = {}
        for each in answer.waiting[:MOST_WAITING]:
            row = await self._waiting_row(each)
            if row is not None:
                waiting[row.session_id] = row
        self.state.waiting = {key: row for key, row in waiting.items() if key not in self.state.mine}
        self.state.others = max(0, len(answer.waiting) - MOST_WAITING)
        self._forget_the_rest()
        # Never one's own: what was being typed for somebody who is gone must not reach somebody else.
        if self.state.selected is None and self.state.waiting:
            await self._select(next(iter(self.state.waiting)))
        self._on_change()

    async def _waiting_row(self, each: dict[str, Any]) -> Row | None:
        """One that waits; None when it was erased meanwhile."""
        row = self.state.waiting.get(each["session_id"])
        if row is not None and row.since == each["since"]:
            return row
        try:
            name, note = await self._look_up(each["session_id"])
        except RequestFailed:
            return None
        return Row(each["session_id"], name, each["queue"], each["since"], note)

    async def _look_up(self, session_id: str) -> tuple[str, str | None]:
        """The user's name, and what was noted at the handover."""
        session = await self._client.session(session_id).get()
        page = await self._client.session(session_id).history(max(0, session["seq"] - PAST), PAST)
        notes = [event.payload.get("note") for event in page.events if event.type == "session:handed_over"]
        return name_of(session), notes[-1] if notes else None

    async def _reread_one(self, session_id: str) -> None:
        """Is it one's own?"""
        try:
            session = await self._client.session(session_id).get()
        except RequestFailed:  # it was erased
            self.state.mine.pop(session_id, None)
            return
        theirs = session["status"] == "active" and session["handling"] == "human"
        if theirs and session["assignee"] == self.state.identity:
            if session_id not in self.state.mine:
                await self._open(session_id)
                row = Row(session_id, name_of(session), session["queue"], self._now())
                self.state.mine[session_id] = row
        elif self.state.mine.pop(session_id, None) is not None:
            self.state.notice = f"{name_of(session)} {_fate(session)}"

    def _forget_the_rest(self) -> None:
        """Close the talks that are in no list any more."""
        listed = {row.session_id for row in self.state.rows}
        if self.state.selected not in listed:
            self.state.selected = None
        for session_id in [each for each in self.state.talks if each not in listed]:
            self.state.talks.pop(session_id)
            self._detach(session_id)

    # -- talks -------------------------------------------------------------------------------------

    async def _select(self, session_id: str) -> None:
        """Look at this talk; one that was only looked at before is closed."""
        before = self.state.selected
        await self._open(session_id)
        self.state.selected = session_id
        row = self.state.mine.get(session_id)
        if row is not None:
            row.unread = 0
        if before is not None and before != session_id and before not in self.state.mine:
            self.state.talks.pop(before, None)
            self._detach(before)
        self._on_change()

    async def _open(self, session_id: str) -> None:
        """Hear of the talk from now on, and read what was said before."""
        if session_id in self._sessions:
            return
        session = self._sessions[session_id] = self._client.session(session_id)
        talk = self.state.talks[session_id] = Talk()
        try:
            state = await session.resume()
            page = await session.history(max(0, state["seq"] - PAST), PAST)
        except GatewayError:
            self._sessions.pop(session_id, None)
            self.state.talks.pop(session_id, None)
            raise
        talk.add(event.as_map() for event in page.events)

    async def _catch_up(self, session_id: str) -> None:
        """Read what one caused oneself: that is answered, not pushed."""
        talk = self.state.talks.get(session_id)
        if talk is not None:
            page = await self._client.session(session_id).history(max(talk.events, default=0), PAST)
            talk.add(event.as_map() for event in page.events)

    def _detach(self, session_id: str) -> None:
        """Hear no more of it. Nobody waits for the answer, and one that has ended needs none."""
        session = self._sessions.pop(session_id, None)
        if session is not None:
            task = asyncio.create_task(session.detach())
            task.add_done_callback(lambda done: done.cancelled() or done.exception())

    # -- words -------------------------------------------------------------------------------------

    def _now(self) -> float:
        """The server's time."""
        return time.time() + self.state.clock_ahead

    def _name(self, session_id: str) -> str:
        row = self.state.row(session_id)
        return "somebody" if row is None else row.name

    def _say(self, notice: str) -> None:
        self.state.notice = notice
        self._on_change()


def _who(by: dict[str, Any] | None) -> str:
    return "somebody" if by is None else str(by.get("id") or by["role"])


def _fate(session: dict[str, Any]) -> str:
    """Where a session went that one had."""
    if session["status"] != "active":
        return f"is {session['status']}: {session.get('expiry_reason') or session.get('close_reason')}"
    if session["handling"] == "human":
        return f"is with {session['assignee']} now"
    if session["handling"] == "queued":
        return f"waits in {session['queue'] or 'the queue'} again"
    return "is with the AI again"
