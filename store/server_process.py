"""The server as a process: forked, waited for until it answers, ended.

Everything here is synchronous: it is for programs that start, before any event loop has work.
"""

import os
import socket
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import Future
from pathlib import Path

from whence.store.errors import EmbeddedServerError

__all__ = ["ServerProcess", "listens"]

_SHIM = Path(__file__).with_name("_exec_server.py")
_PAUSE_S = 0.02
_ANSWER_S = 1.0


class ServerProcess:
    """A server process that receives SIGTERM when the program that made it ends (on Linux).

    A thread of its own forks it and waits for its end, for Linux sends the parent-death signal when
    the *thread* that forked ends: a thread from a pool may end long before the program does. It is
    a daemon thread, so that it never keeps a program from ending.
    """

    def __init__(self, binary: Path, config: bytes, *, log: Path, lock: int) -> None:
        """Start ``binary`` with ``config`` on its standard input, and the descriptor ``lock`` open.

        Raises EmbeddedServerError when no process can be made. What it prints goes to ``log``.
        """
        if not sys.executable:
            raise EmbeddedServerError(
                "this program does not know its Python interpreter (sys.executable is empty), "
                "which binds the server to it: set WHENCE_URL to a server of your own"
            )
        self._ended = threading.Event()
        forked: Future[subprocess.Popen[bytes]] = Future()
        threading.Thread(
            target=self._keep,
            args=(forked, binary, config, log, lock),
            name="whence-embedded-server",
            daemon=True,
        ).start()
        try:
            self._process = forked.result()
        except OSError as error:
            raise EmbeddedServerError(f"the server cannot be started: {error}") from error

    @property
    def pid(self) -> int:
        return self._process.pid

    def alive(self) -> bool:
        """Whether the process still runs."""
        return not self._ended.is_set()

    def wait_until_ready(self, address: Path, timeout: float) -> bool:
        """Whether the server came to answer at ``address``: False when its process ended instead.

        Raises TimeoutError after ``timeout`` seconds in which it did not even answer LOADING.
        """
        progress = time.monotonic()
        while not self._ended.wait(_PAUSE_S):
            answer = _ping(address)
            if answer.startswith(b"+PONG"):
                return True
            if answer.startswith(b"-LOADING"):
                progress = time.monotonic()
            if time.monotonic() - progress > timeout:
                raise TimeoutError
        return False

    def stop(self, timeout: float) -> None:
        """SIGTERM, SIGKILL after ``timeout`` seconds; returns when the process has ended."""
        if self._ended.is_set():
            return
        self._process.terminate()
        if not self._ended.wait(timeout):
            self._process.kill()
            self._ended.wait()

    def _keep(
        self,
        forked: "Future[subprocess.Popen[bytes]]",
        binary: Path,
        config: bytes,
        log: Path,
        lock: int,
    ) -> None:
        try:
            process = _fork(binary, config, log, lock)
        except BaseException as error:
            forked.set_exception(error)
            return
        forked.set_result(process)
        process.wait()
        self._ended.set()


def _fork(binary: Path, config: bytes, log: Path, lock: int) -> subprocess.Popen[bytes]:
    shim = [sys.executable, "-I", "-S", str(_SHIM), str(os.getpid())]
    with tempfile.TemporaryFile() as stdin, log.open("ab") as output:
        stdin.write(config)
        stdin.seek(0)
        return subprocess.Popen(  # noqa: S603 - our own interpreter, file and binary
            [*shim, str(binary), "-"],
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=log.parent,
            pass_fds=(lock,),
            # Ctrl-C goes to every process of the terminal's group: the program ends first, and
            # stops its server when it needs it no more.
            start_new_session=True,
            # The server sets its socket's mode only after it has bound it.
            umask=0o077,
        )


def listens(address: Path) -> bool:
    """Whether a process listens at the socket ``address``, however busy it is."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(address))
        except (TimeoutError, BlockingIOError):
            # Its queue of new connections is full.
            return True
        except OSError:
            return False
        return True


def _ping(address: Path) -> bytes:
    """The answer to PING, empty when there was none within a second."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_ANSWER_S)
        try:
            connection.connect(str(address))
            connection.sendall(b"PING\r\n")
            return connection.recv(512)
        except OSError:
            return b""
