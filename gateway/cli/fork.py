"""`sojourn fork`: a new session with the state that another one had at some place of its history."""

from typing import Annotated

import typer

from sojourn.gateway.client import connect
from sojourn.gateway.errors import GatewayError

from .console import fail, run
from .options import ServerHost, ServerPort


def fork(
    session_id: Annotated[str, typer.Argument(metavar="ID", help="The session's id.")],
    at: Annotated[
        int | None,
        typer.Option("--at", metavar="SEQ", min=1, help="Place of its history [default: now]."),
    ] = None,
    channel: Annotated[str | None, typer.Option(help="Another channel than the session's.")] = None,
    host: ServerHost = "127.0.0.1",
    port: ServerPort = 7411,
) -> None:
    """Have a server make a new session with the state as of then, and print its id; it may have expired."""
    run(_fork(session_id, at, channel, host, port))


async def _fork(session_id: str, at: int | None, channel: str | None, host: str, port: int) -> None:
    try:
        async with connect(host, port, role="service", reconnect=False) as client:
            forked = await client.session(session_id).fork(at, channel=channel)
    except GatewayError as error:
        fail(error)
    except OSError as error:
        reason = error.strerror or error
        fail(f"no server answers at {host}:{port} ({reason}): start one with `sojourn serve`")
    print(forked.id)
