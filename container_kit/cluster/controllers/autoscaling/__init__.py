"""Horizontal pod autoscaling: as many replicas as the load asks for.

How many that is follows from usage (`usage`) and from how fast one may change (`behavior`), both pure; the
controller asks for metrics and writes the scale.
"""

from container_kit.cluster.controllers.autoscaling.controller import (
    HorizontalPodAutoscaler as HorizontalPodAutoscaler,
)

__all__ = ["HorizontalPodAutoscaler"]
