"""The load generator builds and counts; what the figures are is not a test's business."""

import pytest

from benchmarks import loadgen
from benchmarks.loadgen import Load, LoadgenUnavailable, LoadResult
from benchmarks.servers import ServerProcess, peer


@pytest.fixture(scope="module", autouse=True)
def _needs_the_load_generator() -> None:
    try:
        loadgen.build()
    except LoadgenUnavailable as error:
        pytest.skip(str(error))


def send(load: Load, peer_name: str) -> LoadResult:
    with ServerProcess(peer(peer_name)) as server:
        return loadgen.run(load, server.address)


@pytest.mark.parametrize("peer_name", ["echo", "msgpack"])
@pytest.mark.parametrize("rate", [None, 2000.0], ids=["closed", "open"])
def test_every_answer_is_counted(peer_name: str, rate: float | None) -> None:
    load = Load(connections=7, sessions=3, outstanding=5, seconds=0.1, warmup=0.05, rate=rate, echo=True)
    result = send(load, peer_name)
    assert result.is_clean, result
    assert 0 < result.messages <= result.sent == result.answered
    assert result.errors == 0
    assert 0 < result.latency_us["p50"] <= result.latency_us["p99"] <= result.latency_us["max"]


def test_open_loop_sends_each_message_of_its_schedule() -> None:
    load = Load(connections=3, seconds=0.075, warmup=0.025, rate=4000.0, echo=True)
    result = send(load, "msgpack")
    assert result.sent == 400
    assert result.messages == 300


def test_window_is_announced_when_it_opens_and_when_it_ends() -> None:
    announced: list[bool] = []
    with ServerProcess(peer("echo")) as server:
        load = Load(connections=2, seconds=0.1, warmup=0.0, echo=True)
        loadgen.run(load, server.address, on_window=announced.append)
    assert announced == [True, False]


def test_message_to_a_server_that_refuses_the_session_is_an_error_with_its_reason() -> None:
    # A peer that knows no sessions sends session:create back, which is no answer to it.
    with ServerProcess(peer("echo")) as server, pytest.raises(loadgen.LoadgenError, match="session"):
        loadgen.run(Load(connections=1, seconds=0.1, setup_seconds=0.5), server.address)
