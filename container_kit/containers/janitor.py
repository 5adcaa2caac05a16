"""The janitor: clears away after containers in a thread of its own, so that no caller waits for it.

The thread exists only while there is work and 0.3 s longer.  Work is a function that returns whether it is
done; one that is not done is tried again a little later, for as long as its patience lasts: a cgroup is busy
for some milliseconds after its last process.  A child made by fork has no work of its parent's.

There is no lock: a signal handler that raises in the middle of a submission must not leave one held.  Should
two threads begin at the same moment, they share the work, since the queue gives each job once.
"""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable

import attrs

__all__ = ["Janitor"]

_LINGER_S = 0.3
_RETRY_S = 0.01
_PATIENCE_S = 10.0
_MUCH = 16


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
        linger_s: How long it waits for more work.
    """

    def __init__(self, on_idle: Callable[[], object] = lambda: None, *, linger_s: float = _LINGER_S) -> None:
        self._on_idle, self._linger_s = on_idle, linger_s
        self.forget()

    def forget(self) -> None:
        """Begin anew without any work: for the child of a fork, where the thread does not exist."""
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._threads: list[threading.Thread] = []

    def submit(self, what: str, work: Callable[[], bool]) -> None:
        """Have *work* done soon and until it returns True; *what* is for the log when it never does."""
        self._jobs.put(_Job(work, what, time.monotonic() + _PATIENCE_S))
        # A thread that was cut off before its start is in the list and never lives.
        if not any(thread.is_alive() for thread in self._threads):
            self._begin()

    def _begin(self) -> None:
        thread = threading.Thread(target=self._live, name="container-kit-janitor", daemon=True)
        self._threads.append(thread)
        try:
            thread.start()
        except RuntimeError:  # the interpreter is ending, or no thread can be had: `drain` does the work
            self._threads.remove(thread)

    @property
    def is_behind(self) -> bool:
        """Whether so much work waits that who has more of it does it himself."""
        return self._jobs.qsize() > _MUCH

    def drain(self) -> None:
        """Return when all work has been done or given up, and the thread is gone."""
        for thread in list(self._threads):
            self._jobs.put(None)
            if thread is not threading.current_thread() and thread.is_alive():
                thread.join()
        self._work_off(linger_s=0)
        self._on_idle()

    def _live(self) -> None:
        while True:
            self._work_off(linger_s=self._linger_s)
            self._threads.remove(threading.current_thread())
            if self._jobs.empty():
                break
            self._threads.append(threading.current_thread())  # something came in at the last moment
        self._on_idle()

    def _work_off(self, linger_s: float) -> None:
        """Do all jobs; return when there was none for *linger_s*, or at once when told to end."""
        while True:
            try:
                job = self._jobs.get(timeout=linger_s) if linger_s else self._jobs.get_nowait()
            except queue.Empty:
                return
            if job is None:
                linger_s = 0
                continue
            time.sleep(max(0.0, job.not_before - time.monotonic()))
            if not self._do(job):
                job.not_before = time.monotonic() + _RETRY_S
                self._jobs.put(job)

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
