"""Behind which addresses a service is found: Endpoints, EndpointSlices, and slices for Endpoints made by
hand.

Pure words on a service's pods are in `backends`, on how slices change in `slices`.
"""

from container_kit.cluster.controllers.services.endpoints import EndpointsController as EndpointsController
from container_kit.cluster.controllers.services.endpointslices import (
    EndpointSliceController as EndpointSliceController,
)
from container_kit.cluster.controllers.services.mirroring import (
    EndpointSliceMirroringController as EndpointSliceMirroringController,
)

__all__ = ["EndpointSliceController", "EndpointSliceMirroringController", "EndpointsController"]
