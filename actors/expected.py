"""The answers that senders in this program wait for: `session.send(…).reply()`."""

from typing import Any

from .agent import Agent
from .answers import Accepted
from .core import Core
from .errors import InternalError, InvalidRequest
from .futures import LoopFuture
from .handles import Event, Message, SentMessage, Subscription
from .outgoing import ROLES


class ExpectedAnswers:
    """Which message of the AI answers which of ours. Loop thread only, but for `sent`."""

    def __init__(self, core: Core, agent: Agent | None) -> None:
        """`agent` None: nobody answers."""
        self._core = core
        self._answers: dict[tuple[str, str], LoopFuture[Message]] = {}
        self.listener = None if agent is None else Subscription(self._on_event, lambda _: None)
        """To be attached to the sessions whose answers are waited for."""

    def open(self) -> None:
        """Hear of the turns that end without an answer."""
        if self._core.agent is not None:
            self._core.agent.unanswered = self._on_silence

    def sent(self, author: str) -> SentMessage:
        """The future of a message by that author, who must be one."""
        if author not in ROLES:
            authors = ", ".join(ROLES)
            raise InvalidRequest(
                f"author must be one of {authors}, got {author!r}", details={"key": "author"}
            )
        if self.listener is None:
            return SentMessage("this runtime has no agent")
        if author != "user":
            return SentMessage("only a user's message is answered")
        sent = SentMessage(None)
        answer = sent.answer
        answer.producer = self._core.dispatcher
        sent.add_done_callback(lambda accepted: self._expect(accepted, answer))
        return sent

    def _expect(self, accepted: Any, answer: LoopFuture[Message]) -> None:
        try:
            stored: Accepted = accepted.get(timeout=0)
        except Exception as error:  # noqa: BLE001  # whoever waits for the answer hears why there is none
            answer.set_exception((type(error), error, None))
            return
        if stored.duplicate:
            known = InvalidRequest("this message was here before: its answer, if any, is in the history")
            answer.set_exception((InvalidRequest, known, None))
        else:
            self._answers[stored.session_id, stored.message_id] = answer

    def _on_silence(self, session_id: str, message_id: str, error: Exception) -> None:
        answer = self._answers.pop((session_id, message_id), None)
        if answer is not None:
            answer.set_exception((type(error), error, None))

    def _on_event(self, event: Event) -> None:
        if event["type"] == "message:received" and "in_reply_to" in event and "cut" not in event:
            answer = self._answers.pop((event["session_id"], event["in_reply_to"]), None)
            if answer is not None:
                answer.set(
                    Message(
                        event["message_id"],
                        event["author"],
                        event["text"],
                        event["data"],
                        event["seq"],
                        event["at"],
                    )
                )
        elif event["type"] == "message:failed":
            answer = self._answers.pop((event["session_id"], event["message_id"]), None)
            if answer is not None:
                error = InternalError(event["message"], session_id=event["session_id"])
                answer.set_exception((InternalError, error, None))
