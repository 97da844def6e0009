"""An event loop in virtual time: no waiting, and an order of events that the seed alone decides."""

import asyncio
import contextlib
import random
import sys
from collections.abc import AsyncGenerator, Callable, Coroutine, Generator
from contextvars import Context, copy_context
from heapq import heappop, heappush
from itertools import count
from typing import Any, TypeVar

from tests.faults.simulation.host import HOST, Host
from tests.faults.simulation.network import Network

T = TypeVar("T")

# A simulation that takes more steps than this goes round in circles.
MAX_STEPS = 100_000
# How often it is cancelled what cleans up after itself in several steps.
CLEANUPS = 50


class Stuck(Exception):
    """The simulation does not come to its end."""


class _Call(asyncio.TimerHandle):
    """A callback, and the host that it belongs to.

    Without what asyncio's own has for debugging: thousands are made in each simulation.
    """

    __slots__ = ("args", "callback", "context", "host", "is_cancelled")

    def __init__(  # pyright: ignore[reportMissingSuperCall]
        self,
        when: float,
        callback: Callable[..., object],
        args: tuple[Any, ...],
        context: Context | None,
    ) -> None:
        self._when = when
        self.callback = callback
        self.args = args
        self.context = copy_context() if context is None else context
        self.host = self.context.get(HOST)
        self.is_cancelled = False

    def cancel(self) -> None:
        self.is_cancelled = True
        self.callback, self.args = _nothing, ()  # they may hold much

    def cancelled(self) -> bool:
        return self.is_cancelled


def _nothing() -> None: ...


class _Task(asyncio.Task[Any]):
    """A task whose place in a set is the same in every run of a seed."""

    def __init__(self, number: int, *args: Any, **options: Any) -> None:
        self._number = number
        super().__init__(*args, **options)

    def __hash__(self) -> int:
        return self._number


class VirtualLoop(asyncio.AbstractEventLoop):
    """Runs callbacks one at a time; when none is ready, the clock jumps to the next timer.

    Args:
        chance: chooses among the callbacks that are ready, if ``shuffled``; else they run in the
            order in which they came, as in asyncio's own loops.
        network: where connections lead to.
    """

    def __init__(self, chance: random.Random, network: Network, *, shuffled: bool) -> None:
        self._chance = chance
        self._shuffled = shuffled
        self._network = network
        self._now = 0.0
        self._numbers = count()
        self._ready: list[_Call] = []
        self._timers: list[tuple[float, int, _Call]] = []
        self._of_the_dead: list[_Call] = []
        self._tasks: list[_Task] = []
        self._hosts: list[Host] = []
        self._over = False
        self.steps = 0
        self.errors: list[str] = []  # of callbacks, as findings

    # The clock and the callbacks

    def time(self) -> float:
        return self._now

    def call_soon(  # type: ignore[override]
        self, callback: Callable[..., object], *args: Any, context: Context | None = None
    ) -> asyncio.Handle:
        call = _Call(self._now, callback, args, context)
        self._ready.append(call)
        return call

    call_soon_threadsafe = call_soon  # type: ignore[assignment]

    def call_at(  # type: ignore[override]
        self,
        when: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        call = _Call(when, callback, args, context)
        heappush(self._timers, (when, next(self._numbers), call))
        return call

    def call_later(  # type: ignore[override]
        self,
        delay: float,
        callback: Callable[..., object],
        *args: Any,
        context: Context | None = None,
    ) -> asyncio.TimerHandle:
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self) -> "asyncio.Future[Any]":
        return asyncio.Future(loop=self)

    def create_task(  # type: ignore[override]
        self,
        coro: Coroutine[Any, Any, T],
        *,
        name: str | None = None,
        context: Context | None = None,
        **_: Any,
    ) -> "asyncio.Task[T]":
        task = _Task(len(self._tasks), coro, loop=self, name=name, context=context)
        self._tasks.append(task)
        return task

    def spawn(self, host: Host, work: Coroutine[Any, Any, T]) -> "asyncio.Task[T]":
        """A task that runs in a process of its own."""
        self._hosts.append(host)
        context = copy_context()
        context.run(HOST.set, host)
        return self.create_task(work, context=context)

    async def create_connection(  # type: ignore[override]
        self, protocol_factory: Callable[[], asyncio.Protocol], *_: Any, **__: Any
    ) -> tuple[asyncio.Transport, asyncio.Protocol]:
        return await self._network.connect(protocol_factory)

    # Running

    def run_until_complete(self, future: Any) -> Any:
        task = asyncio.ensure_future(future, loop=self)
        with self._running():
            self._run_until(task.done)
        return task.result()

    def finish(self) -> None:
        """Let every task clean up, those of dead hosts as well; one that never does is left."""
        self._over = True
        self.steps = 0  # it may have been stuck
        for host in self._hosts:
            host.dead, host.paused_until = False, 0.0
        # What was due and did not run, because its host was dead or paused.
        self._ready += self._of_the_dead
        self._ready += [call for when, _, call in self._timers if call.when() <= self._now < when]
        with self._running(), contextlib.suppress(Stuck):
            for _ in range(CLEANUPS):
                for task in self._tasks:
                    task.cancel()  # and again, for it may have begun something else
                self._run_until(lambda: not self._ready)
                if all(task.done() for task in self._tasks):
                    break
        for task in self._tasks:
            if task.done() and not task.cancelled():
                task.exception()

    @contextlib.contextmanager
    def _running(self) -> Generator[None]:
        hooks = sys.get_asyncgen_hooks()
        sys.set_asyncgen_hooks(finalizer=self._close_generator)
        asyncio._set_running_loop(self)  # pyright: ignore[reportPrivateUsage]
        try:
            yield
        finally:
            asyncio._set_running_loop(None)  # pyright: ignore[reportPrivateUsage]
            sys.set_asyncgen_hooks(*hooks)

    def _close_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        if self._over:
            return

        async def close() -> None:
            await generator.aclose()

        self.create_task(close())

    def _run_until(self, done: Callable[[], bool]) -> None:
        """Run callbacks one by one; a simulation has thousands, so that little is called here."""
        ready, timers = self._ready, self._timers
        while not done():
            self.steps += 1
            if self.steps > MAX_STEPS:
                raise Stuck(f"{MAX_STEPS} steps in {self._now:.1f} s of virtual time")
            if not ready:
                self._jump()
            now = self._now
            while timers and timers[0][0] <= now:
                ready.append(heappop(timers)[2])
            call = ready.pop(self._place(len(ready)) if self._shuffled else 0)
            host = call.host
            if call.is_cancelled:
                continue
            if host is not None and (host.dead or host.paused_until > now):
                self._put_aside(call, host)
                continue
            try:
                call.context.run(call.callback, *call.args)
            except Exception as error:  # whatever it is, as asyncio's own loops
                self.errors.append(f"crashed: {call.callback!r} failed with {error!r}")

    def _put_aside(self, call: _Call, host: Host) -> None:
        if host.dead:
            self._of_the_dead.append(call)
        else:
            heappush(self._timers, (host.paused_until, next(self._numbers), call))

    def _jump(self) -> None:
        """To the next timer, for nothing else is left to do."""
        if not self._timers:
            raise Stuck(f"nothing is left to happen after {self._now:.1f} s of virtual time")
        self._now = max(self._now, self._timers[0][0])

    def _place(self, count: int) -> int:
        """One of so many, as ``randrange`` chooses, in a third of the time."""
        bits = count.bit_length()
        place = self._chance.getrandbits(bits)
        while place >= count:
            place = self._chance.getrandbits(bits)
        return place

    # What asyncio asks of a loop

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Whose error nobody asks for is told when it is forgotten, and that is no fixed time."""

    def get_task_factory(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return True

    def is_closed(self) -> bool:
        return False
