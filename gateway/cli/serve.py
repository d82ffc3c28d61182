"""`sojourn serve`: one server on one database file, until it is told to stop."""

import asyncio
import ipaddress
import logging
import os
import signal
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from sojourn.actors import Runtime, StoreProcess
from sojourn.gateway.insights_service import InsightsService
from sojourn.gateway.server import Server, ServerConfig
from sojourn.gateway.settings import Settings
from sojourn.gateway.settings_sources import InvalidSettings, load_settings, unknown_variables
from sojourn.storage import StorageError

from .agents import NoAgent, load_agent
from .collector import Collector
from .console import fail
from .dialogs import dialog_agent
from .options import DatabaseFile

if TYPE_CHECKING:
    from sojourn.gateway.calls import Calls
    from sojourn.gateway.webhooks import Webhooks

log = logging.getLogger("sojourn")


def serve(
    db: DatabaseFile = None,
    host: Annotated[str | None, typer.Option(help="Where to listen [default: 127.0.0.1].")] = None,
    port: Annotated[
        str | None, typer.Option(metavar="PORT", help="TCP port, 0 picks a free one [default: 7411].")
    ] = None,
    http_port: Annotated[
        str | None, typer.Option(metavar="PORT|off", help="HTTP port, 0 picks a free one [default: 7412].")
    ] = None,
    session_timeout: Annotated[
        str | None,
        typer.Option(metavar="SECONDS|never", help="Silence until a session expires [default: 3600]."),
    ] = None,
    keep_alive: Annotated[
        str | None,
        typer.Option(metavar="SECONDS|never", help="How long a closed one can be reopened [default: 120]."),
    ] = None,
    max_lifetime: Annotated[
        str | None,
        typer.Option(metavar="SECONDS|never", help="Longest life of a session [default: never]."),
    ] = None,
    dialog_timeout: Annotated[
        str | None,
        typer.Option(metavar="SECONDS|never", help="Silence until the AI's memory lapses [default: never]."),
    ] = None,
    durability: Annotated[
        str | None,
        typer.Option(metavar="full|relaxed|memory", help="What an acknowledgement survives [default: full]."),
    ] = None,
    agent: Annotated[
        str | None, typer.Option(metavar="MODULE:FUNCTION", help="Who answers users [default: nobody].")
    ] = None,
    dialog: Annotated[
        str | None, typer.Option(metavar="FILE", help="A dialog file that answers users instead.")
    ] = None,
    log_level: Annotated[
        str | None, typer.Option(metavar="debug|info|warning|error", help="What is logged [default: info].")
    ] = None,
    settings_file: Annotated[
        Path | None, typer.Option("--settings", metavar="FILE", help="Settings in TOML; flags go before it.")
    ] = None,
) -> None:
    """Serve conversations over TCP, WebSocket and HTTP, with a dashboard.

    Prints one line when connections are accepted: `ready tcp=HOST:PORT http=HOST:PORT`. Stop it with
    Ctrl-C or SIGTERM: it finishes what is in flight first. Every option can also stand in the settings
    file or, as SOJOURN_…, in the environment.
    """
    flags = {
        "db": db,
        "host": host,
        "port": port,
        "http_port": http_port,
        "session_timeout": session_timeout,
        "keep_alive": keep_alive,
        "max_lifetime": max_lifetime,
        "dialog_timeout": dialog_timeout,
        "durability": durability,
        "agent": agent,
        "dialog": dialog,
        "log_level": log_level,
    }
    try:
        settings = load_settings(flags, settings_file)
    except InvalidSettings as error:
        fail(error, usage=error.usage)
    logging.basicConfig(
        stream=sys.stderr,
        level=settings.log_level.upper(),
        format="%(asctime)s %(levelname)-7s %(name)s: %(message)s",
    )
    for warning in unknown_variables():
        log.warning(warning)
    # Before there is a loop, and before the agent's module may start threads.
    store = StoreProcess.fork() if _wants_process(settings) else None
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(settings, store))
    except NoAgent as error:
        fail(error, usage=True)
    except StorageError as error:
        fail(error)
    except OSError as error:
        fail(_why_not_listening(error, settings))


async def _serve(settings: Settings, store: StoreProcess | None) -> None:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        try:
            loop.add_signal_handler(number, stop.set)
        except NotImplementedError:  # Windows: there Ctrl-C interrupts the loop instead
            pass
    agent = None if settings.agent is None else load_agent(settings.agent)
    calls: Calls | None = None
    if settings.dialog is not None:
        if agent is not None:
            raise NoAgent("agent and dialog are both set: one of them answers")
        agent, calls = dialog_agent(settings.dialog)
    async with Runtime(
        settings.path,
        durability=settings.durability,
        agent=agent,
        config=settings.runtime_config(),
        store=store,
    ) as runtime:
        webhooks: Webhooks | None = None
        if settings.webhooks:
            from sojourn.gateway import webhooks as posting  # noqa: PLC0415  # an HTTP client: for who posts

            webhooks = posting.Webhooks(runtime, [each.webhook() for each in settings.webhooks])
            await webhooks.start()
        server = Server(runtime, server_config(settings))
        await server.start()
        collector = Collector()
        collector.start(loop)
        _share_the_interpreter()
        if not _is_loopback(settings.host):
            log.warning(
                "listening on %s without authentication: whoever reaches it can read and write every session",
                settings.host,
            )
        insights: InsightsService | None = None
        if settings.insights and settings.path is not None:
            insights = InsightsService(settings.path)
            insights.start()
            server.lookout.insights_behind = insights.how_far_behind
            server.lookout.insights_wanted = True
        print(_ready_line(server), flush=True)
        if server.http_address is not None:
            log.info("the dashboard is at %s", _dashboard(server.http_address))
        await stop.wait()
        log.info("stopping: finishing what is in flight")
        await server.drain()
        if insights is not None:
            await insights.stop()
        if webhooks is not None:
            await webhooks.stop()
        if calls is not None:
            await calls.close()
        collector.stop()


def _wants_process(settings: Settings) -> bool:
    """Shall a process of its own write the file? One core is shared better by threads."""
    if settings.path is None or not hasattr(os, "fork"):
        return False
    return settings.store == "process" or (settings.store == "auto" and _cores() > 1)


def _cores() -> int:
    """Those that we may run on; where the system does not say (macOS), all."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def server_config(settings: Settings) -> ServerConfig:
    """The part of the settings that the server needs."""
    return ServerConfig(
        host=settings.host,
        port=settings.port,
        http_port=settings.http_port,
        max_frame_bytes=settings.max_frame_bytes,
        max_reply_bytes=settings.max_reply_bytes,
        max_output_bytes=settings.max_output_bytes,
        max_connections=settings.max_connections,
        drain_timeout=settings.drain_timeout,
        allowed_origins=settings.allowed_origins,
        allowed_hosts=settings.allowed_hosts,
    )


def _ready_line(server: Server) -> str:
    def address(pair: tuple[str, int]) -> str:
        host, port = pair
        return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"

    line = f"ready tcp={address(server.tcp_address)}"
    return f"{line} http={address(server.http_address)}" if server.http_address else line


def _dashboard(address: tuple[str, int]) -> str:
    """Where a browser on this machine finds it; who listens on all addresses is reached by loopback's."""
    host, port = address
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # names of no host
    return f"http://[{host}]:{port}/" if ":" in host else f"http://{host}:{port}/"


def _why_not_listening(error: OSError, settings: Settings) -> str:
    """Which address could not be had, and why. The error does not name the port, so both are tried again."""
    ports = [port for port in (settings.port, settings.http_port) if port is not None]
    taken = next((port for port in ports if not _can_bind(settings.host, port)), settings.port)
    place = f"{settings.host}:{taken}"
    # A name that cannot be resolved has a number below 0, and a text of its own.
    known = error.errno is not None and error.errno > 0
    reason = os.strerror(error.errno or 0) if known else error.strerror or str(error)
    return f"cannot listen on {place}: {reason[:1].lower()}{reason[1:]}"


def _can_bind(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    if sys.platform == "win32":
        return None
    import uvloop  # noqa: PLC0415  # has no wheel for Windows

    return uvloop.new_event_loop


def _share_the_interpreter() -> None:
    """Let the store's and the reader's threads have the interpreter soon when the loop is busy.

    They need it for a few microseconds several times a commit, and would wait 5 ms each time. (Measured: a
    page of a sweep took 5 ms alone and 17 ms beside a busy loop.)
    """
    sys.setswitchinterval(0.0005)


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
