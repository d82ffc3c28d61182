"""Sessions to come: their ids, their tokens, the timers they get when they ask for none."""

import asyncio
import re
import threading

import pytest

from sojourn.actors import Runtime, RuntimeConfig, SessionConfig
from sojourn.actors.config import SessionMaxima
from sojourn.actors.errors import InvalidRequest
from sojourn.actors.reception import IDS_AT_ONCE, Reception
from sojourn.actors.testing import VirtualClock

NOW = 1_700_000_000.25


def reception(config: RuntimeConfig | None = None) -> Reception:
    """A runtime's, which has ended: what is asked here needs no loop."""

    async def run() -> Reception:
        async with Runtime(None, clock=VirtualClock(), config=config or RuntimeConfig()) as runtime:
            return runtime.core.reception

    return asyncio.run(run())


def test_an_id_is_the_milliseconds_and_72_random_bits() -> None:
    session_id = reception().new_id(NOW)
    assert re.fullmatch(r"[0-9a-f]{30}", session_id)
    assert int(session_id[:12], 16) == int(NOW * 1000)


def test_ids_sort_by_creation_and_never_come_twice() -> None:
    here = reception()
    ids = [here.new_id(NOW + number / 1000) for number in range(3 * IDS_AT_ONCE)]
    assert ids == sorted(ids)
    assert len({each[12:] for each in ids}) == len(ids)


def test_ids_taken_by_several_threads_at_once_never_come_twice() -> None:
    here = reception()
    taken: list[list[str]] = [[] for _ in range(4)]

    def take(ids: list[str]) -> None:
        ids.extend(here.new_id(NOW) for _ in range(5 * IDS_AT_ONCE))

    threads = [threading.Thread(target=take, args=(ids,)) for ids in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len({each for ids in taken for each in ids}) == 4 * 5 * IDS_AT_ONCE


def test_two_runtimes_take_different_ids() -> None:
    one, other = reception(), reception()
    assert not {one.new_id(NOW) for _ in range(100)} & {other.new_id(NOW) for _ in range(100)}


def test_a_token_is_of_one_session_and_one_runtime_and_256_bits_long() -> None:
    async def token_of(sessions: int) -> list[str | None]:
        async with Runtime(None, clock=VirtualClock()) as runtime:
            made = [runtime.create() for _ in range(sessions)]
            await asyncio.gather(*(each.get() for each in made))
            here = runtime.core.reception
            tokens = [here.resume_token(each.id) for each in made]
            assert tokens == [here.resume_token(each.id) for each in made]
            assert here.resume_token("nobody") is None
            return tokens

    tokens = asyncio.run(token_of(3)) + asyncio.run(token_of(3))
    assert len(set(tokens)) == 6
    assert all(token is not None and re.fullmatch(r"[0-9a-f]{64}", token) for token in tokens)


CONFIG = RuntimeConfig(
    session=SessionConfig(session_timeout=1000, keep_alive=100, max_lifetime=None, dialog_timeout=50),
    channels={"desk": SessionConfig(session_timeout=None, keep_alive=None)},
    channel_timeouts={"voice": 300.0},
    maxima=SessionMaxima(session_timeout=500.0, max_lifetime=7000.0),
)


@pytest.mark.parametrize(
    ("channel", "expected"),
    [
        ("tcp", (500.0, 100.0, 50.0, 7000.0)),
        ("voice", (300.0, 100.0, 50.0, 7000.0)),
        ("desk", (500.0, None, None, 7000.0)),
    ],
)
def test_timers_come_from_the_channel_or_the_server_within_the_maxima(
    channel: str, expected: tuple[float | None, ...]
) -> None:
    here = reception(CONFIG)
    for _ in range(2):
        found = here.timeouts(channel, None)
        assert tuple(found.values()) == expected
        assert tuple(found) == ("session_timeout", "keep_alive", "dialog_timeout", "max_lifetime")
        assert all(value is None or type(value) is float for value in found.values())
        found["keep_alive"] = -1.0  # it is the caller's own: the next one's are untouched


def test_what_is_asked_for_goes_before_the_defaults_and_is_held_to_the_maxima() -> None:
    here = reception(CONFIG)
    assert here.timeouts("tcp", {"keep_alive": None, "session_timeout": 7}) == {
        "session_timeout": 7.0,
        "keep_alive": None,
        "dialog_timeout": 50.0,
        "max_lifetime": 7000.0,
    }
    for asked in (None, 501):
        with pytest.raises(InvalidRequest, match=r"timeouts\.session_timeout may be at most 500"):
            here.timeouts("tcp", {"session_timeout": asked})
    assert here.timeouts("tcp", None)["keep_alive"] == 100.0


def test_channels_that_callers_make_up_are_not_remembered() -> None:
    here = reception(CONFIG)
    for number in range(100):
        assert here.timeouts(f"made-up-{number}", None)["session_timeout"] == 500.0
    assert len(here._defaults) == 1  # pyright: ignore[reportPrivateUsage]
