"""What a pod does next: pure decisions, tried with every way in which containers can be."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from container_kit.pods.backoff import BackOff, BackOffTimes
from container_kit.pods.counting import Count, next_look_s
from container_kit.pods.deciding import View, next_steps, phase_of
from container_kit.pods.spec import Handler, PodSpec, Probe
from tests.pods.conftest import pod_of

_KINDS = {"i0": "init", "s0": "sidecar", "i1": "init", "c0": "main", "c1": "main", "e0": "ephemeral"}
_TIMES = BackOffTimes()
_VIEWS = st.builds(
    View,
    is_live=st.booleans(),
    is_ending=st.booleans(),
    is_started=st.booleans(),
    exit_code=st.one_of(st.none(), st.sampled_from([0, 1])),
    has_run=st.booleans(),
    is_done=st.booleans(),
)


def _pod(policy: str) -> PodSpec:
    initial = [{"name": "i0"}, {"name": "s0", "restartPolicy": "Always"}, {"name": "i1"}]
    manifest = pod_of({"name": "c0"}, {"name": "c1"}, initContainers=initial, restartPolicy=policy)
    manifest["spec"]["ephemeralContainers"] = [{"name": "e0"}]
    return PodSpec.of(manifest)


_PODS = st.sampled_from(["Always", "OnFailure", "Never"]).map(_pod)
_SEEN = st.fixed_dictionaries(dict.fromkeys(_KINDS, _VIEWS))


@given(pod=_PODS, seen=_SEEN, is_stopping=st.booleans(), has_begun=st.booleans())
def test_what_lives_is_not_started_and_what_does_not_is_not_ended(
    pod: PodSpec, seen: dict[str, View], is_stopping: bool, has_begun: bool
) -> None:
    """Only what does not live is started, only what lives is ended; a pod that has ended asks for neither."""
    steps = next_steps(pod, seen, is_stopping=is_stopping, has_begun=has_begun)
    assert all(not seen[name].is_live for name in steps.start)
    assert all(seen[name].is_live and not seen[name].is_ending for name in steps.stop)
    assert not (steps.start and steps.stop)
    if steps.outcome is not None:
        assert not any(view.is_live for view in seen.values())
    if is_stopping:
        assert not steps.start


@given(pod=_PODS, seen=_SEEN)
def test_a_main_container_waits_for_all_init_containers(pod: PodSpec, seen: dict[str, View]) -> None:
    """No main container is started before every init container has done its part."""
    steps = next_steps(pod, seen)
    if {"c0", "c1"} & {*steps.start}:
        assert seen["i0"].is_done and seen["i1"].is_done and seen["s0"].is_started


@given(pod=_PODS, seen=_SEEN)
def test_a_sidecar_that_fails_later_holds_up_nobody(pod: PodSpec, seen: dict[str, View]) -> None:
    """Once a pod has begun, main containers are restarted whatever its init containers and sidecars do."""
    steps = next_steps(pod, seen, has_begun=True)
    calm = {
        name: View(has_run=True, is_done=True, is_started=True, is_live=True) for name in ("i0", "s0", "i1")
    }
    alike = next_steps(pod, {**seen, **calm}, has_begun=True)
    assert [name for name in steps.start if name[0] == "c"] == [
        name for name in alike.start if name[0] == "c"
    ]


@given(pod=_PODS, seen=_SEEN)
def test_sidecars_end_after_all_others(pod: PodSpec, seen: dict[str, View]) -> None:
    """A sidecar is told to end only when no other container lives."""
    if "s0" in next_steps(pod, seen, is_stopping=True).stop:
        assert not any(view.is_live for name, view in seen.items() if name != "s0")


@given(pod=_PODS, seen=_SEEN)
def test_ephemeral_containers_are_started_once(pod: PodSpec, seen: dict[str, View]) -> None:
    """A debugger is never started again, and never decides how the pod ends."""
    steps = next_steps(pod, seen)
    assert not ("e0" in steps.start and seen["e0"].has_run)
    other = {**seen, "e0": View(is_live=seen["e0"].is_live, exit_code=1, has_run=True)}
    assert next_steps(pod, other, is_stopping=True).outcome == next_steps(pod, seen, is_stopping=True).outcome


@given(pod=_PODS, seen=_SEEN)
def test_a_pod_runs_once_all_of_it_has_run(pod: PodSpec, seen: dict[str, View]) -> None:
    """A pod is pending until each of its main containers has been started."""
    has_run = all(seen[name].has_run for name in ("c0", "c1"))
    assert phase_of(pod, seen, None) == ("Running" if has_run else "Pending")
    assert phase_of(pod, seen, "Failed") == "Failed"


@given(lives=st.lists(st.floats(0, 599), max_size=20))
def test_restarts_wait_ever_longer_up_to_five_minutes(lives: list[float]) -> None:
    """The first restart comes at once, then they wait 10 s, 20 s and so on, but never above 300 s."""
    backoff, waits = BackOff(), []
    for ran_s in lives:
        backoff = backoff.after_end(_TIMES, ran_s)
        waits.append(backoff.wait_s)
        backoff = backoff.after_start(_TIMES)
    assert waits == [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, *[300.0] * 20][: len(waits)]


def test_a_long_life_is_forgiven() -> None:
    """A container that stayed up for ten minutes is restarted at once when it ends."""
    assert BackOff(wait_s=300.0).after_end(_TIMES, 600.0).wait_s == 0.0


@given(answers=st.lists(st.booleans(), max_size=30), successes=st.integers(1, 4), failures=st.integers(1, 4))
def test_a_verdict_needs_its_number_of_answers_in_a_row(
    answers: list[bool], successes: int, failures: int
) -> None:
    """A verdict changes only when as many answers in a row say so as the probe asks for."""
    probe = Probe(handler=Handler(action="exec"), successes=successes, failures=failures)
    count, verdict = Count(), None
    for index, answer in enumerate(answers):
        count = count.after(probe, answer)
        needed = successes if answer else failures
        if answers[max(index + 1 - needed, 0) : index + 1] == [answer] * needed:
            verdict = answer
        assert count.verdict == verdict


@given(looks=st.integers(0, 10_000))
def test_an_awaited_container_is_looked_at_sooner_but_never_later(looks: int) -> None:
    """The pause between early looks grows, and is never above the period."""
    probe = Probe(handler=Handler(action="exec"), period_s=10.0)
    assert 0 < next_look_s(probe, True, looks) <= next_look_s(probe, True, looks + 1) <= 10.0
    assert next_look_s(probe, False, looks) == 10.0
