"""Deployments: a new ReplicaSet for each new template, and a careful way from the old one to it.

`revisions` knows what is written on ReplicaSets, `scaling` decides numbers, `progress` decides conditions,
all of them pure; `controller` reads, asks them and writes.
"""

from container_kit.cluster.controllers.deployments.controller import DeploymentController

__all__ = ["DeploymentController"]
