"""One thread for all controllers: it sees changes, finds whom they concern, and lets these act.

The thread sleeps in one place, on its inbox, until a change arrives or something becomes due: an idle cluster
costs nothing.  Before each act the inbox is emptied.  In this process a write puts its change there before it
returns, so **a controller sees all that it wrote itself**, and needs none of the bookkeeping ("expectations")
by which controllers elsewhere guard against caches that lag behind.

Opening a watch is a task like any other, so it is retried with the same back-off.
"""

from __future__ import annotations

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from queue import Empty, SimpleQueue
from typing import Protocol

from container_kit.cluster.client import Client, WatchEvent
from container_kit.cluster.controllers.framework.events import EventRecorder
from container_kit.cluster.controllers.framework.informer import Informer
from container_kit.cluster.controllers.framework.queue import WorkQueue
from container_kit.cluster.meta import Clock, Key, Object
from container_kit.errors import ContainerKitError

__all__ = ["Controller", "Manager", "Mapper", "Waker", "anything", "keys_of", "nobody"]

Mapper = Callable[["Object | None", "Object | None"], Iterable[Key]]
"""From a change (the object before and after it) to the keys that are to be looked at again."""

Waker = Callable[[Object], bool]
"""Whether a controller that sleeps is needed for an object."""

_log = logging.getLogger(__name__)

# A key that took d seconds rests for 10 d, but not for more than 50 ms: however many pods change one by one,
# their owner is looked at for a tenth of the time, and nobody notices the delay.
_REST_FACTOR, _LONGEST_REST_S = 10, 0.05
_SPOOL_LIMIT = 1000
_UNTIL_LISTED_S = 0.01


class Controller(Protocol):
    """Keeps one kind of wish fulfilled."""

    name: str

    def watches(self) -> Mapping[str, Mapper]:
        """Which resources it looks at, and whom a change of each concerns (maybe `nobody`).

        `reconcile` is not called before each of them has been listed once.
        """

    def reconcile(self, key: Key) -> float | None:
        """Move the world towards the wish; safe to call at any time.

        Returns:
            Seconds after which it wants to look again without a change; None if that is not needed.

        An exception means: again, after a while.
        """


def keys_of(key_of: Callable[[Object], Iterable[Key]]) -> Mapper:
    """A mapper that asks for the object before the change and for the object after it."""

    def mapper(old: Object | None, new: Object | None) -> Iterable[Key]:
        if old is None:
            return key_of(new) if new is not None else ()
        if new is None:
            return key_of(old)
        return {*key_of(old), *key_of(new)}

    return mapper


def nobody(old: Object | None, new: Object | None) -> Iterable[Key]:
    """The mapper of a resource that is looked at, but whose changes are no reason to act."""
    return ()


def anything(obj: Object) -> bool:
    """The waker of a controller that is needed for whatever object of a resource."""
    return True


class Manager:
    """Runs controllers on one thread.

    Args:
        client: Where informers look.
        client_of: From the name of a controller to the client with which it acts, so that each has its own
            rights; the same *client* for all if None.
        clock: What time it is.
    """

    def __init__(
        self, client: Client, *, client_of: Callable[[str], Client] | None = None, clock: Clock | None = None
    ) -> None:
        self.client, self.clock = client, clock or Clock()
        self._client_of = client_of or (lambda _: client)
        self._inbox: SimpleQueue[_Letter] = SimpleQueue()
        self._queue: WorkQueue[_Task] = WorkQueue()
        self._spool: deque[Callable[[], None]] = deque()
        self._informers: dict[str, Informer] = {}
        self._closers: dict[str, Callable[[], None]] = {}
        self._watching = _Watching(self)
        self._needed: dict[Controller, list[Informer]] = {}
        self._thread: threading.Thread | None = None
        self._is_stopping = False

    def client_of(self, name: str) -> Client:
        """The client with which the controller of this name acts."""
        return self._client_of(name)

    def recorder(self, component: str, name: str = "") -> EventRecorder:
        """Writes events as *component*, as soon as there is nothing more urgent to do."""
        return EventRecorder(self._client_of(name or component), component, self.clock, self._spool.append)

    def informer(self, resource: str, *, is_partial: bool = False) -> Informer:
        """What is known of *resource*; the same for all who ask, and watched from now on.

        Args:
            is_partial: Metadata is enough.
        """
        found = self._informers.get(resource)
        if found is None:
            found = self._informers[resource] = Informer(resource, is_partial=is_partial)
            self._inbox.put((self._open, resource))
        elif found.is_partial and not is_partial:
            found.widen()
            self._inbox.put((self._open, resource))
        return found

    def forget(self, resource: str) -> None:
        """Watch *resource* no longer: it does not exist any more."""
        informer = self._informers.pop(resource, None)
        if informer is not None:
            self._close(resource)
            informer.replace(())

    def add(self, controller: Controller) -> None:
        """Let *controller* act on every change that concerns it."""
        watches = controller.watches()
        self._needed[controller] = [self.informer(resource) for resource in watches]
        for resource, mapper in watches.items():
            self.informer(resource).listen(self._listener(controller, mapper))

    def add_when(self, wakers: Mapping[str, Waker], make: Callable[[], Controller]) -> None:
        """Let the controller that *make* returns act as soon as there is something for it to do.

        Many controllers have nothing to do in most clusters.  One that sleeps costs neither the import of its
        modules nor a look at each change of the pods.

        Args:
            wakers: By resource, which of its objects the controller is needed for.
        """
        _Sleeper(self, wakers, make)

    def enqueue(self, controller: Controller, key: Key, after_s: float = 0.0) -> None:
        """Let *controller* look at *key*; only on the manager's own thread (see `call`)."""
        now_s = self.clock.monotonic()
        if after_s > 0:
            self._queue.add_at((controller, key), now_s + after_s)
        else:
            self._queue.add((controller, key), now_s)

    def call(self, function: Callable[[], None]) -> None:
        """Call *function* soon, on the manager's thread; may be used from any thread."""
        self._inbox.put((_call, function))

    def start(self) -> None:
        """Begin; returns at once."""
        self._thread = threading.Thread(target=self._run, name="container-kit-controllers", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread and all watches; what is being done is finished."""
        self._is_stopping = True
        self._inbox.put((_call, _nothing))
        if self._thread is not None:
            self._thread.join()
        for resource in list(self._closers):
            self._close(resource)

    def run_until_idle(self, limit: int = 100_000) -> None:
        """Do on the caller's thread all that is due now; for tests, and instead of `start`.

        Raises:
            RuntimeError: There is no end of it after *limit* tasks.
        """
        for _ in range(limit):
            if not self._step():
                return
        raise RuntimeError(f"controllers are still busy after {limit} tasks: {self._queue.pop(float('inf'))}")

    def next_due_in_s(self) -> float | None:
        """In how many seconds something becomes due by itself; None if nothing does."""
        due_s = self._queue.next_due_s()
        return None if due_s is None else max(0.0, due_s - self.clock.monotonic())

    def _run(self) -> None:
        while not self._is_stopping:
            if not self._step():
                self._sleep()

    def _sleep(self) -> None:
        """Wait for a letter, or until something becomes due."""
        with contextlib.suppress(Empty):
            self._deliver(self._inbox.get(timeout=self.next_due_in_s()))

    def _step(self) -> bool:
        """Do one thing; False if there was nothing to do."""
        self._read_inbox()
        task = self._queue.pop(self.clock.monotonic())
        if task is not None:
            self._perform(task)
        if self._spool and (task is None or len(self._spool) > _SPOOL_LIMIT):
            self._write_spooled()
            return True
        return task is not None or not self._inbox.empty()

    def _read_inbox(self) -> None:
        inbox = self._inbox
        while not inbox.empty():
            self._deliver(inbox.get_nowait())

    def _deliver(self, letter: _Letter) -> None:
        function, argument = letter
        function(argument)

    def _perform(self, task: _Task) -> None:
        controller, key = task
        started_s = self.clock.monotonic()
        if not all(informer.is_synced for informer in self._needed.get(controller, ())):
            self._queue.add_at(task, started_s + _UNTIL_LISTED_S)
            return
        try:
            again_s = controller.reconcile(key)
        except Exception as error:
            self._failed(task, error)
        else:
            self._queue.succeeded(task)
            ended_s = self.clock.monotonic()
            self._queue.rest(
                task, ended_s, ended_s + min(_REST_FACTOR * (ended_s - started_s), _LONGEST_REST_S)
            )
            if again_s is not None:
                self._queue.add_at(task, ended_s + again_s)

    def _failed(self, task: _Task, error: Exception) -> None:
        """Again later. What the server refuses is told by events, where it matters; the rest is our fault."""
        delay_s = self._queue.retry(task, self.clock.monotonic())
        is_fault = not isinstance(error, ContainerKitError) and not self._is_stopping
        level = logging.WARNING if is_fault else logging.DEBUG
        words = "%s: cannot reconcile %s, again in %.3g s: %s"
        _log.log(level, words, task[0].name, task[1], delay_s, error, exc_info=is_fault)

    def _write_spooled(self) -> None:
        try:
            self._spool.popleft()()
        except Exception as error:  # an event that cannot be written is no reason to stop
            _log.debug("cannot write an event: %s", error)

    def _listener(
        self, controller: Controller, mapper: Mapper
    ) -> Callable[[Object | None, Object | None], None]:
        queue, monotonic = self._queue, self.clock.monotonic

        def changed(old: Object | None, new: Object | None) -> None:
            for key in mapper(old, new):
                queue.add((controller, key), monotonic())

        return changed

    def _open(self, resource: str) -> None:
        self.enqueue(self._watching, Key(resource, "", ""))

    def open_watch(self, resource: str) -> None:
        """List *resource* and watch what comes after."""
        informer = self._informers.get(resource)
        if informer is None or self._is_stopping:
            return
        self._close(resource)
        found = self.client.list(resource, None)
        informer.replace(found.items)
        self._closers[resource] = self.client.subscribe(
            resource, None, self._sink(informer), since=found.resource_version
        )

    def _sink(self, informer: Informer) -> Callable[[WatchEvent | None], None]:
        inbox, apply, resource = self._inbox, informer.apply, informer.resource

        def received(event: WatchEvent | None) -> None:
            inbox.put((apply, event) if event is not None else (self._open, resource))

        return received

    def _close(self, resource: str) -> None:
        closer = self._closers.pop(resource, None)
        if closer is not None:
            closer()


class _Sleeper:
    """A controller that is made with the first object that it is needed for."""

    def __init__(self, manager: Manager, wakers: Mapping[str, Waker], make: Callable[[], Controller]) -> None:
        self._manager, self._make, self._is_awake = manager, make, False
        self._listeners = {resource: self._listener(waker) for resource, waker in wakers.items()}
        for resource, listener in self._listeners.items():
            manager.informer(resource).listen(listener)

    def _listener(self, is_needed: Waker) -> Callable[[Object | None, Object | None], None]:
        def changed(old: Object | None, new: Object | None) -> None:
            if new is not None and not self._is_awake and is_needed(new):
                self._is_awake = True
                self._manager.call(self._wake)  # later: listeners are just being told

        return changed

    def _wake(self) -> None:
        for resource, listener in self._listeners.items():
            self._manager.informer(resource).ignore(listener)
        self._manager.add(self._make())


_Task = tuple[Controller, Key]
_Letter = tuple[Callable[..., None], object]


class _Watching:
    """The controller that keeps watches open; its keys are resources."""

    name = "watching"

    def __init__(self, manager: Manager) -> None:
        self._manager = manager

    def watches(self) -> Mapping[str, Mapper]:
        return {}

    def reconcile(self, key: Key) -> None:
        self._manager.open_watch(key.resource)


def _call(function: Callable[[], None]) -> None:
    function()


def _nothing() -> None:
    """Wakes the thread."""
