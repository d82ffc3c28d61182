"""The `sojourn` command in a process of its own, without the second that reading the libraries takes.

One process a test worker has read them; for each command it forks, and the child goes on as
`python -m sojourn` would: its own arguments, environment, folder, standard streams, modules of the command
line, exit code. A script can be run in the same way. What a fresh interpreter does is tested where it counts
(`test_cli_serve.py`, the examples, the README): these start one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import selectors
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, Any, NoReturn

READ_BEFORE = (
    "fastapi",
    "httpx",
    "rich.progress",
    "rich.table",
    "sojourn.actors.dialog",
    "sojourn.gateway.client_sync",
    "sojourn.gateway.server",
    "sojourn.gateway.settings_sources",
    "sojourn.gateway.webhooks",
    "typer.main",
    "uvicorn",
    "uvloop",
)
"""All but `sojourn.gateway.cli`, which looks at the terminal when it is read."""


class Command:
    """One run of `sojourn`, as `subprocess.Popen` shows it: `pid`, `stdout`, `poll`, `wait`, signals."""

    def __init__(
        self,
        words: Sequence[str],
        *,
        environment: Mapping[str, str],
        folder: Path | None = None,
        stdin: int | None = None,
        stdout: int | None = None,
        stderr: int | None = None,
        script: Path | None = None,
    ) -> None:
        """`environment` is the whole of it; a `script` is run instead of `sojourn`. The streams are file
        descriptors; None: nothing, a pipe (`self.stdout`), and where this process's own errors go.
        """
        status, status_end = os.pipe()
        self._status = status
        self.returncode: int | None = None
        self.stdout: IO[bytes] | None = None
        opened = [status_end]
        try:
            if stdin is None:
                stdin = os.open(os.devnull, os.O_RDONLY)
                opened.append(stdin)
            if stdout is None:
                read, stdout = os.pipe()
                self.stdout = os.fdopen(read, "rb", 0)
                opened.append(stdout)
            request = {
                "script": None if script is None else str(script),
                "words": list(words),
                "environment": dict(environment),
                "folder": str(folder or Path.cwd()),
            }
            streams = [stdin, stdout, 2 if stderr is None else stderr]
            self.pid = _prepared().start(request, [*streams, status_end])
        finally:
            for each in opened:
                os.close(each)

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        return self._look(0)

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, when it has ended; `subprocess.TimeoutExpired` when it has not."""
        code = self._look(timeout)
        if code is None:
            raise subprocess.TimeoutExpired("sojourn", timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Nothing, once it has ended."""
        if self.poll() is None:
            with suppress(ProcessLookupError):  # it has, and its exit code is still on its way here
                os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def _look(self, timeout: float | None) -> int | None:
        if self.returncode is None:
            with selectors.DefaultSelector() as selector:
                selector.register(self._status, selectors.EVENT_READ)
                if not selector.select(timeout):
                    return None
            told = os.read(self._status, 64)
            os.close(self._status)
            self.returncode = int(told) if told else -signal.SIGKILL
        return self.returncode


def run_sojourn(
    *words: str,
    environment: Mapping[str, str],
    folder: Path | None = None,
    stdin: str = "",
    timeout: float = 30.0,
) -> subprocess.CompletedProcess[str]:
    """Run it to its end, as `subprocess.run(…, capture_output=True, text=True)` does."""
    return _to_its_end(words, environment, folder, stdin, timeout)


def run_script(
    script: Path, *, environment: Mapping[str, str], folder: Path, timeout: float = 30.0
) -> subprocess.CompletedProcess[str]:
    """Run a file of Python to its end, in the same way."""
    return _to_its_end((), environment, folder, "", timeout, script)


def _to_its_end(
    words: Sequence[str],
    environment: Mapping[str, str],
    folder: Path | None,
    stdin: str,
    timeout: float,
    script: Path | None = None,
) -> subprocess.CompletedProcess[str]:
    with TemporaryFile() as given, TemporaryFile() as out, TemporaryFile() as err:
        given.write(stdin.encode())
        given.seek(0)
        command = Command(
            words,
            environment=environment,
            folder=folder,
            stdin=given.fileno(),
            stdout=out.fileno(),
            stderr=err.fileno(),
            script=script,
        )
        try:
            code = command.wait(timeout)
        except subprocess.TimeoutExpired:
            command.kill()
            command.wait()
            raise
        texts: list[str] = []
        for each in (out, err):
            each.seek(0)
            texts.append(each.read().decode())
        return subprocess.CompletedProcess([str(script or "sojourn"), *words], code, *texts)


class _Prepared:
    """The process that has read the libraries, from outside."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        root = Path(__file__).parent.parent
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, str(Path(__file__)), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                env={**os.environ, "PYTHONPATH": str(root)},
                stdin=subprocess.DEVNULL,
            )
        self._socket = ours
        atexit.register(self.end)

    def start(self, request: Mapping[str, Any], descriptors: list[int]) -> int:
        """Have a child forked; its pid."""
        body = json.dumps(request).encode()
        socket.send_fds(self._socket, [len(body).to_bytes(4, "big")], descriptors)
        self._socket.sendall(body)
        return int.from_bytes(_exactly(self._socket, 4), "big")

    def end(self) -> None:
        """It ends, and what it has started with it."""
        self._socket.close()
        self._process.wait()


_the_prepared: _Prepared | None = None


def _prepared() -> _Prepared:
    global _the_prepared
    if _the_prepared is None:
        _the_prepared = _Prepared()
    return _the_prepared


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


# -- inside that process -----------------------------------------------------------------------------


def _serve(control: socket.socket) -> dict[str, Any]:
    """Fork for each request; returns in the children, with what each is to do."""
    running: dict[int, int] = {}
    woken, wake = os.pipe()
    os.set_blocking(wake, False)
    signal.signal(signal.SIGCHLD, _wake)
    before = signal.set_wakeup_fd(wake)
    assert before == -1
    while True:
        with selectors.DefaultSelector() as selector:
            selector.register(control, selectors.EVENT_READ)
            selector.register(woken, selectors.EVENT_READ)
            ready = {key.fd for key, _ in selector.select()}
        if woken in ready:
            os.read(woken, 4096)
            _tell_who_ended(running)
        if control.fileno() not in ready:
            continue
        head, descriptors, _, _ = socket.recv_fds(control, 4, 4)
        if not head:
            _end_all(running)
        request: dict[str, Any] = json.loads(_exactly(control, int.from_bytes(head, "big")))
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for number, each in enumerate(descriptors[:3]):
                os.dup2(each, number)
            os.closerange(3, 1024)
            control.detach()
            return request
        running[pid] = descriptors.pop()
        for each in descriptors:
            os.close(each)
        control.sendall(pid.to_bytes(4, "big"))


def _wake(_number: int, _frame: object) -> None:
    """The byte in the pipe says it."""


def _tell_who_ended(running: dict[int, int]) -> None:
    while running:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if pid == 0:
            return
        told = running.pop(pid)
        try:
            os.write(told, str(os.waitstatus_to_exitcode(status)).encode())
        except BrokenPipeError:
            pass  # nobody asks any more
        os.close(told)


def _end_all(running: dict[int, int]) -> NoReturn:
    for pid in running:
        os.kill(pid, signal.SIGKILL)
        os.waitpid(pid, 0)
    sys.exit(0)


_exit_code = 0


def _leave() -> NoReturn:
    """The last of what a process that ends does by itself, but for taking all its modules apart: that would
    cost as much as most commands do.
    """
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except OSError:
        os._exit(120)
    os._exit(_exit_code)


def _run(script: str | None) -> None:
    import runpy  # noqa: PLC0415  # of that process alone

    global _exit_code
    _exit_code = 1  # of what nobody catches
    try:
        if script is None:
            runpy.run_module("sojourn", run_name="__main__", alter_sys=True)
        else:
            runpy.run_path(script, run_name="__main__")
    except SystemExit as end:
        _exit_code = 0 if end.code is None else end.code if isinstance(end.code, int) else 1
        raise
    _exit_code = 0


def _main() -> None:
    import importlib  # noqa: PLC0415

    atexit.register(_leave)  # the first to be told is the last to be called
    for name in READ_BEFORE:
        importlib.import_module(name)
    gc.collect()
    gc.freeze()  # no child looks through all of that again when it ends
    request = _serve(socket.socket(fileno=int(sys.argv[1])))
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    script: str | None = request["script"]
    sys.argv = [script or "sojourn", *request["words"]]
    given = request["environment"].get("PYTHONPATH", "")
    own = request["folder"] if script is None else str(Path(script).parent)
    sys.path[0:1] = [own, *filter(None, given.split(os.pathsep))]
    sys.stdin = open(0, closefd=False)  # noqa: SIM115  # for as long as the process lives
    sys.stdout = open(1, "w", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", buffering=1, closefd=False)  # noqa: SIM115
    _run(script)


if __name__ == "__main__":
    _main()
