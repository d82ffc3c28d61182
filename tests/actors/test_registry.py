"""The registry finds, starts and stops sessions; its references are Pykka's, and identity outlives them."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pykka
import pytest

from sojourn.actors import SessionConfig, SessionHandle
from sojourn.actors.answers import Accepted, State
from sojourn.actors.errors import Draining, Overloaded, SessionError, SessionNotFound
from sojourn.actors.mail import Caller
from sojourn.actors.messages import GetSession
from sojourn.actors.registry import FindSession
from sojourn.actors.session import SessionActor
from sojourn.actors.state import Session
from tests.actors.house import PATIENCE, START, House, config, history, say, state, texts, told

SHORT = SessionConfig(session_timeout=100.0, keep_alive=10.0)


def get_request(house: House) -> GetSession:
    return GetSession(Caller("service"), house.clock.now(), None, attach=False)


def ref_of(house: House, session: SessionHandle) -> pykka.ActorRef[SessionActor]:
    ref = house.registry.ref(session.id)
    assert ref is not None
    return ref


def in_another_thread(step: Any) -> Any:
    """What `step` returns, in a thread that is neither the test's nor the loop's."""
    answers: list[Any] = []
    thread = threading.Thread(target=lambda: answers.append(step()))
    thread.start()
    thread.join(PATIENCE)
    assert answers
    return answers[0]


# -- Pykka's references --------------------------------------------------------------------------------


def test_a_reference_is_pykkas_and_names_the_session() -> None:
    with House() as house:
        session = house.create()
        ref = ref_of(house, session)
        assert isinstance(ref, pykka.ActorRef)
        assert ref.actor_class is SessionActor
        assert ref.actor_urn == session.id
        assert ref.is_alive()
        assert ref_of(house, session) == ref
        found = in_another_thread(
            lambda: house.registry.actor_ref.ask(FindSession(session.id), timeout=PATIENCE)
        )
        assert found == ref
        assert house.registry.ref("nobody") is None


def test_ask_and_tell_through_a_reference_from_another_thread() -> None:
    with House() as house:
        session = house.create()
        ref = ref_of(house, session)
        answer: State = in_another_thread(lambda: ref.ask(get_request(house), timeout=PATIENCE))
        assert answer.session == state(session)
        in_another_thread(lambda: ref.tell(get_request(house)))
        future = ref.ask(get_request(house), block=False)
        assert future.get(timeout=PATIENCE) == answer


def test_a_refusal_comes_through_a_reference_as_an_exception() -> None:
    with House(config=config(session=SHORT)) as house:
        session = house.create()
        ref = ref_of(house, session)
        house.clock.set(START + 100)
        request = get_request(house)
        request.by = Caller("user")
        with pytest.raises(Exception, match="has expired"):
            ref.ask(request, timeout=PATIENCE)


def test_a_proxy_reads_what_the_actor_knows() -> None:
    with House() as house:
        session = house.create()
        proxy: Any = ref_of(house, session).proxy()
        found: Session = in_another_thread(lambda: proxy.session.get(timeout=PATIENCE))
        assert found.session_id == session.id
        assert in_another_thread(lambda: proxy.upkeep.get(timeout=PATIENCE).snapshot_seq) == 0


@pytest.mark.parametrize("how", ["stop", "stop at once behind a message", "a failing tell"])
def test_a_session_outlives_its_actor(path: Path, how: str) -> None:
    """Stopped or failed through its reference, the actor is gone; the session is there for the next who
    asks.
    """
    with House(path, config=config(session=SHORT)) as house:
        session = house.create()
        say(session, "one")
        ref = ref_of(house, session)
        if how == "stop":
            assert ref.stop(timeout=PATIENCE)
        elif how == "a failing tell":
            ref.proxy().retire.defer("an argument too many")
        else:

            async def both() -> None:
                sent = session.send("two")  # not committed yet when the actor stops
                stopped = ref.stop(block=False)
                also = session.send("three")
                await sent
                await also
                stopped.get(timeout=0)

            house.runtime.run(both(), PATIENCE)
        house.settle()
        assert not ref.is_alive()
        with pytest.raises(pykka.ActorDeadError):
            ref.ask(get_request(house), timeout=PATIENCE)
        say(session, "after")
        assert texts(session)[-1] == "after"
        assert texts(session)[0] == "one"
        assert [event["seq"] for event in history(session)] == list(range(1, state(session)["seq"] + 1))
        again = ref_of(house, session)
        assert again.is_alive()
        assert again.stop(timeout=PATIENCE)
        house.advance(100)  # its deadline fires all the same
        assert told(session)[-1] == ("session:expired", 100.0)


def test_sessions_are_not_in_pykkas_list_of_actors() -> None:
    with House() as house:
        session = house.create()
        assert ref_of(house, session) not in pykka.ActorRegistry.get_all()


# -- delivering ----------------------------------------------------------------------------------------


def test_many_requests_to_one_sleeping_session_load_it_once_and_in_order(path: Path) -> None:
    with House(path, config=config()) as house:
        session = house.create()
        house.passivate(session)

        async def send_all() -> list[Accepted]:
            return [await each for each in [session.send(f"m{n}") for n in range(100)]]

        accepted = house.runtime.run(send_all(), PATIENCE)
        assert [each.seq for each in accepted] == list(range(2, 102))
        assert texts(session) == [f"m{n}" for n in range(100)]


def test_many_sleeping_sessions_wake_at_once(path: Path) -> None:
    with House(path, config=config()) as house:
        sessions = [house.create() for _ in range(300)]
        house.restart()
        sessions = [house.again(each) for each in sessions]

        async def send_all() -> list[Accepted]:
            return [await each for each in [session.send("x") for session in sessions]]

        assert [each.seq for each in house.runtime.run(send_all(), PATIENCE)] == [2] * 300


@pytest.mark.parametrize("asleep", [False, True])
def test_a_full_mailbox_refuses_and_says_so(path: Path, asleep: bool) -> None:
    with House(path, config=config(mailbox_limit=10)) as house:
        session = house.create()
        say(session, "first", message_id="known")
        house.passivate(session)
        if not asleep:
            state(session)

        async def send_all() -> list[Any]:
            # The lookup of a known id needs the journal: what comes behind it waits.
            sent = [session.send("x", message_id="known")] + [session.send(f"m{n}") for n in range(20)]
            answers: list[Any] = []
            for each in sent:
                try:
                    answers.append(await each)
                except Overloaded as error:
                    answers.append(error)
            return answers

        answers = house.runtime.run(send_all(), PATIENCE)
        refused = [each for each in answers if isinstance(each, Overloaded)]
        assert len(refused) == (11 if asleep else 10)
        assert refused[0].retry_after is not None
        assert refused[0].details == {"limit": "mailbox_limit", "max": 10}
        assert len(texts(session)) == 1 + 20 - len(refused)
        assert say(session).seq == 1 + len(texts(session))


def test_nobody_waits_for_ever_when_a_runtime_stops(path: Path) -> None:
    """Whatever is asked while it stops is answered: done and stored, or refused."""

    async def answered(sent: Any) -> Any:
        try:
            return await sent
        except SessionError as error:
            return error

    async def stop_under_load() -> list[Any]:
        runtime = House(path, config=config()).runtime
        await runtime.start()
        session = await runtime.create(user={"user_id": "ada"})
        sent: list[Any] = [session.send(f"m{n}", message_id=f"id{n}") for n in range(50)]
        stopping = asyncio.ensure_future(runtime.stop())
        turn = 0
        while not stopping.done():
            turn += 1
            sent.append(session.send(f"late{turn}", message_id=f"late{turn}"))
            sent.append(runtime.send("x", user={"user_id": f"u{turn}"}))
            sent.append(runtime.create(request_key=f"key{turn}"))
            await asyncio.sleep(0)
        await stopping
        sent += [session.send("too late"), session.get()]
        answers: list[Any] = []
        for each in sent:
            answers.append(await asyncio.wait_for(answered(each), PATIENCE))  # noqa: PERF401
        return answers

    answers = asyncio.run(stop_under_load())
    accepted = [each for each in answers if isinstance(each, Accepted)]
    assert len(accepted) >= 50
    assert isinstance(answers[-1], Draining)
    with House(path) as house:
        for each in accepted:
            assert house.runtime.session(each.session_id).send("x", message_id=each.message_id).result(
                PATIENCE
            ) == each._replace(duplicate=True)


def test_an_erased_session_is_not_found_whoever_waited_for_it() -> None:
    with House() as house:
        session = house.create()

        async def erase_and_ask() -> None:
            erased = session.erase()
            later: list[Any] = [session.get(), session.history()]
            assert (await erased).events == 1
            for each in later:
                with pytest.raises(SessionNotFound):
                    await each

        house.runtime.run(erase_and_ask(), PATIENCE)
