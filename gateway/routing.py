"""What the handlers of requests share: the actors, the server's limits, the way there and the way back."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

from sojourn.actors import Runtime
from sojourn.actors.core import Core
from sojourn.actors.packing import pack

from . import replies
from .limits import Limits
from .peer import Peer
from .replies import Reply, View

Frame = dict[str, Any]


class Routing:
    """One router's, for all of its connections. Loop thread only."""

    def __init__(
        self,
        runtime: Runtime,
        limits: Limits,
        channel: str,
        server_name: str,
        watch_heartbeat: Callable[[Peer], None],
    ) -> None:
        """`channel` is what sessions get that name none: the transport's."""
        core: Core = runtime.core
        self.core = core
        self.registry = core.registry
        self.reception = core.reception
        self.limits = limits
        self.channel = channel
        self.server_name = server_name
        self.watch_heartbeat = watch_heartbeat
        self.page_bytes = limits.max_reply_bytes - replies.PAGE_OVERHEAD
        self.created = replies.created(core.reception.resume_token)
        self.forked = replies.created(core.reception.resume_token, "session:forked")
        self._tasks: set[asyncio.Task[None]] = set()

    def deliver(self, peer: Peer, frame: Frame, request: Any, view: View) -> None:
        """Send `request` to the frame's session; `view` makes the reply of its answer."""
        request.reply_to = Reply(peer, frame.get("id"), view)
        self.registry.deliver(frame["session_id"], request)

    @staticmethod
    def answer(peer: Peer, frame: Frame, body: Frame) -> None:
        """Reply at once."""
        request_id = frame.get("id")
        peer.answer(pack(body if request_id is None else {**body, "reply_to": request_id}))

    def spawn(self, work: Coroutine[Any, Any, None], reply: Reply) -> None:
        """Run what takes its time; when it fails, `reply` says so."""

        async def run() -> None:
            try:
                await work
            except Exception as error:  # noqa: BLE001  # whatever it is, the asker hears of it
                reply.set_exception((type(error), error, None))

        task = asyncio.get_running_loop().create_task(run())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def arrived(self, peer: Peer) -> None:
        """A human agent is present while a connection of that identity is."""
        caller = peer.caller
        if caller.role == "agent" and caller.id is not None:
            self.core.shared.desk.arrive(caller.id)

    def left(self, peer: Peer) -> None:
        """A connection is gone: it is attached to nothing."""
        shared = self.core.shared
        shared.audience.leave(peer)
        shared.desk.unwatch(peer)
        caller = peer.caller
        if caller.role == "agent" and caller.id is not None:
            shared.desk.leave(caller.id)

    @property
    def idle(self) -> bool:
        """No list, no erasure and no broadcast is under way."""
        return not self._tasks and self.core.broadcasts.idle


Handler = Callable[[Routing, Peer, Frame, float], None]
"""Does what one type of request asks for, with a frame that was checked; never waits."""
