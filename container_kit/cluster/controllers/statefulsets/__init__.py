"""StatefulSets: pods with names and volumes that stay, made and replaced one after the other.

`identity` knows what makes a pod the one of its number, `steps` decides what is to be done next (pure),
`volumes` keeps the claims, `controller` reads, asks them and writes.
"""

from container_kit.cluster.controllers.statefulsets.controller import StatefulSetController

__all__ = ["StatefulSetController"]
