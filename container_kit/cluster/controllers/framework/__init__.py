"""What every controller stands on: informers, a work queue, one thread, and events.

A controller says which changes concern which of its keys, and how to bring one key nearer to what is wished.
Everything else is here: seeing changes (`Informer`), remembering what is to do and when (`WorkQueue`), doing
it on one thread that sleeps when there is nothing to do (`Manager`), and telling people (`EventRecorder`).
"""

from container_kit.cluster.controllers.framework.events import EventRecorder, EventType
from container_kit.cluster.controllers.framework.informer import Informer, Listener
from container_kit.cluster.controllers.framework.manager import (
    Controller,
    Manager,
    Mapper,
    Waker,
    anything,
    keys_of,
    nobody,
)
from container_kit.cluster.controllers.framework.queue import WorkQueue

__all__ = [
    "Controller",
    "EventRecorder",
    "EventType",
    "Informer",
    "Listener",
    "Manager",
    "Mapper",
    "Waker",
    "WorkQueue",
    "anything",
    "keys_of",
    "nobody",
]
