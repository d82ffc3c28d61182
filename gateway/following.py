"""The sessions that a client follows: when it begins and ends, what is asked and delivered for them (pure).

Creating, resuming, reopening, writing to or patching a session attaches the connection to it (protocol,
section 4), unless the request says `attach` = false. The client goes on following it over every reconnect,
until it detaches or the session ends.
"""

from collections.abc import Callable, Container

from .attachment import Attachment, Frame, Missed, News
from .happenings import Followed, Happening, Pushed, Unfollowed
from .pending import Pending, Purpose

_ATTACHING = frozenset({"session:create", "session:reopen", "message:send", "session:context:update"})


class Following:
    """The books of all followed sessions; `ask` makes a request of the protocol's own, `tell` reports."""

    def __init__(
        self,
        ask: Callable[[Purpose, Frame, float], None],
        tell: Callable[[Happening], None],
        unacknowledged: Container[str],
    ) -> None:
        self.attachments: dict[str, Attachment] = {}
        self._ask = ask
        self._tell = tell
        self._unacknowledged = unacknowledged

    def on_reply(self, pending: Pending, reply: Frame, now: float) -> None:
        """Take the reply to a request of the caller's, or to one made through `ask`."""
        if pending.purpose is Purpose.HISTORY:
            attachment = self.attachments.get(pending.frame["session_id"])
            if attachment is not None:
                self._deliver(attachment, attachment.on_page(reply, self._unacknowledged), now)
        else:
            self._books(pending, reply, now)

    def on_refusal(self, pending: Pending, code: str, now: float) -> None:
        """A request made through `ask` was refused for good."""
        attachment = self.attachments.get(pending.frame.get("session_id", ""))
        if attachment is None:
            return
        if pending.purpose is Purpose.RESUME:
            self.unfollow(attachment.session_id, code)
        elif pending.purpose is Purpose.HISTORY:
            self._deliver(attachment, attachment.give_up(), now)

    def on_disconnect(self) -> None:
        """The connection is gone: what waited comes again after the resume."""
        for attachment in self.attachments.values():
            attachment.detach()

    def resume_all(self, now: float) -> None:
        """Ask for every session behind what was delivered of it."""
        for attachment in self.attachments.values():
            self._resume(attachment, now)

    def on_push(self, frame: Frame, now: float) -> None:
        """Take a pushed event; those of sessions that are not followed are passed on as they come."""
        session_id = frame.get("session_id")
        attachment = self.attachments.get(session_id) if isinstance(session_id, str) else None
        if attachment is None:
            self._tell(Pushed(frame))
            return
        self._deliver(attachment, attachment.on_push(frame), now)

    def _deliver(self, attachment: Attachment, news: list[News], now: float) -> None:
        for item in news:
            self._tell(item if isinstance(item, Missed) else Pushed(item))
            if not isinstance(item, Missed) and item["type"] == "session:expired":
                self.unfollow(attachment.session_id, "session_expired")
        if attachment.session_id in self.attachments and attachment.wants_page():
            page = {
                "type": "session:history",
                "session_id": attachment.session_id,
                "after_seq": attachment.seq,
            }
            self._ask(Purpose.HISTORY, page, now)

    def _resume(self, attachment: Attachment, now: float) -> None:
        frame: Frame = {
            "type": "session:resume",
            "session_id": attachment.session_id,
            "after_seq": attachment.seq,
        }
        if attachment.resume_token is not None:
            frame["resume_token"] = attachment.resume_token
        self._ask(Purpose.RESUME, frame, now)

    def _books(self, pending: Pending, reply: Frame, now: float) -> None:
        """Keep the books of the session that this reply is about."""
        request = pending.frame
        session_id = reply.get("session_id") or request.get("session_id")
        if not isinstance(session_id, str):
            return
        attachment = self.attachments.get(session_id)
        attaches = request.get("attach") is not False
        if reply["type"] in {"session:detached", "session:erased"}:
            self.unfollow(session_id, reply["type"])
        elif reply["type"] == "session:resumed":
            if attaches:
                self._on_resumed(pending, attachment or Attachment(session_id, 0), reply, now)
        elif attachment is not None:
            if "seq" in reply:
                attachment.on_reply(reply["seq"])
        elif attaches and request["type"] in _ATTACHING:
            self._on_attached(pending, session_id, reply, now)

    def _on_resumed(self, pending: Pending, attachment: Attachment, reply: Frame, now: float) -> None:
        after_seq: int | None = pending.frame.get("after_seq")
        token: str | None = pending.frame.get("resume_token")
        if pending.purpose is Purpose.CALLER and after_seq is not None:
            attachment.seq = (
                after_seq  # the caller says what it has; the protocol's own resumes go on from the books
            )
        self._enter(attachment, token)
        self._deliver(attachment, attachment.on_resumed(reply, after_seq, self._unacknowledged), now)

    def _on_attached(self, pending: Pending, session_id: str, reply: Frame, now: float) -> None:
        """The first reply that attaches this client to a session it did not follow."""
        seq: int = reply["seq"] if "seq" in reply else reply["session"]["seq"]
        is_new = reply["type"] == "session:created" and pending.sent > 1
        attachment = Attachment(session_id, 1 if is_new else seq)
        self._enter(attachment, reply.get("resume_token"))
        if is_new:
            # the first sending may have made it: what happened since was never pushed to this connection
            attachment.catch_up(seq)
            self._deliver(attachment, [], now)
        elif reply.get("duplicate"):
            self._resume(attachment, now)

    def _enter(self, attachment: Attachment, token: str | None) -> None:
        attachment.resume_token = token or attachment.resume_token
        if attachment.session_id not in self.attachments:
            self.attachments[attachment.session_id] = attachment
            self._tell(Followed(attachment.session_id, attachment.resume_token))

    def unfollow(self, session_id: str, reason: str) -> None:
        """Nothing more comes of this session."""
        if self.attachments.pop(session_id, None) is not None:
            self._tell(Unfollowed(session_id, reason))
