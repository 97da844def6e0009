"""The embedded server: real servers on real directories, started, killed and damaged."""

import os
import re
import shlex
import shutil
import signal
import stat
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any, Literal, Protocol, cast

import pytest
import redis

from whence.store.embedded import EmbeddedServer, running_at
from whence.store.errors import (
    DataDirectoryInUse,
    DataDirectoryUnsafe,
    EmbeddedServerError,
    InvalidSetting,
)

linux_only = pytest.mark.skipif(
    sys.platform != "linux", reason="only Linux has a parent-death signal"
)

LOG = "appendonlydir/appendonly.aof.1.incr.aof"
MANIFEST = "appendonlydir/appendonly.aof.manifest"
APPEND = "redis.call('XADD', KEYS[1], '1-0', 'a', 'b') redis.call('XADD', KEYS[1], '2-0', 'a', 'b')"

# A program that owns a server: it says which, and then lives until it is killed.
PROGRAM = """
import signal, sys
from whence.store.embedded import EmbeddedServer
signal.signal(signal.SIGINT, lambda *_: print("interrupted", flush=True))
server = EmbeddedServer.start(sys.argv[1])
print(server.pid, server.url, flush=True)
if "leave" not in sys.argv:
    while True:
        signal.pause()
"""


class Start(Protocol):
    def __call__(
        self,
        data: Path | str,
        *,
        fsync: Literal["always", "everysec"] = "always",
        timeout: float = 30.0,
    ) -> EmbeddedServer: ...


@pytest.fixture
def start() -> Iterator[Start]:
    """EmbeddedServer.start; whatever it started has ended when the test has."""
    servers: list[EmbeddedServer] = []

    def starting(
        data: Path | str,
        *,
        fsync: Literal["always", "everysec"] = "always",
        timeout: float = 30.0,
    ) -> EmbeddedServer:
        servers.append(EmbeddedServer.start(data, fsync=fsync, timeout=timeout))
        return servers[-1]

    try:
        yield starting
    finally:
        for server in servers:
            server.stop()


class Program:
    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self.process = process
        self.pid = process.pid
        pid, self.url = self.line().split()
        self.server = int(pid)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()


@contextmanager
def program(data: Path, *options: str) -> Generator[Program]:
    """Run PROGRAM in a session of its own; it and its server have ended when the block has."""
    process = subprocess.Popen(
        [sys.executable, "-W", "error", "-c", PROGRAM, str(data), *options],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    owner: Program | None = None
    try:
        owner = Program(process)
        yield owner
    finally:
        process.kill()
        process.communicate()
        if owner is not None:
            try:
                eventually(lambda: ended(owner.server))
            except AssertionError:
                os.kill(owner.server, signal.SIGKILL)
                raise


def ask(url: str, *command: str) -> Any:
    # redis-py's own types are not complete enough for pyright.
    client: Any = cast("Any", redis.Redis).from_url(url, decode_responses=True)
    with client:
        return client.execute_command(*command)


def eventually(condition: Callable[[], bool], within_s: float = 20.0) -> None:
    deadline = time.monotonic() + within_s
    while not condition():
        assert time.monotonic() < deadline, "the condition never came true"
        time.sleep(0.01)


def ended(pid: int) -> bool:
    """Whether the process has ended; a zombie that nobody has fetched yet has as well."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    state = subprocess.run(
        ["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False
    )
    return state.stdout.strip()[:1] in ("", "Z")


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def contents(directory: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(directory)): file.read_bytes()
        for file in directory.rglob("*")
        if file.is_file()
    }


def stored(start: Start, data: Path, *command: str) -> Path:
    """A directory on which a server ran, took ``command`` and was stopped."""
    server = start(data)
    ask(server.url, *(command or ("SET", "order", "placed")))
    server.stop()
    return data


class TestStartAndStop:
    def test_a_restart_on_the_same_directory_finds_the_data(
        self, start: Start, tmp_path: Path
    ) -> None:
        stored(start, tmp_path / "data")
        assert ask(start(tmp_path / "data").url, "GET", "order") == "placed"

    def test_it_is_a_context_manager(self, tmp_path: Path) -> None:
        with EmbeddedServer.start(tmp_path / "data") as server:
            assert server.alive()
            assert ask(server.url, "PING") is True
        assert not server.alive()
        assert ended(server.pid)

    def test_stopping_twice_is_stopping_once(self, start: Start, tmp_path: Path) -> None:
        server = start(tmp_path)
        server.stop()
        server.stop()
        assert not server.alive()
        assert ended(server.pid)

    def test_a_server_that_ignores_sigterm_is_killed(self, start: Start, tmp_path: Path) -> None:
        server = start(tmp_path)
        os.kill(server.pid, signal.SIGSTOP)
        server.stop(timeout=0.1)
        assert ended(server.pid)

    def test_a_server_that_dies_is_not_alive_and_another_may_start(
        self, start: Start, tmp_path: Path
    ) -> None:
        server = start(tmp_path)
        ask(server.url, "SET", "order", "placed")
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not server.alive())
        server.stop()
        assert ask(start(tmp_path).url, "GET", "order") == "placed"

    def test_it_does_not_end_with_the_thread_that_started_it(
        self, start: Start, tmp_path: Path
    ) -> None:
        servers: list[EmbeddedServer] = []
        thread = threading.Thread(target=lambda: servers.append(start(tmp_path)))
        thread.start()
        thread.join()
        # join() returns a little before the operating system's thread has ended.
        eventually(lambda: not Path(f"/proc/self/task/{thread.native_id}").exists())
        # A signal sent at its end is handled before the command that is sent after it.
        assert ask(servers[0].url, "PING") is True
        assert "SIGTERM" not in (tmp_path / "valkey.log").read_text()

    def test_it_ends_on_sigterm_even_when_the_caller_had_blocked_it(
        self, start: Start, tmp_path: Path
    ) -> None:
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        try:
            server = start(tmp_path)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        server.stop(timeout=60.0)
        assert "Received SIGTERM" in (tmp_path / "valkey.log").read_text()

    def test_a_long_log_may_load_longer_than_the_timeout(
        self, start: Start, tmp_path: Path
    ) -> None:
        # The server answers LOADING once in 1,024 commands: here about once in half a second.
        script = "local e = os.clock() + 0.0005 while os.clock() < e do end redis.call('INCR', 'n')"
        (tmp_path / "appendonly.aof").write_bytes(resp("EVAL", script, "0") * 8_000)
        begin = time.monotonic()
        server = start(tmp_path, timeout=2.5)
        assert time.monotonic() - begin > 2.5
        assert ask(server.url, "GET", "n") == "8000"

    def test_a_server_that_does_not_get_on_is_given_up(self, start: Start, tmp_path: Path) -> None:
        log = stored(start, tmp_path) / LOG
        log.unlink()
        os.mkfifo(log)
        with pytest.raises(EmbeddedServerError, match=r"did not answer for 0\.5 s"):
            start(tmp_path, timeout=0.5)
        log.unlink()
        log.touch()
        assert start(tmp_path).alive()

    def test_a_platform_without_a_binary_is_told_what_to_do(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def nothing(name: str) -> list[metadata.PackagePath]:
            return []

        monkeypatch.setattr(metadata, "files", nothing)
        with pytest.raises(EmbeddedServerError, match="set WHENCE_URL"):
            start(tmp_path / "data")
        assert not (tmp_path / "data").exists()


class TestOneServerPerDirectory:
    def test_a_second_start_in_the_same_process_is_refused(
        self, start: Start, tmp_path: Path
    ) -> None:
        server = start(tmp_path)
        with pytest.raises(DataDirectoryInUse, match=f"process {os.getpid()}") as refused:
            start(tmp_path)
        assert refused.value.pid == os.getpid()
        assert ask(server.url, "PING") is True

    def test_a_second_start_in_another_process_is_refused_at_once(
        self, start: Start, tmp_path: Path
    ) -> None:
        with program(tmp_path) as owner:
            begin = time.monotonic()
            with pytest.raises(DataDirectoryInUse, match=f"process {owner.pid}"):
                start(tmp_path)
            assert time.monotonic() - begin < 5
            assert ask(owner.url, "PING") is True

    def test_a_link_to_the_directory_is_the_directory(self, start: Start, tmp_path: Path) -> None:
        start(tmp_path / "data")
        (tmp_path / "link").symlink_to(tmp_path / "data")
        with pytest.raises(DataDirectoryInUse):
            start(tmp_path / "link")


@linux_only
class TestTheEndOfTheProgram:
    @pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM])
    def test_the_server_ends_with_a_killed_program_and_the_next_waits_for_it(
        self, start: Start, tmp_path: Path, end: signal.Signals
    ) -> None:
        with program(tmp_path) as owner:
            ask(owner.url, "SET", "order", "placed")
            os.kill(owner.pid, end)
            # It stays a zombie, as under a supervisor that is slow; its server may not have ended.
            os.waitid(os.P_PID, owner.pid, os.WEXITED | os.WNOWAIT)
            server = start(tmp_path)
            assert ended(owner.server)
            assert ask(server.url, "GET", "order") == "placed"

    def test_the_server_ends_with_a_program_that_forgot_it(
        self, start: Start, tmp_path: Path
    ) -> None:
        with program(tmp_path, "leave") as owner:
            _, complaints = owner.process.communicate(timeout=60)
            assert (owner.process.returncode, complaints) == (0, "")
            eventually(lambda: ended(owner.server))
        assert start(tmp_path).alive()

    def test_the_patience_has_an_end(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("whence.store.data_directory._PATIENCE_S", 0.2)
        with program(tmp_path) as owner:
            os.kill(owner.server, signal.SIGSTOP)
            try:
                owner.process.kill()
                owner.process.wait()
                with pytest.raises(DataDirectoryInUse, match=f"process {owner.server}"):
                    start(tmp_path)
            finally:
                os.kill(owner.server, signal.SIGCONT)


def test_ctrl_c_does_not_reach_the_server(tmp_path: Path) -> None:
    with program(tmp_path) as owner:
        os.killpg(owner.pid, signal.SIGINT)
        assert owner.line() == "interrupted"
        assert os.getsid(owner.server) != os.getsid(owner.pid)
        assert ask(owner.url, "PING") is True
        assert "SIGINT" not in (tmp_path / "valkey.log").read_text()


class TestWhatWouldLoseEvents:
    def test_a_directory_with_only_an_rdb_file_is_refused_and_left_alone(
        self, start: Start, tmp_path: Path
    ) -> None:
        snapshot_only(start, tmp_path)
        before = contents(tmp_path)
        with pytest.raises(DataDirectoryUnsafe, match=r"an RDB file \(dump\.rdb\).*start empty"):
            start(tmp_path)
        assert contents(tmp_path) == before

    def test_an_rdb_file_beside_an_append_only_file_does_no_harm(
        self, start: Start, tmp_path: Path
    ) -> None:
        server = start(tmp_path)
        ask(server.url, "SET", "order", "placed")
        ask(server.url, "SAVE")
        server.stop()
        assert (tmp_path / "dump.rdb").exists()
        assert ask(start(tmp_path).url, "GET", "order") == "placed"

    def test_append_only_files_without_their_manifest_are_refused_and_left_alone(
        self, start: Start, tmp_path: Path
    ) -> None:
        (stored(start, tmp_path) / MANIFEST).unlink()
        before = contents(tmp_path)
        with pytest.raises(DataDirectoryUnsafe, match=r"no appendonly\.aof\.manifest"):
            start(tmp_path)
        assert contents(tmp_path) == before

    def test_an_old_append_only_file_is_taken_over(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "appendonly.aof").write_bytes(resp("SET", "order", "placed"))
        assert ask(start(tmp_path).url, "GET", "order") == "placed"

    def test_a_torn_last_write_is_cut_off(self, start: Start, tmp_path: Path) -> None:
        log = stored(start, tmp_path) / LOG
        whole = log.stat().st_size
        with log.open("ab") as file:
            file.write(resp("SET", "order", "shipped")[:-3])
        assert ask(start(tmp_path).url, "GET", "order") == "placed"
        assert log.stat().st_size == whole

    def test_a_torn_append_of_several_events_leaves_none_of_them(
        self, start: Start, tmp_path: Path
    ) -> None:
        stored(start, tmp_path, "EVAL", APPEND, "1", "order")
        os.truncate(tmp_path / LOG, (tmp_path / LOG).stat().st_size - 3)
        server = start(tmp_path)
        assert ask(server.url, "XLEN", "order") == 0
        ask(server.url, "SET", "later", "kept")
        server.stop()
        assert ask(start(tmp_path).url, "EXISTS", "order", "later") == 1

    def test_a_zero_filled_tail_names_the_commands_that_help(
        self, start: Start, tmp_path: Path
    ) -> None:
        data = tmp_path / "my data"
        log = stored(start, data) / LOG
        whole = log.read_bytes()
        log.write_bytes(whole + bytes(4096))
        with pytest.raises(EmbeddedServerError, match="Bad file format") as failed:
            start(data)
        assert log.read_bytes() == whole + bytes(4096)

        commands = re.findall(r"^  ('?/.*valkey-check-aof.*)$", str(failed.value), re.MULTILINE)
        check, fix = (shlex.split(command) for command in commands)
        checked = subprocess.run(check, capture_output=True, text=True, check=False)
        assert f"ok_up_to={len(whole)}" in checked.stdout
        assert "diff=4096" in checked.stdout
        subprocess.run(fix, input="y\n", capture_output=True, text=True, check=True)
        assert log.read_bytes() == whole
        assert ask(start(data).url, "GET", "order") == "placed"

    def test_a_start_that_fails_shows_the_servers_last_words(
        self, start: Start, tmp_path: Path
    ) -> None:
        (stored(start, tmp_path) / MANIFEST).write_bytes(b"")
        with pytest.raises(EmbeddedServerError, match="Found an empty AOF manifest"):
            start(tmp_path)


class TestPaths:
    @pytest.mark.parametrize(
        "name", ["my data", 'it\'s "here"', "100%", "a#b?c", "back\\slash", "new\nline", "größe"]
    )
    def test_any_name_will_do(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        # A name with a line end in it has its socket there.
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        data = stored(start, tmp_path / name)
        server = start(data)
        assert running_at(data) == server.url
        assert ask(server.url, "GET", "order") == "placed"
        assert ask(server.url, "CONFIG", "GET", "dir") == {"dir": str(data)}

    def test_a_path_that_is_too_long_for_a_socket(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        data = tmp_path / ("long" * 40)
        server = start(data)
        sockets = tmp_path / f"whence-{os.geteuid()}"
        assert server.url.startswith(f"unix://{sockets}/")
        assert mode(sockets) == 0o700
        assert ask(server.url, "PING") is True
        with pytest.raises(DataDirectoryInUse):
            start(data)
        # From a terminal with another TMPDIR as well.
        monkeypatch.setattr(tempfile, "tempdir", "/nowhere")
        assert running_at(data) == server.url
        os.kill(server.pid, signal.SIGKILL)
        eventually(lambda: not server.alive())
        assert running_at(data) is None
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        assert start(data).url == server.url

    def test_a_place_for_sockets_that_others_can_enter_is_refused(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        sockets = tmp_path / f"whence-{os.geteuid()}"
        sockets.mkdir()
        sockets.chmod(0o755)
        with pytest.raises(EmbeddedServerError, match="only this user can enter"):
            start(tmp_path / ("long" * 40))

    def test_a_temporary_directory_that_is_too_long_as_well_is_named(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        data = tmp_path / ("long" * 40)
        data.mkdir()
        monkeypatch.setattr(tempfile, "tempdir", str(data))
        with pytest.raises(EmbeddedServerError, match="set TMPDIR"):
            start(data)

    def test_only_this_user_may_enter(self, start: Start, tmp_path: Path) -> None:
        data = tmp_path / "data"
        start(data)
        assert mode(data) == 0o700
        assert mode(data / "whence.sock") == 0o700
        assert mode(data / "whence.lock") == 0o600
        assert mode(data / "valkey.log") == 0o600
        assert mode(data / LOG) == 0o600

    def test_a_file_is_refused(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("not a directory")
        for path in (tmp_path / "file", tmp_path / "file" / "below"):
            with pytest.raises(InvalidSetting, match="is a file"):
                start(path)
        assert (tmp_path / "file").read_text() == "not a directory"

    @pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs a /proc")
    @pytest.mark.parametrize("path", ["/proc", "/proc/whence"])
    def test_a_directory_that_cannot_be_written_is_refused(self, start: Start, path: str) -> None:
        with pytest.raises(InvalidSetting, match="cannot be a data directory"):
            start(path)

    def test_a_large_log_is_put_aside_at_the_next_start(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "valkey.log").write_text("old\n" * 300_000)
        start(tmp_path)
        assert (tmp_path / "valkey.log.1").read_text().startswith("old\n")
        assert "old" not in (tmp_path / "valkey.log").read_text()


class TestSettings:
    @pytest.mark.parametrize("fsync", ["always", "everysec"])
    def test_the_server_keeps_what_it_acknowledged(
        self, start: Start, tmp_path: Path, fsync: Literal["always", "everysec"]
    ) -> None:
        server = start(tmp_path, fsync=fsync)
        expected = {
            "appendonly": "yes",
            "appendfsync": fsync,
            "no-appendfsync-on-rewrite": "no",
            "aof-load-truncated": "yes",
            "aof-use-rdb-preamble": "yes",
            "save": "",
            "maxmemory": "0",
            "maxmemory-policy": "noeviction",
            "stream-node-max-bytes": "256",
            "port": "0",
            "unixsocket": str(tmp_path / "whence.sock"),
            "unixsocketperm": "700",
            "daemonize": "no",
            "dir": str(tmp_path),
            "logfile": str(tmp_path / "valkey.log"),
        }
        assert ask(server.url, "CONFIG", "GET", *expected) == expected

    def test_there_is_no_third_way_to_sync(self, start: Start, tmp_path: Path) -> None:
        with pytest.raises(InvalidSetting, match="always or everysec"):
            start(tmp_path, fsync=cast("Literal['always']", "no"))


class TestRunningAt:
    def test_it_is_none_before_and_after(self, start: Start, tmp_path: Path) -> None:
        data = tmp_path / "data"
        assert running_at(data) is None
        assert not data.exists()
        server = start(data)
        assert running_at(data) == server.url == running_at(str(data))
        server.stop()
        assert running_at(data) is None

    def test_it_finds_the_server_of_another_program(self, tmp_path: Path) -> None:
        with program(tmp_path) as owner:
            assert running_at(tmp_path) == owner.url

    def test_a_busy_server_is_running(self, start: Start, tmp_path: Path) -> None:
        server = start(tmp_path)
        os.kill(server.pid, signal.SIGSTOP)
        try:
            assert running_at(tmp_path) == server.url
        finally:
            os.kill(server.pid, signal.SIGCONT)

    @pytest.mark.parametrize("name", ["data", "long" * 40])
    def test_a_copy_of_the_directory_is_another_directory(
        self, start: Start, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
    ) -> None:
        monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
        server = start(tmp_path / name)
        shutil.copytree(
            tmp_path / name, tmp_path / "copy", ignore=shutil.ignore_patterns("whence.sock")
        )
        assert running_at(tmp_path / "copy") is None
        copy = start(tmp_path / "copy")
        assert copy.url != server.url
        assert running_at(tmp_path / name) == server.url

    def test_a_lock_file_that_says_nothing_is_nobodys(self, start: Start, tmp_path: Path) -> None:
        (tmp_path / "whence.lock").write_text("not a record")
        assert running_at(tmp_path) is None
        assert start(tmp_path).alive()


def snapshot_only(start: Start, data: Path) -> None:
    server = start(data)
    ask(server.url, "SET", "order", "placed")
    ask(server.url, "SAVE")
    server.stop()
    shutil.rmtree(data / "appendonlydir")


def resp(*command: str) -> bytes:
    parts = [part.encode() for part in command]
    head = b"*%d\r\n" % len(parts)
    return head + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
