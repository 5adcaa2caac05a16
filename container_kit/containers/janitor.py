"""The janitor: clears away after containers in a thread of its own, so that no caller waits for it.

The thread exists only while there is work and 0.3 s longer.  Work is a function that returns whether it is
done; one that is not done is tried again a little later, for as long as its patience lasts: a cgroup is busy
for some milliseconds after its last process.  A child made by fork has no work of its parent's.
"""

from __future__ import annotations

import collections
import threading
import time
from collections.abc import Callable

import attrs

__all__ = ["Janitor"]

_LINGER_S = 0.3
_RETRY_S = 0.01
_PATIENCE_S = 10.0


@attrs.define
class _Job:
    work: Callable[[], bool]
    what: str
    give_up_at: float
    not_before: float = 0.0


class Janitor:
    """A queue of work and, while there is some, one thread.

    Args:
        on_idle: Called in that thread when it has had nothing to do for a while and is about to end.
    """

    def __init__(self, on_idle: Callable[[], object] = lambda: None) -> None:
        self._on_idle = on_idle
        self.forget()

    def forget(self) -> None:
        """Begin anew without any work: for the child of a fork, where the thread does not exist."""
        self._changed = threading.Condition()
        self._jobs: collections.deque[_Job] = collections.deque()
        self._thread: threading.Thread | None = None
        self._hurry = False

    def submit(self, what: str, work: Callable[[], bool]) -> None:
        """Have *work* done soon and until it returns True; *what* is for the log when it never does."""
        job = _Job(work, what, time.monotonic() + _PATIENCE_S)
        with self._changed:
            self._jobs.append(job)
            if self._thread is None:
                self._begin()
            elif len(self._jobs) == 1:
                self._changed.notify_all()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._live, name="container-kit-janitor", daemon=True)
        try:
            thread.start()
        except RuntimeError:
            return  # the interpreter is ending, or no thread can be had: `drain` does the work
        self._thread = thread

    def drain(self) -> None:
        """Return when all work has been done or given up, and the thread is gone."""
        with self._changed:
            thread = self._thread
            self._hurry = True
            self._changed.notify_all()
        if thread is not None and thread is not threading.current_thread():
            thread.join()
        self._live()
        with self._changed:
            self._hurry = False

    def _live(self) -> None:
        while (job := self._next()) is not None:
            if not self._do(job):
                job.not_before = time.monotonic() + _RETRY_S
                with self._changed:
                    self._jobs.append(job)
        self._on_idle()

    def _next(self) -> _Job | None:
        """The next job when its time has come; None, and no thread any more, when there was none for long."""
        with self._changed:
            if not self._jobs and not self._hurry:
                self._changed.wait(_LINGER_S)
            if not self._jobs:
                self._thread = None
                return None
            job = self._jobs.popleft()
        time.sleep(max(0.0, job.not_before - time.monotonic()))
        return job

    def _do(self, job: _Job) -> bool:
        try:
            if job.work():
                return True
            problem = "it is still busy"
        except Exception as error:
            problem = str(error)
        if time.monotonic() < job.give_up_at:
            return False
        import logging  # rarely needed, and slow to import

        logging.getLogger(__name__).warning("cannot clear away %s: %s", job.what, problem)
        return True
