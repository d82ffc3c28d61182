"""One session as one client follows it: what was delivered, what is missing, what must wait (pure).

Durable events have a gapless `seq`. A connection gets the reply instead of the push for what it caused, and
replies and pushes of a session leave in `seq` order. So, while all is well, `seq` only grows: by a push, or
by the `seq` of an own reply. Two things interrupt that. After a reconnect the session is resumed behind
`seq`; and a resume that was cut (`more`), like a hole between two pushes, is filled by pages of history while
pushes wait.

Own changes that were answered while pages are still coming are remembered, so that a page does not bring
them as news. Nothing is delivered twice, and what no longer exists is reported as a `Missed`.
"""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from typing import Any

Frame = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Missed:
    """The events behind `after_seq` up to `until_seq` will not come: the server, or this client, let them go.

    `until_seq` below `after_seq`: the server knows less of the session than it did.
    """

    session_id: str
    after_seq: int
    until_seq: int


News = Frame | Missed


class Attachment:
    """How far the client is in one session: every event up to `seq` was delivered or is the client's own."""

    __slots__ = ("_asked", "_held", "_own", "_until", "resume_token", "seq", "session_id")

    def __init__(self, session_id: str, seq: int, resume_token: str | None = None) -> None:
        self.session_id = session_id
        self.seq = seq
        self.resume_token = resume_token
        self._until: int | None = None
        self._asked = False
        self._held: list[Frame | int] = []  # pushes, and the seqs of own replies between them
        self._own: set[int] = set()

    @property
    def is_catching_up(self) -> bool:
        """Are pages of history still to come?"""
        return self._until is not None

    def wants_page(self) -> bool:
        """Is the page of history behind `seq` to be asked for now? True once for each page."""
        wanted = self._until is not None and not self._asked
        self._asked = self._asked or wanted
        return wanted

    def on_reply(self, seq: int) -> None:
        """An own request was answered; its last event has this `seq`."""
        if self._until is None:
            self.seq = max(self.seq, seq)
        else:
            self._held.append(seq)
            self._own.add(seq)

    def on_push(self, frame: Frame) -> list[News]:
        """Take a pushed frame; return what to deliver now. A hole before it starts catching up."""
        if self._until is not None:
            self._held.append(frame)
            return []
        seq: int | None = frame.get("seq")
        if seq is None:
            return [frame]
        if seq <= self.seq:
            return []
        if seq > self.seq + 1:
            self.catch_up(seq - 1)
            self._held.append(frame)
            return []
        self.seq = seq
        return [frame]

    def catch_up(self, until_seq: int) -> None:
        """Events up to `until_seq` are missing: pushes wait until pages of history brought them."""
        if until_seq > self.seq:
            self._until = until_seq

    def on_resumed(
        self, reply: Mapping[str, Any], after_seq: int | None, unacknowledged: Container[str]
    ) -> list[News]:
        """Take the answer to a resume behind `after_seq` (None: nothing was to be replayed).

        `unacknowledged` has the ids of own messages that wait for their reply: they are news to nobody.
        """
        newest: int = reply["session"]["seq"]
        self.detach()
        if after_seq is None:
            self.seq = newest
            return []
        events: list[Frame] = reply["events"]
        news: list[News] = []
        if not reply["complete"]:
            news += self._skip_to(events[0]["seq"] - 1 if events else newest)
        self._take(events, news, unacknowledged)
        if reply["more"]:
            self.catch_up(newest)
        return news

    def on_page(self, reply: Mapping[str, Any], unacknowledged: Container[str]) -> list[News]:
        """Take one page of the history behind `seq`; the last one also releases the pushes that waited."""
        self._asked = False
        news: list[News] = []
        if self._until is None:
            return news
        events: list[Frame] = reply["events"]
        self._take([event for event in events if event["seq"] <= self._until], news, unacknowledged)
        if self.seq >= self._until:
            self._release(news)
        elif not (reply["more"] and events):
            news += self.give_up()
        return news

    def give_up(self) -> list[News]:
        """The missing events can't be had: say so, and go on with the pushes that waited."""
        news: list[News] = []
        if self._until is not None:
            news += self._skip_to(self._until)
            self._release(news)
        return news

    def detach(self) -> None:
        """The connection ended: what waited comes again with the next resume behind `seq`."""
        self._until = None
        self._asked = False
        self._held = []

    def _take(self, events: list[Frame], news: list[News], unacknowledged: Container[str]) -> None:
        for event in events:
            seq: int = event["seq"]
            if seq <= self.seq:
                continue
            if seq > self.seq + 1:
                news += self._skip_to(seq - 1)
            self.seq = seq
            if seq in self._own:
                self._own.discard(seq)
            elif not (event["type"] == "message:received" and event.get("message_id", "") in unacknowledged):
                news.append(event)

    def _release(self, news: list[News]) -> None:
        self._until = None
        held, self._held = self._held, []
        for index, item in enumerate(held):
            if isinstance(item, int):
                self.on_reply(item)
                continue
            news += self.on_push(item)
            if self.is_catching_up:
                self._held += held[index + 1 :]
                return
        self._own.clear()

    def _skip_to(self, seq: int) -> list[News]:
        if seq == self.seq:
            return []
        missed = Missed(self.session_id, self.seq, seq)
        self.seq = seq
        return [missed]
