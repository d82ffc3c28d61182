"""Who may reach the HTTP port from a browser: the `Host` and `Origin` of a request, judged.

A page of another site can make a browser send requests here, and by DNS rebinding it can do so under a name
of its own that leads to this address. So `Host` must be a name this server goes by, or a plain address, which
cannot be made to lead elsewhere; and `Origin`, which browsers send and programs do not, must be that same
place or one that is allowed by name.
"""

from collections.abc import Iterable
from ipaddress import ip_address
from typing import Final
from urllib.parse import urlsplit

LOOPBACK: Final = frozenset({"localhost", "127.0.0.1", "::1"})
UNSPECIFIED: Final = frozenset({"0.0.0.0", "::"})  # noqa: S104  # names of no host: nobody is bound here


class Origins:
    """The names a server answers to, and the sites whose pages may speak to it."""

    __slots__ = ("_any_host", "_hosts", "_origins")

    def __init__(
        self, listen_host: str, allowed_origins: Iterable[str] = (), allowed_hosts: Iterable[str] = ()
    ) -> None:
        """`allowed_origins`: as browsers write them, `https://chat.example.org`; `allowed_hosts`: names
        without a port. `*` allows all of either.
        """
        hosts = {host.lower() for host in allowed_hosts}
        self._any_host = "*" in hosts
        self._hosts = hosts | LOOPBACK | ({listen_host.lower()} - UNSPECIFIED)
        self._origins = frozenset(origin.lower().rstrip("/") for origin in allowed_origins)

    @property
    def elsewhere(self) -> frozenset[str]:
        """The other sites that are allowed; `*` among them: all."""
        return self._origins

    def knows_host(self, host: str | None) -> bool:
        """Is `host`, the header, a name of this server, whatever its port? HTTP/1.1 always sends one."""
        if host is None:
            return False
        if self._any_host:
            return True
        name = name_of(host)
        return name is not None and (name in self._hosts or _is_address(name))

    def allows(self, origin: str | None, host: str | None) -> bool:
        """May a page of `origin` speak to the server it reached as `host`? No origin: it is no page."""
        if origin is None:
            return True
        origin = origin.lower()
        if origin in self._origins or "*" in self._origins:
            return True
        if host is None or "://" not in origin:
            return False
        # The scheme is left out: behind a proxy that speaks TLS the server sees plain HTTP.
        return origin.split("://", 1)[1] == host.lower()


def _is_address(name: str) -> bool:
    """Is it an address of a host, in the one way that browsers write it? The one that means all is none."""
    try:
        return not ip_address(name).is_unspecified
    except ValueError:
        return False


def name_of(host: str) -> str | None:
    """The name in a `Host` header, without its port, in lower case; None: it is no such header."""
    try:
        parts = urlsplit(f"//{host}")
        _port = parts.port
    except ValueError:
        return None
    if parts.username is not None or parts.path or parts.query or parts.fragment:
        return None
    return parts.hostname
