"""Where the images of pods come from: the store, a registry, with whose credentials, and when again."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import container_kit as ck
from container_kit.cluster.meta.times import FakeClock
from container_kit.cluster.node.image_source import ImageSource
from container_kit.cluster.node.pull_policy import NeverPulled, PullBackOff, decide, is_image_name
from container_kit.containers import Engine
from container_kit.images import Image
from container_kit.pods import NotReady
from container_kit.registry.server import Auth

PASSWORD = "one-f0r-all"


@pytest.mark.parametrize(
    ("policy", "is_present", "expected"),
    [
        ("IfNotPresent", True, "use"),
        ("IfNotPresent", False, "pull"),
        ("Always", True, "pull"),
        ("Never", True, "use"),
    ],
)
def test_the_policy_decides(policy: str, is_present: bool, expected: str) -> None:
    """An image is pulled when it is not here, or always; never means never."""
    assert decide(policy, is_present=is_present) == expected
    with pytest.raises(NeverPulled):
        decide("Never", is_present=False)


@pytest.mark.parametrize("name", ["box", "box:1", "host:5000/a/b:1", f"a/b@sha256:{'0' * 64}", "x.io/a__b-c"])
def test_names_of_images_are_known(name: str) -> None:
    """Names with registry, tag and digest are names."""
    assert is_image_name(name)


@pytest.mark.parametrize("name", ["", "UPPER", "a b", "a:", "a@sha256:0", "../a"])
def test_other_texts_are_no_names(name: str) -> None:
    """What no registry could have is refused before anybody is asked."""
    assert not is_image_name(name)


def test_failures_are_left_alone_for_ever_longer() -> None:
    """10 s, twice that, up to five minutes; a success starts anew, and pods do not wait for each other."""
    backoff, now, waits = PullBackOff(), 0.0, []
    for _ in range(7):
        backoff.failed(("u", "image"), "down", now)
        began = now
        while backoff.waiting(("u", "image"), now) == "down":
            now += 1.0
        waits.append(now - began)
    assert waits == [10, 20, 40, 80, 160, 300, 300]
    assert backoff.waiting(("other", "image"), 0.0) is None
    backoff.succeeded(("u", "image"))
    backoff.failed(("u", "image"), "down", now)
    assert backoff.waiting(("u", "image"), now + 10) is None


class Secrets:
    """One Secret, named registry."""

    def __init__(self, secret: dict[str, Any] | None) -> None:
        self._secret = secret

    def config_map(self, namespace: str, name: str) -> None:
        return None

    def secret(self, namespace: str, name: str) -> Any:
        return self._secret if name == "registry" else None


class Told:
    """Remembers events."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def __call__(self, kind: str, reason: str, message: str) -> None:
        self.reasons.append(reason)


@pytest.fixture
def engine(tmp_path: Path) -> Iterator[Engine]:
    """An engine with the image localhost/box:1."""
    with Engine(tmp_path / "root") as made:
        Image.from_host("true", tag="localhost/box:1", engine=made)
        yield made


def a_pod(image: str, policy: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """A pod that may use the Secret registry, and its container."""
    container = {"name": "c", "image": image, "imagePullPolicy": policy}
    secrets = [{"name": "missing"}, {"name": "registry"}]
    spec = {"containers": [container], "imagePullSecrets": secrets}
    return {"metadata": {"uid": "u", "namespace": "default"}, "spec": spec}, container


def test_an_image_of_here_needs_no_registry(engine: Engine) -> None:
    """What was built here is used also by those who want it pulled always."""
    told = Told()
    found = ImageSource(engine, Secrets(None), FakeClock()).get(*a_pod("localhost/box:1", "Always"), told)
    assert found.has_name("localhost/box:1") and told.reasons == ["Pulled"]


def test_a_private_image_comes_with_the_pods_secret(engine: Engine, tmp_path: Path) -> None:
    """With the credentials of a pull secret it is pulled; without them not, and then it is left alone."""
    auth = Auth(users={"anna": PASSWORD})
    with ck.Registry.serve(tmp_path / "registry", auth=auth) as registry:
        name = f"{registry.address}/team/box:1"
        credentials = ck.Credentials(username="anna", password=PASSWORD)
        image = Image.get("localhost/box:1", engine=engine)
        image.push(name, credentials=credentials)
        entry = {"username": "anna", "password": PASSWORD}
        config = base64.b64encode(json.dumps({"auths": {registry.address: entry}}).encode()).decode()
        secret = {
            "metadata": {"name": "registry"},
            "type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": config},
        }
        told, clock = Told(), FakeClock()
        stranger = ImageSource(engine, Secrets(None), clock)
        with pytest.raises(NotReady) as caught:
            stranger.get(*a_pod(name, "IfNotPresent"), told)
        assert caught.value.reason == "ErrImagePull"
        with pytest.raises(NotReady) as caught:
            stranger.get(*a_pod(name, "IfNotPresent"), told)
        assert caught.value.reason == "ImagePullBackOff"
        assert told.reasons == ["Pulling", "Failed", "Failed", "BackOff", "Failed"]
        friend, told = ImageSource(engine, Secrets(secret), clock), Told()
        assert friend.get(*a_pod(name, "IfNotPresent"), told).digest == image.digest
        assert told.reasons == ["Pulling", "Pulled"]


def test_what_is_no_name_is_told(engine: Engine) -> None:
    """A name that cannot be one is InvalidImageName."""
    with pytest.raises(NotReady) as caught:
        ImageSource(engine, Secrets(None), FakeClock()).get(*a_pod("Not A Name", "Always"), Told())
    assert caught.value.reason == "InvalidImageName"
