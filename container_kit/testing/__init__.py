"""Containers in test suites: fixtures for pytest, and services as data.

The plugin gives the fixtures `engine`, `container_factory`, `network`, `registry`, `image`, `cluster` and
`namespace`, and one for each ready-made service; `service_fixture` and `service` make fixtures of your own
services, `cluster_fixture` of clusters.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from container_kit._lazy import resolver

if TYPE_CHECKING:
    from container_kit.testing.clusters import cluster_fixture, namespace_fixture
    from container_kit.testing.definitions import ServiceDefinition
    from container_kit.testing.factories import ContainerFactory, ImageFactory
    from container_kit.testing.fixtures import service, service_fixture
    from container_kit.testing.services import Service, start_service

_HOME = {
    "ContainerFactory": ".factories",
    "ImageFactory": ".factories",
    "Service": ".services",
    "ServiceDefinition": ".definitions",
    "cluster_fixture": ".clusters",
    "namespace_fixture": ".clusters",
    "service": ".fixtures",
    "service_fixture": ".fixtures",
    "start_service": ".services",
}

__all__ = [
    "ContainerFactory",
    "ImageFactory",
    "Service",
    "ServiceDefinition",
    "cluster_fixture",
    "namespace_fixture",
    "service",
    "service_fixture",
    "start_service",
]

__getattr__ = resolver(__name__, _HOME)
