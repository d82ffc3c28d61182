"""Whatever is done to sessions, in whatever order, and however often the runtime stops or dies in between,
they are what a ten-line model says: no message lost or doubled, each expiry once and at its deadline.
"""

from __future__ import annotations

import shutil
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, multiple, rule

from sojourn.actors import SessionConfig
from sojourn.actors.answers import Accepted
from sojourn.actors.errors import SessionClosed, SessionError, SessionExpired, SessionNotFound
from tests.actors.house import PATIENCE, START, House, Map, config

SESSION_TIMEOUT, KEEP_ALIVE, MAX_LIFETIME, DIALOG_TIMEOUT = 100.0, 30.0, 400.0, 20.0
TIMERS = SessionConfig(
    session_timeout=SESSION_TIMEOUT,
    keep_alive=KEEP_ALIVE,
    max_lifetime=MAX_LIFETIME,
    dialog_timeout=DIALOG_TIMEOUT,
)


@dataclass
class Model:
    """What is true of one session, in its simplest form."""

    created: float
    events: list[tuple[str, float]]
    status: str = "active"
    active_at: float = 0.0
    closed_at: float = 0.0
    spoken_at: float | None = None
    context: Map = field(default_factory=dict[str, Any])
    version: int = 1

    def pass_time(self, now: float) -> None:
        while self.status != "expired":
            ends = min(self.active_at + SESSION_TIMEOUT, self.created + MAX_LIFETIME)
            if self.status == "closed":
                ends = min(ends, self.closed_at + KEEP_ALIVE)
            if self.status == "active" and self.spoken_at is not None:
                lapses = max(self.spoken_at + DIALOG_TIMEOUT, self.events[-1][1])
                if lapses < ends and lapses <= now:
                    self.spoken_at = None
                    self.events.append(("dialog:expired", lapses))
                    continue
            if ends > now:
                return
            self.status = "expired"
            self.events.append(("session:expired", ends))

    def reopen(self, now: float) -> None:
        self.status, self.active_at = "active", now
        self.events.append(("session:reopened", now))
        self.pass_time(now)


class Sessions(RuleBasedStateMachine):
    """Drives a runtime and the model alike; compares whole histories after every step."""

    sessions = Bundle("sessions")
    messages = Bundle("messages")

    def __init__(self) -> None:
        super().__init__()
        self.folder = Path(tempfile.mkdtemp())
        self.house = House(
            self.folder / "model.db",
            config=config(session=TIMERS, passivate_after=15.0, max_live=3, snapshot_every=3),
        )
        self.house.__enter__()
        self.models: dict[str, Model] = {}
        self.count = 0

    def teardown(self) -> None:
        self.house.stop()
        shutil.rmtree(self.folder)

    @property
    def now(self) -> float:
        return self.house.now

    def at_present(self, session_id: str) -> Model:
        model = self.models[session_id]
        model.pass_time(self.now)
        return model

    def do(self, model: Model, asked: Any, allowed: dict[str, type[SessionError] | None]) -> Any:
        """The answer to what the model allows in its present status, else None, and the right refusal."""
        refusal = allowed[model.status]
        if refusal is None:
            return asked.result(PATIENCE)
        with pytest.raises(refusal):
            asked.result(PATIENCE)
        return None

    # -- what is done ------------------------------------------------------------------------------

    @rule(target=sessions, user=st.sampled_from(["ada", "bob"]))
    def create(self, user: str) -> str:
        session_id = self.house.create(user={"user_id": user}).id
        self.models[session_id] = Model(self.now, [("session:created", self.now)], active_at=self.now)
        return session_id

    @rule(
        target=messages, session_id=sessions, author=st.sampled_from(["user", "human"]), context=st.booleans()
    )
    def send(self, session_id: str, author: str, context: bool) -> Any:
        self.count += 1
        model = self.at_present(session_id)
        patch = {"n": self.count} if context else None
        sent = self.house.runtime.send_to(
            session_id, "x", message_id=f"id{self.count}", author=author, context=patch
        )
        closed = None if author == "user" else SessionClosed
        answer = self.do(model, sent, {"active": None, "closed": closed, "expired": SessionExpired})
        if answer is None:
            return cast("Any", multiple())
        reopened = model.status == "closed"
        if reopened:
            model.reopen(self.now)
        self.told(model, author, patch)
        assert answer == Accepted(session_id, f"id{self.count}", len(model.events), False, False, reopened)
        return answer

    def told(self, model: Model, author: str, patch: Map | None) -> None:
        if patch is not None:
            model.context |= patch
            model.version += 1
            model.events.append(("session:context:updated", self.now))
        model.events.append(("message:received", self.now))
        if author == "user":
            model.active_at = model.spoken_at = self.now

    @rule(target=messages, user=st.sampled_from(["ada", "bob", "eve"]))
    def send_to_user(self, user: str) -> Accepted:
        self.count += 1
        mine = [
            session_id
            for session_id in self.models
            if self.at_present(session_id).status != "expired" and self.user_of(session_id) == user
        ]
        answer = self.house.send("x", user={"user_id": user}, message_id=f"id{self.count}")
        assert answer.created == (not mine)
        if answer.created:
            model = Model(self.now, [("session:created", self.now)], active_at=self.now)
            self.models[answer.session_id] = model
        else:
            assert answer.session_id == mine[-1]
            model = self.models[answer.session_id]
            assert answer.reopened == (model.status == "closed")
            if answer.reopened:
                model.reopen(self.now)
        self.told(model, "user", None)
        assert answer.seq == len(model.events)
        return answer

    def user_of(self, session_id: str) -> Any:
        return self.house.runtime.session(session_id).get().result(PATIENCE)["user"]["user_id"]

    @rule(message=messages)
    def send_again(self, message: Accepted) -> None:
        again = self.house.runtime.send_to(message.session_id, "x", message_id=message.message_id)
        if message.session_id not in self.models:
            with pytest.raises(SessionNotFound):
                again.result(PATIENCE)
            return
        self.at_present(message.session_id)
        assert again.result(PATIENCE) == message._replace(duplicate=True)

    @rule(session_id=sessions, key=st.sampled_from("ab"), value=st.none() | st.integers(0, 9))
    def update(self, session_id: str, key: str, value: int | None) -> None:
        model = self.at_present(session_id)
        asked = self.house.runtime.session(session_id).update_context({key: value})
        answer = self.do(model, asked, {"active": None, "closed": SessionClosed, "expired": SessionExpired})
        if answer is not None:
            model.context = {k: v for k, v in {**model.context, key: value}.items() if v is not None}
            model.version += 1
            model.events.append(("session:context:updated", self.now))

    @rule(session_id=sessions)
    def close(self, session_id: str) -> None:
        model = self.at_present(session_id)
        asked = self.house.runtime.session(session_id).close()
        answer = self.do(model, asked, {"active": None, "closed": None, "expired": SessionExpired})
        if answer is not None and model.status == "active":
            model.status, model.closed_at = "closed", self.now
            model.events.append(("session:closed", self.now))

    @rule(session_id=sessions)
    def reopen(self, session_id: str) -> None:
        model = self.at_present(session_id)
        if model.status != "active":
            asked = self.house.runtime.session(session_id).reopen()
            answer = self.do(model, asked, {"closed": None, "expired": SessionExpired})
            if answer is not None:
                model.reopen(self.now)

    # -- what happens ------------------------------------------------------------------------------

    @rule(seconds=st.sampled_from([0.5, 5.0, 20.0, 30.0, 70.0]))
    def time_passes(self, seconds: float) -> None:
        self.house.advance(seconds)

    @rule(session_id=sessions)
    def passivate(self, session_id: str) -> None:
        self.house.passivate(self.house.runtime.session(session_id))

    @rule(how=st.sampled_from(["stop", "kill"]), after=st.sampled_from([0.0, 10.0, 150.0]))
    def restart(self, how: str, after: float) -> None:
        if how == "stop":
            self.house.restart(after)
        else:
            self.house.kill(after)
        self.house.advance(0)

    @rule(session_id=consumes(sessions))
    def erase(self, session_id: str) -> None:
        model = self.at_present(session_id)
        erased = self.house.runtime.session(session_id).erase().result(PATIENCE)
        assert erased.events == len(model.events)
        del self.models[session_id]

    # -- what must be true -------------------------------------------------------------------------

    @invariant()
    def the_file_holds_what_the_model_says(self) -> None:
        self.house.settle()
        held: dict[str, list[tuple[str, float]]] = {session_id: [] for session_id in self.models}
        for session_id, seq, kind, at in self.house.journal():
            held[session_id].append((kind, at))
            assert seq == len(held[session_id])
        for session_id, events in held.items():
            assert events == self.at_present(session_id).events

    @rule(session_id=sessions)
    def a_session_reads_as_the_model_says(self, session_id: str) -> None:
        model = self.at_present(session_id)
        found = self.house.runtime.session(session_id).get().result(PATIENCE)
        assert (found["status"], found["context"], found["context_version"], found["seq"]) == (
            model.status,
            model.context,
            model.version,
            len(model.events),
        )
        assert found["last_activity_at"] == START + model.active_at


Sessions.TestCase.settings = settings(
    max_examples=30,
    stateful_step_count=25,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.filter_too_much],
)
TestSessions = Sessions.TestCase
