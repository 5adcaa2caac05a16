"""A namespace gets no more than its quotas allow."""

import threading
from typing import Any

from tests.cluster.api.admission.conftest import PODS, Admitting, pod

QUOTAS = "/api/v1/namespaces/default/resourcequotas"
SECRETS = "/api/v1/namespaces/default/secrets"


def limit(admitting: Admitting, name: str = "q", **hard: str) -> None:
    limits = {key.replace("__", "."): value for key, value in hard.items()}
    admitting.do("POST", QUOTAS, {"metadata": {"name": name}, "spec": {"hard": limits}})


def sized(name: str, cpu: str) -> dict[str, Any]:
    resources = {"requests": {"cpu": cpu}, "limits": {"cpu": "4"}}
    return pod(name, containers=[{"name": "c", "image": "i", "resources": resources}])


def test_what_exceeds_a_quota_is_refused_and_what_does_not_is_counted(admitting: Admitting) -> None:
    """The refusal says what was asked for, what is used and what is allowed."""
    limit(admitting, requests__cpu="1", pods="5")
    admitting.do("POST", PODS, sized("a", "600m"))

    assert admitting.fail("POST", PODS, sized("b", "600m")) == (
        403,
        "Forbidden",
        'pods "b" is forbidden: exceeded quota: q, requested: requests.cpu=600m, '
        "used: requests.cpu=600m, limited: requests.cpu=1",
    )
    used = admitting.do("GET", f"{QUOTAS}/q")["status"]["used"]
    assert used == {"pods": "1", "requests.cpu": "600m"}


def test_containers_must_say_what_is_limited(admitting: Admitting) -> None:
    """Where processors are limited, a container that names none cannot be counted."""
    limit(admitting, requests__cpu="1")
    assert admitting.fail("POST", PODS, pod())[2].endswith(
        "failed quota: q: must specify requests.cpu for: c"
    )


def test_a_write_that_is_only_tried_is_not_counted(admitting: Admitting) -> None:
    """A dry run is judged by the quota and leaves it as it is."""
    limit(admitting, secrets="1")

    admitting.do("POST", f"{SECRETS}?dryRun=All", {"metadata": {"name": "a"}})
    admitting.do("POST", SECRETS, {"metadata": {"name": "a"}})
    assert admitting.fail("POST", f"{SECRETS}?dryRun=All", {"metadata": {"name": "b"}})[0] == 403


def test_writers_at_the_same_time_share_one_quota(admitting: Admitting) -> None:
    """However many write at once, no more is let in than there is room for."""
    limit(admitting, secrets="3")
    codes: list[int] = []

    def write(number: int) -> None:
        codes.append(admitting.ask("POST", SECRETS, {"metadata": {"name": f"s{number}"}}).status)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (codes.count(201), codes.count(403)) == (3, 5)
