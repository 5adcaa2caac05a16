"""Events of progress reach the caller one at a time, and not too many."""

from __future__ import annotations

import threading

from container_kit.oci.progress import Progress, Reporter


def test_bytes_of_one_object_are_reported_seldom_but_its_end_always() -> None:
    """A thousand pieces in a moment make few events, and the last one is among them."""
    seen: list[Progress] = []
    report = Reporter(seen.append)

    for done in range(1, 1001):
        report(Progress(id="a", action="download", done_bytes=done, total_bytes=1000))

    assert seen[0].done_bytes == 1
    assert seen[-1].done_bytes == 1000
    assert len(seen) < 100


def test_events_of_several_threads_come_one_at_a_time() -> None:
    """A callback is never entered twice at once."""
    inside = threading.Lock()
    count = [0]

    def callback(event: Progress) -> None:
        assert inside.acquire(blocking=False)
        count[0] += 1
        inside.release()

    report = Reporter(callback)

    def work(name: str) -> None:
        for _ in range(500):
            report(Progress(id=name, action="output", message="line"))

    threads = [threading.Thread(target=work, args=(str(number),)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert count[0] == 2000


def test_an_event_is_a_line_that_people_can_read() -> None:
    """``progress=print`` shows what is done to what, and how far it is."""
    layer = Progress(id="sha256:" + "ab" * 32, action="download", done_bytes=5, total_bytes=10)
    step = Progress(id="key", action="start", name="RUN make", step=2, steps=7)

    assert str(layer) == "abababababab: download 5/10"
    assert str(step) == "[2/7] RUN make: start"
