"""The bytes of layers on their way from a registry into a pipe, whose other end is unpacked in C.

A thread for each layer; nothing is held in memory but one piece.  When the connection breaks, it goes on
where it was, if need be at another of the image's places.
"""

from __future__ import annotations

import fcntl
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import ClassVar, Final

import attrs

from container_kit.errors import AccessDenied, ContainerKitError, NotFound, Unreachable, Untrusted
from container_kit.native import layers as native
from container_kit.native.descriptors import Descriptor as OpenFile
from container_kit.native.descriptors import pipe
from container_kit.oci import Descriptor
from container_kit.oci.media_types import is_foreign_layer
from container_kit.oci.progress import Action, Progress
from container_kit.registry.client.download import BlobReader
from container_kit.registry.client.repository import Repository
from container_kit.registry.client.retrying import next_delay
from container_kit.registry.client.session import Session
from container_kit.registry.client.transport import Interrupted

__all__ = ["PASSED_OVER", "Download", "Places"]

# Errors of one place that say nothing about the next one.
PASSED_OVER: Final = (AccessDenied, NotFound, Unreachable, Untrusted)

_PIPE_SIZE: Final = 1 << 20
_GRACE_S: Final = 0.3
_PIECE: Final = 256 * 1024
# So much has to come between two breaks of a connection, or they count as failures in a row.
_PROGRESS_BYTES: Final = 1 << 20


@attrs.frozen
class Places:
    """Where an image's blobs are: the place that had its manifest first, then the others."""

    session: Session
    repositories: Sequence[Repository]

    def open(self, descriptor: Descriptor, offset: int) -> BlobReader:
        """A reader from the first place that has the blob.

        Raises:
            NotFound, Unreachable: The last place's error, if none has it.
        """
        is_foreign = is_foreign_layer(descriptor.media_type) and descriptor.urls
        for repository in self.repositories[: None if is_foreign else -1]:
            with suppress(*PASSED_OVER):
                return repository.open_blob(descriptor, offset)
        last = self.repositories[-1]
        return last.open_foreign(descriptor, offset) if is_foreign else last.open_blob(descriptor, offset)


@attrs.frozen
class Download:
    """A layer in a registry, as `container_kit.images.sources.Content`."""

    places: Places
    descriptor: Descriptor
    report: Callable[[Progress], object]
    resumes: ClassVar[bool] = True

    @property
    def size(self) -> int:
        return self.descriptor.size

    @contextmanager
    def opened(
        self, kept_part: int | None, cancellation: native.Cancellation
    ) -> Iterator[tuple[int, int | None]]:
        """The reading end of a pipe that a thread fills.  Its error counts before the reader's."""
        reading, writing = pipe()
        with suppress(OSError):
            fcntl.fcntl(writing.fileno(), fcntl.F_SETPIPE_SZ, _PIPE_SIZE)
        pump = _Pump(self, kept_part, writing)
        pump.start()
        try:
            yield reading.fileno(), None
        except BaseException:
            pump.stopped_by_reader = pump.failure is None
            reading.close()
            # A pump that gets bytes finds its pipe closed; one that waits for the network does not.
            pump.join(0 if cancellation.is_cancelled else _GRACE_S)
            if pump.is_alive():
                self.places.session.cancel()
            raise
        finally:
            reading.close()
            pump.join()
            pump.raise_failure()
        self.report(Progress(id=str(self.descriptor.digest), action="done"))


class _Pump(threading.Thread):
    """Fills one pipe."""

    def __init__(self, download: Download, kept_part: int | None, writing: OpenFile) -> None:
        super().__init__(name="container-kit-download", daemon=True)
        self._download, self._kept_part, self._writing = download, kept_part, writing
        self._position = 0
        self.failure: BaseException | None = None
        self.stopped_by_reader = False

    def run(self) -> None:
        try:
            self._give_kept()
            self._give_rest()
        except BrokenPipeError:
            return  # the reader gave up, and says why itself
        except BaseException as error:
            self.failure = error
        finally:
            self._writing.close()

    def raise_failure(self) -> None:
        """Raise what broke the download; not what followed from the reader's own error."""
        if self.failure is not None and not self.stopped_by_reader:
            raise self.failure from None

    def _give_kept(self) -> None:
        if self._kept_part is None:
            return
        while piece := os.pread(self._kept_part, _PIECE, self._position):
            self._give(piece)

    def _give_rest(self) -> None:
        session, size = self._download.places.session, self._download.size
        failures, since = 0, self._position
        while self._position < size:
            try:
                with self._download.places.open(self._download.descriptor, self._position) as reader:
                    self._drain(reader)
                if self._position < size:
                    raise Interrupted("the blob ends too early")
            except Interrupted as broken:
                failures = 1 if self._position - since >= _PROGRESS_BYTES else failures + 1
                since = self._position
                if failures >= session.options.tries:
                    raise self._given_up(broken, failures) from broken
                self._tell("retry", str(broken))
                session.transport.pause(next_delay(failures))

    def _drain(self, reader: BlobReader) -> None:
        while piece := reader.read():
            self._give(piece)

    def _give(self, piece: bytes) -> None:
        view = memoryview(piece)
        while view:
            view = view[os.write(self._writing.fileno(), view) :]
        self._position += len(piece)
        self._tell("download")

    def _tell(self, action: Action, message: str = "") -> None:
        digest, size = str(self._download.descriptor.digest), self._download.size
        event = Progress(
            id=digest, action=action, done_bytes=self._position, total_bytes=size, message=message
        )
        self._download.report(event)

    def _given_up(self, broken: Interrupted, tries: int) -> ContainerKitError:
        host = self._download.places.repositories[0].location.origin.authority
        digest = self._download.descriptor.digest
        return Unreachable(
            f"cannot fetch {digest} from {host}: it broke off at byte {self._position}, "
            f"tried {tries} times: {broken}",
            host,
            tries,
        )
