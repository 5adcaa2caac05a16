"""Words for resources, with the discovery of a real server."""

from __future__ import annotations

import pytest

from container_kit.cluster.client.resources import ResourceIndex
from container_kit.errors import NotFound
from tests.cluster.replay.recorded import document


@pytest.fixture(scope="module")
def index() -> ResourceIndex:
    return ResourceIndex([document("discovery/api.aggregated.v2"), document("discovery/apis.aggregated.v2")])


@pytest.mark.parametrize(
    ("word", "full_name"),
    [
        ("pods", "pods"),
        ("po", "pods"),
        ("Pod", "pods"),
        ("pod", "pods"),
        ("deploy", "deployments.apps"),
        ("deployments.apps", "deployments.apps"),
        ("deployment.apps", "deployments.apps"),
        ("deployments.v1.apps", "deployments.apps"),
        ("events", "events"),  # two groups have them: the core group is named first
        ("events.events.k8s.io", "events.events.k8s.io"),
        ("crd", "customresourcedefinitions.apiextensions.k8s.io"),
        ("hpa", "horizontalpodautoscalers.autoscaling"),
    ],
)
def test_a_resource_is_found_by_what_kubectl_calls_it(
    index: ResourceIndex, word: str, full_name: str
) -> None:
    """Plural, singular, short name, kind; with and without group and version."""
    assert index.of_word(word).full_name == full_name


def test_the_preferred_version_is_meant_and_others_can_be_named(index: ResourceIndex) -> None:
    """autoscaling has two versions: the one that the server names first is the word's."""
    assert index.of_word("hpa").version == "v2"
    assert index.of_word("horizontalpodautoscalers.v1.autoscaling").version == "v1"
    assert index.of_object("autoscaling/v1", "HorizontalPodAutoscaler").version == "v1"


def test_paths_are_those_of_the_api(index: ResourceIndex) -> None:
    """Of a collection, an object and a part of it, in a namespace and without one."""
    assert index.of_word("pods").path("a", "b", "log") == "/api/v1/namespaces/a/pods/b/log"
    assert index.of_word("pods").path() == "/api/v1/pods"
    assert index.of_word("deploy").path("a") == "/apis/apps/v1/namespaces/a/deployments"
    assert index.of_word("nodes").path("ignored", "n") == "/api/v1/nodes/n"


def test_what_is_not_there_is_named(index: ResourceIndex) -> None:
    """Neither a word nor a kind that the server lacks is guessed."""
    with pytest.raises(NotFound, match="no resource named 'widgets'"):
        index.of_word("widgets")
    with pytest.raises(NotFound, match=r"no kind named 'Widget' in version 'example\.com/v1'"):
        index.of_object("example.com/v1", "Widget")


def test_categories_group_resources(index: ResourceIndex) -> None:
    """`all` is what `get all` shows."""
    names = {info.full_name for info in index.of_category("all")}
    assert {"pods", "services", "deployments.apps", "jobs.batch"} <= names
    assert "secrets" not in names
