"""Who hears of a session: those who are attached, in their order, but for the one who did it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sojourn.actors.audience import Audience


class Listener:
    """A connection that keeps what it is told."""

    def __init__(self, max_attachments: int = 100) -> None:
        self.attached: set[str] = set()
        self.max_attachments = max_attachments
        self.heard: list[Any] = []

    def set(self, frame: Any, /) -> None:
        self.heard.append(frame)

    def set_exception(self, exc_info: Any, /) -> None:
        self.heard.append(exc_info)


@pytest.fixture
def audience() -> Audience:
    return Audience()


def test_everybody_attached_hears_of_it_in_the_order_they_came(audience: Audience) -> None:
    first, second, third = Listener(), Listener(), Listener()
    assert audience.of("s-1") == ()
    for count, listener in enumerate((first, second, third), 1):
        audience.attach("s-1", listener)
        assert audience.of("s-1") == (first, second, third)[:count]
    assert first.attached == {"s-1"}


def test_the_one_who_did_it_is_spared(audience: Audience) -> None:
    first, second, third = Listener(), Listener(), Listener()
    audience.attach("s-1", first)
    assert audience.others("s-1", first) == ()
    assert audience.others("s-1", second) == (first,)
    audience.attach("s-1", second)
    audience.attach("s-1", third)
    assert audience.others("s-1", second) == (first, third)
    assert audience.others("s-1", None) == (first, second, third)


def test_attaching_twice_is_attaching_once(audience: Audience) -> None:
    listener = Listener()
    audience.attach("s-1", listener)
    audience.attach("s-1", listener)
    assert audience.of("s-1") == (listener,)
    audience.detach("s-1", listener)
    assert audience.of("s-1") == ()


def test_detaching_what_is_not_attached_is_no_error(audience: Audience) -> None:
    attached, stranger = Listener(), Listener()
    audience.detach("s-1", stranger)
    audience.attach("s-1", attached)
    audience.detach("s-1", stranger)
    audience.detach("s-2", attached)
    assert audience.of("s-1") == (attached,)


def test_whoever_leaves_is_detached_from_everything(audience: Audience) -> None:
    leaving, staying = Listener(), Listener()
    for session_id in ("s-1", "s-2", "s-3"):
        audience.attach(session_id, leaving)
    audience.attach("s-2", staying)
    audience.leave(leaving)
    assert leaving.attached == set()
    assert [audience.of(session_id) for session_id in ("s-1", "s-2", "s-3")] == [(), (staying,), ()]


def test_a_session_that_ended_has_nobody(audience: Audience) -> None:
    listeners = [Listener() for _ in range(3)]
    for listener in listeners:
        audience.attach("s-1", listener)
        audience.attach("s-2", listener)
    audience.clear("s-1")
    audience.clear("s-3")
    assert audience.of("s-1") == ()
    assert all(listener.attached == {"s-2"} for listener in listeners)


def test_a_connection_has_room_up_to_its_limit_and_always_for_what_it_has(audience: Audience) -> None:
    listener = Listener(max_attachments=2)
    audience.attach("s-1", listener)
    assert audience.has_room(listener, "s-2")
    audience.attach("s-2", listener)
    assert not audience.has_room(listener, "s-3")
    assert audience.has_room(listener, "s-2")
    audience.detach("s-1", listener)
    assert audience.has_room(listener, "s-3")


def test_an_observer_hears_of_every_session_until_it_stops(audience: Audience) -> None:
    observer, attached = Listener(), Listener()
    audience.observe(observer)
    audience.attach("s-1", attached)
    assert audience.others("s-1", None) == (attached, observer)
    assert audience.others("s-1", attached) == (observer,)
    assert audience.others("s-2", None) == (observer,)
    assert audience.of("s-1") == (attached,)
    audience.stop_observing(observer)
    audience.stop_observing(observer)
    assert audience.others("s-2", None) == ()


_steps = st.lists(
    st.tuples(st.sampled_from(("attach", "detach", "leave", "clear")), st.integers(0, 2), st.integers(0, 2)),
    max_size=30,
)


@given(_steps)
def test_both_sides_agree_on_who_is_attached(steps: list[tuple[str, int, int]]) -> None:
    """Against a list of pairs; the subscribers keep their half themselves."""
    audience = Audience()
    listeners = [Listener() for _ in range(3)]
    pairs: list[tuple[str, Listener]] = []
    for what, number, who in steps:
        session_id, listener = f"s-{number}", listeners[who]
        if what == "attach":
            audience.attach(session_id, listener)
            if (session_id, listener) not in pairs:
                pairs.append((session_id, listener))
        elif what == "detach":
            audience.detach(session_id, listener)
            pairs = [pair for pair in pairs if pair != (session_id, listener)]
        elif what == "leave":
            audience.leave(listener)
            pairs = [pair for pair in pairs if pair[1] is not listener]
        else:
            audience.clear(session_id)
            pairs = [pair for pair in pairs if pair[0] != session_id]
    for number in range(3):
        assert audience.of(f"s-{number}") == tuple(each for name, each in pairs if name == f"s-{number}")
    for listener in listeners:
        assert listener.attached == {name for name, each in pairs if each is listener}
