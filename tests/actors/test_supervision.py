"""A handler that fails costs its session a restart, nobody else anything, and history nothing at all."""

from __future__ import annotations

import asyncio
import itertools
import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sojourn.actors import SessionConfig, SessionHandle, Turn
from sojourn.actors.answers import Accepted
from sojourn.actors.errors import InternalError, SessionNotFound
from sojourn.actors.mail import Caller
from sojourn.actors.messages import CloseSession, CreateSession, GetSession, SendMessage, Tick, UpdateContext
from sojourn.actors.session import SessionActor
from tests.actors.house import ADA, PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


class Boom(Exception):
    """What a fault raises."""


class Fault:
    """Makes the handling of a kind of request fail `times` times, after it has done everything.

    For one session, or for any; `when` picks among the requests.
    """

    def __init__(
        self,
        house: House,
        kind: type,
        times: float = float("inf"),
        session: SessionHandle | None = None,
        when: Callable[[Any], bool] = lambda request: True,
    ) -> None:
        self.tried = 0
        handlers = house.runtime.core.shared.handlers
        handle = handlers[kind]

        def fail(actor: SessionActor, request: Any) -> Any:
            answer = handle(actor, request)
            if (session is None or actor.session.session_id == session.id) and when(request):
                self.tried += 1
                if self.tried <= times:
                    raise Boom
            return answer

        house.on_loop(lambda: handlers.update({kind: fail}))


def poisonous(request: SendMessage) -> bool:
    return request.text == "poison"


# -- once ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stored", [False, True])
def test_a_request_that_fails_once_is_handled_after_the_restart(path: Path, stored: bool) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        if stored:
            house.passivate(session)
        fault = Fault(house, SendMessage, times=1)
        seen: list[tuple[str, int]] = []
        session.subscribe(lambda event: seen.append((event["type"], event["seq"])))
        accepted = say(session, "one", message_id="a", context={"n": 1})
        assert (accepted.seq, accepted.duplicate) == (3, False)
        assert fault.tried == 2
        assert [kind for kind, _ in told(session)] == [
            "session:created",
            "session:context:updated",
            "message:received",
        ]
        assert seen == [("session:context:updated", 2), ("message:received", 3)]
        assert house.registry.supervisor.restarts == 1
        assert house.registry.dead_letters.counts == {}


def test_nothing_recorded_by_a_failed_handling_survives_it(path: Path) -> None:
    """Neither an event, nor a push, nor a row: also when other changes wait in the same commit."""
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        other = house.create(user={"user_id": "bob"})
        Fault(house, CloseSession, session=session)
        pushed: list[str] = []
        session.subscribe(lambda event: pushed.append(event["type"]))

        async def together() -> None:
            before = [session.send("one"), other.send("other")]
            closed = session.close()
            after = session.send("two")
            for sent in before:
                await sent
            with pytest.raises(InternalError):
                await closed
            await after

        house.runtime.run(together(), PATIENCE)
        assert state(session)["status"] == "active"
        assert [kind for kind, _ in told(session)] == [
            "session:created",
            "message:received",
            "message:failed",
            "message:received",
        ]
        assert pushed == ["message:received", "message:failed", "message:received"]
        assert texts(other) == ["other"]
        before = state(session), history(session)
        house.kill()
        assert (state(house.again(session)), history(house.again(session))) == before
        assert house.runtime.run(
            house.runtime.core.reception.page({"status": "closed"}, 10, None, house.clock.now()), PATIENCE
        ) == ([], None)


def test_a_first_message_that_fails_once_makes_one_session() -> None:
    """The session's own creation waits in the same commit as what failed."""
    with House(config=config(session=SHORT)) as house:
        Fault(house, SendMessage, times=1)
        accepted = house.send("one", message_id="a")
        assert (accepted.seq, accepted.created, accepted.duplicate) == (2, True, False)
        session = house.runtime.session(accepted.session_id)
        assert texts(session) == ["one"]
        assert house.send("one", message_id="a") == accepted._replace(duplicate=True)
        assert house.send("two").session_id == accepted.session_id


@pytest.mark.parametrize("by_user", [False, True])
def test_a_creation_that_fails_once_is_made_after_all(by_user: bool) -> None:
    with House(config=config(session=SHORT)) as house:
        Fault(house, CreateSession, times=1)
        if by_user:
            accepted = house.send("one")
            session = house.runtime.session(accepted.session_id)
            assert (accepted.seq, accepted.created) == (2, True)
        else:
            session = house.create()
            say(session, "one")
        assert texts(session) == ["one"]
        house.advance(100)
        assert told(session)[-1] == ("session:expired", 100.0)


def test_a_creation_that_always_fails_is_answered_and_nothing_is_stored() -> None:
    with House(config=config(session=SHORT)) as house:
        Fault(house, CreateSession)
        created = house.runtime.create(user={"user_id": "ada"})
        with pytest.raises((InternalError, SessionNotFound)):
            say(created, "x")
        house.settle()
        with pytest.raises(SessionNotFound):
            state(created)


@pytest.mark.parametrize("kind", [GetSession, CloseSession])
def test_a_deadline_written_before_a_failed_handling_is_kept(path: Path, kind: type) -> None:
    """The message that started the dialog timer is in the same commit as what fails, be it with a snapshot.

    Killed while the restart waits for its time, the session has no later chance to write it.
    """
    timed = SessionConfig(session_timeout=1000.0, dialog_timeout=40.0)
    with House(path, config=config(session=timed, restart_intensity=1)) as house:
        session = house.create()
        Fault(house, kind, session=session)
        with pytest.raises(InternalError):
            ask(session, kind).result(PATIENCE)
        house.advance(1)

        async def together() -> None:
            sent = session.send("one")
            ask(session, kind)
            await sent

        house.runtime.run(together(), PATIENCE)
        house.kill(after=500.0)
        house.advance(0)
        assert house.journal()[-2:] == [
            (session.id, 3, "message:received", 1.0),
            (session.id, 4, "dialog:expired", 41.0),
        ]


def ask(session: SessionHandle, kind: type) -> Any:
    return session.get() if kind is GetSession else session.close()


def test_a_row_written_before_a_failed_handling_is_kept(path: Path) -> None:
    """The creation is in the same commit as the close that fails, whose snapshot took its row's place."""
    with House(path, config=config(session=SHORT)) as house:
        Fault(house, CloseSession)

        async def together() -> SessionHandle:
            created = house.runtime.create(user=ADA, timeouts={"keep_alive": 50})
            asked = created.close()
            await created
            with pytest.raises(InternalError):
                await asked
            return created

        session = house.runtime.run(together(), PATIENCE)
        house.kill()
        assert [kind for kind, _ in told(house.again(session))] == ["session:created", "message:failed"]
        assert state(house.again(session))["timeouts"]["keep_alive"] == 50
        house.advance(100)
        assert told(house.again(session))[-1] == ("session:expired", 100.0)


def test_the_requests_behind_a_failing_one_are_handled_in_their_order() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        Fault(house, SendMessage, times=1, when=poisonous)

        async def send_all() -> list[Accepted]:
            sent = [session.send(text) for text in ("a", "poison", "b", "c")]
            return [await each for each in sent]

        accepted = house.runtime.run(send_all(), PATIENCE)
        assert [each.seq for each in accepted] == [2, 3, 4, 5]
        assert texts(session) == ["a", "poison", "b", "c"]


@pytest.mark.parametrize("asleep", [False, True])
def test_a_full_mailbox_survives_a_restart(path: Path, asleep: bool) -> None:
    """As many wait as there is room for, and the failed one comes back before them."""
    with House(path, config=config(session=SHORT, mailbox_limit=5)) as house:
        session, other = house.create(), house.create()
        say(session, "known", message_id="known")
        house.passivate(session)
        if not asleep:
            state(session)
        house.passivate(other)
        Fault(house, SendMessage, times=2, session=session, when=poisonous)

        async def send_all() -> list[Accepted | Exception]:
            answers: list[Accepted | Exception] = []
            sent = [session.send("x", message_id="known"), session.send("poison")]
            sent += [session.send(f"m{n}") for n in range(5)] + [other.send("other")]
            for each in sent:
                try:
                    answers.append(await each)
                except Exception as error:
                    answers.append(error)
            return answers

        answers = house.runtime.run(send_all(), PATIENCE)
        assert isinstance(answers[1], InternalError)
        assert isinstance(answers[-1], Accepted)
        stored = [each for each in answers if isinstance(each, Accepted) and not each.duplicate]
        assert len(texts(session)) + len(texts(other)) == 1 + len(stored)
        say(session, "on")


# -- twice ---------------------------------------------------------------------------------------------


def test_a_message_that_fails_twice_is_set_aside_and_the_session_goes_on(
    caplog: pytest.LogCaptureFixture,
) -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        fault = Fault(house, SendMessage, when=poisonous)
        house.advance(5)
        with pytest.raises(InternalError) as caught:
            say(session, "poison", message_id="p")
        assert fault.tried == 2
        error = caught.value
        assert error.session_id == session.id
        assert error.details is not None
        assert error.details["error_id"] in caplog.text
        assert "Boom" in caplog.text
        failed = history(session)[-1]
        assert (failed["type"], failed["message_id"], failed["code"], failed["at"]) == (
            "message:failed",
            "p",
            "internal_error",
            START + 5,
        )
        (letter,) = house.registry.dead_letters.newest()
        assert (letter.session_id, letter.reason, letter.message, letter.at) == (
            session.id,
            "poison",
            "SendMessage",
            START + 5,
        )
        assert house.registry.dead_letters.counts == {"poison": 1}
        say(session, "on")
        assert texts(session) == ["on"]
        house.advance(100)
        assert told(session)[-1] == ("session:expired", 105.0)


def test_a_first_message_that_is_poison_leaves_the_session_it_made() -> None:
    with House(config=config(session=SHORT)) as house:
        Fault(house, SendMessage, when=poisonous)
        with pytest.raises(InternalError):
            house.send("poison")
        accepted = house.send("on")
        assert not accepted.created
        assert [kind for kind, _ in told(house.runtime.session(accepted.session_id))] == [
            "session:created",
            "message:failed",
            "message:received",
        ]


def test_a_poisonous_request_that_is_no_message_is_answered_too() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        Fault(house, UpdateContext)
        with pytest.raises(InternalError):
            session.update_context({"a": 1}).result(PATIENCE)
        assert state(session)["context"] == {}
        assert house.registry.dead_letters.newest()[0].message == "UpdateContext"
        assert history(session)[-1]["message_id"] is None


def test_other_sessions_notice_nothing() -> None:
    with House(config=config(session=SHORT)) as house:
        bad = house.create()
        good = [house.create(user={"user_id": f"u{n}"}) for n in range(20)]
        actors = [house.live(each) for each in good]
        Fault(house, SendMessage, session=bad)

        async def send_all() -> None:
            sent = list(itertools.chain(*((bad.send("x"), each.send("x")) for each in good)))
            for number, each in enumerate(sent):
                if number % 2:
                    await each
                else:
                    with pytest.raises(InternalError):
                        await each

        sending = asyncio.run_coroutine_threadsafe(send_all(), house.runtime.core.loop)
        while not sending.done():
            house.advance(1)  # the bad one's restarts wait for their time
        sending.result()
        house.advance(20)
        assert [house.live(each) for each in good] == actors
        assert [texts(each) for each in good] == [["x"]] * 20
        assert state(bad)["seq"] == 1 + 20


def test_a_wake_up_that_fails_does_not_keep_a_session_from_expiring() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        Fault(house, Tick, times=1)
        house.advance(100)
        assert told(session) == [("session:created", 0.0), ("session:expired", 100.0)]


# -- dead letters --------------------------------------------------------------------------------------


def told_to(house: House, session_id: str) -> None:
    """Deliver a request to whose answer nobody waits."""
    request = GetSession(Caller("service"), house.clock.now(), None, attach=False)
    house.on_loop(lambda: house.registry.deliver(session_id, request))
    house.settle()


def test_what_is_told_to_a_session_that_does_not_exist_is_a_dead_letter(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        house.advance(5)
        told_to(house, "nobody")
        (letter,) = house.registry.dead_letters.newest()
        assert (letter.session_id, letter.reason, letter.message, letter.at) == (
            "nobody",
            "not_found",
            "GetSession",
            START + 5,
        )
        with pytest.raises(SessionNotFound):  # whoever asks has an answer instead
            state(house.runtime.session("nobody"))
        session = house.create()
        house.passivate(session)
        told_to(house, session.id)
        assert house.registry.dead_letters.counts == {"not_found": 1}


def test_what_is_told_to_a_session_that_cannot_be_read_is_a_dead_letter(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        house.stop()
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("UPDATE sessions SET snapshot = x'c1'")
            connection.commit()
        house.start()
        told_to(house, session.id)
        assert house.registry.dead_letters.counts == {"not_loaded": 1}
        assert house.registry.dead_letters.newest()[0].session_id == session.id


def test_a_creation_that_is_poison_is_one_dead_letter() -> None:
    with House(config=config(session=SHORT)) as house:
        Fault(house, CreateSession)
        with pytest.raises(InternalError):
            house.create()
        house.settle()
        assert house.registry.dead_letters.counts == {"poison": 1}


# -- the budget ----------------------------------------------------------------------------------------


def test_restarts_are_free_three_times_in_ten_seconds_and_then_wait_longer_and_longer() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        instants: list[float] = []

        def note(_request: Any) -> bool:
            instants.append(round(house.now, 3))
            return True

        Fault(house, SendMessage, session=session, when=note)
        sent = [session.send(f"m{n}") for n in range(4)]
        house.settle()  # what waits for its time is not under way
        assert instants == [0.0] * 4
        house.advance(20)
        for each in sent:
            with pytest.raises(InternalError):
                each.result(PATIENCE)
        gaps = [round(b - a, 3) for a, b in itertools.pairwise(instants)]
        assert gaps == [0.0, 0.0, 0.0, 0.1, 0.2, 0.4, 0.8]
        house.advance(30)
        instants.clear()
        with pytest.raises(InternalError):
            say(session, "x")
        assert instants == [50.0, 50.0]


def test_what_comes_while_a_restart_waits_is_handled_after_it() -> None:
    with House(config=config(session=SHORT)) as house:
        session, other = house.create(), house.create()
        Fault(house, SendMessage, session=session, when=poisonous)
        poison = [session.send("poison") for _ in range(3)]
        house.settle()
        waiting = session.get()
        assert say(other, "x").seq == 2
        assert not waiting.done()
        house.advance(10)
        assert waiting.result(PATIENCE)["status"] == "active"
        for each in poison:
            with pytest.raises(InternalError):
                each.result(PATIENCE)


def test_a_runtime_that_stops_while_a_restart_waits_answers_everybody(path: Path) -> None:
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        Fault(house, SendMessage, session=session)
        sent = [session.send("poison") for _ in range(3)]
        house.settle()
        waiting = session.get()
        house.restart()
        with pytest.raises(Exception, match="going down"):
            waiting.result(PATIENCE)
        for each in sent:
            with pytest.raises(Exception, match=r"failed|going down"):
                each.result(PATIENCE)
        assert texts(house.again(session)) == []


# -- user code -----------------------------------------------------------------------------------------


def test_a_turn_of_the_agent_is_not_taken_for_a_message_that_was_taken_back() -> None:
    heard: list[tuple[str | None, str | None]] = []

    def agent(turn: Turn) -> str:
        heard.append((turn.message_id, turn.text))
        return f"you said {turn.text}"

    with House(config=config(session=SHORT), agent=agent) as house:
        session = house.create()
        Fault(house, SendMessage, times=1, when=lambda request: request.author == "user")
        assert session.send("one", message_id="a").reply(PATIENCE).text == "you said one"
        house.settle()
        assert heard == [("a", "one")]
        assert texts(session) == ["one", "you said one"]


def test_an_agent_that_raises_leaves_the_session_as_it_is() -> None:
    def agent(turn: Turn) -> str:
        if turn.text == "bad":
            raise Boom
        return "fine"

    with House(config=config(session=SHORT), agent=agent) as house:
        session = house.create()
        with pytest.raises(InternalError, match="Boom"):
            session.send("bad", message_id="b").reply(PATIENCE)
        failed = history(session)[-1]
        assert (failed["type"], failed["message_id"], failed["code"]) == (
            "message:failed",
            "b",
            "internal_error",
        )
        assert session.send("good").reply(PATIENCE).text == "fine"
        assert house.registry.supervisor.restarts == 0
