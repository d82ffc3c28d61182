"""Limits of a server: who is turned away is told so, and nobody else notices."""

from pathlib import Path

from tests.integration.server_process import ServerProcess


def test_one_connection_too_many_is_told_goodbye_and_the_others_live_on(tmp_path: Path) -> None:
    with ServerProcess(tmp_path, memory=True, environment={"SOJOURN_MAX_CONNECTIONS": "1"}) as server:
        with server.connect() as first:
            assert first.ok("ping")["type"] == "pong"
            second = server.connect()
            (goodbye,) = second.ended()
            assert (goodbye["type"], goodbye["code"]) == ("goodbye", "too_many_connections")
            assert goodbye["reconnect"] is True
            assert first.ok("ping")["type"] == "pong"
        assert not server.complaints()
