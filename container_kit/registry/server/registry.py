"""A registry server in this process: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

from container_kit.errors import KernelError, UnsupportedFeature, WrongState
from container_kit.registry.server.options import Behaviour, ServerLimits
from container_kit.store import Store

if TYPE_CHECKING:
    from container_kit.registry.server.storage import Collected, Storage

__all__ = ["HasStore", "Registry"]

_THREADS: Final = 8  # that wait for the disk or hash at the same time
_HOUSEKEEPING_S: Final = 60.0


class HasStore(Protocol):
    """Anything with a store, such as an ``Engine``."""

    @property
    def store(self) -> Store: ...


class Registry:
    """An OCI registry that this process serves; made by :meth:`serve`.

    Attributes:
        address: ``host:port``, as it stands before a repository's name.
        url: The same as a URL.
        ca_file: The certificate to trust, when the server made its own; else None.
    """

    def __init__(self, storage: Storage, listener: socket.socket, behaviour: Behaviour) -> None:
        """See :meth:`serve`."""
        from container_kit.registry.server.repositories import Repositories

        self._behaviour = behaviour
        self._repositories = Repositories(storage, behaviour.limits.uploads)
        self._listener = listener
        self.address = _address(listener)
        self.ca_file: str | None = None
        self.url = f"http://{self.address}"
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._closed = False
        ready: Future[None] = Future()
        self._thread = threading.Thread(
            target=self._run, args=(ready,), name="container-kit-registry", daemon=True
        )
        self._thread.start()
        ready.result()

    @classmethod
    def serve(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        engine: HasStore | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        read_only: bool = False,
        delete: bool = True,
        limits: ServerLimits | None = None,
    ) -> Registry:
        """Start a registry; it serves until it is closed, or its ``with`` block or this process ends.

        Args:
            directory: Where it keeps everything; None means the store of *engine*.
            engine: Whose store to use, shared with images; None means this user's.
            host: The address to listen on.
            port: 0 means a free one.
            read_only: Refuse pushes and deletions.
            delete: Allow deletions.
            limits: What it gives at most.

        Raises:
            UnsupportedFeature: The extra ``[server]`` is not installed.
            KernelError: The address cannot be used.
        """
        _require_extra()
        behaviour = Behaviour(read_only=read_only, delete=delete, limits=limits or ServerLimits())
        listener = _listen(host, port)
        try:
            return cls(_storage(directory, engine), listener, behaviour)
        except BaseException:
            listener.close()
            raise

    def collect(self, *, untagged: bool = False) -> Collected:
        """Collect garbage while serving: blobs that no manifest needs, and uploads that were given up.

        Args:
            untagged: Also manifests that no tag leads to.
        """
        self._repositories.uploads.sweep(self._behaviour.limits.upload_expiry_s)
        return self._repositories.collect(untagged)

    def close(self) -> None:
        """Stop serving: running requests may end, within a time; may be repeated."""
        if self._closed:
            return
        self._closed = True
        loop, stop = self._loop, self._stop
        if loop is not None and stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                loop.call_soon_threadsafe(stop.set)
        self._thread.join()
        self._repositories.storage.close()

    def wait(self) -> None:
        """Serve until :meth:`close` is called in another thread, or Ctrl-C."""
        if self._closed:
            raise WrongState("the registry is closed: serve it again")
        while self._thread.is_alive():
            self._thread.join(1.0)

    def __enter__(self) -> Registry:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"Registry({self.url!r})"

    def _run(self, ready: Future[None]) -> None:
        """The thread: an event loop until :meth:`close`."""
        with asyncio.Runner() as runner:
            self._loop = runner.get_loop()
            self._loop.set_default_executor(
                ThreadPoolExecutor(_THREADS, thread_name_prefix="container-kit-registry")
            )
            try:
                runner.run(self._serve(ready))
            except BaseException as error:
                if not ready.done():
                    ready.set_exception(error)
                    return
                raise

    async def _serve(self, ready: Future[None]) -> None:
        from aiohttp import web

        from container_kit.registry.server.dispatch import Dispatcher
        from container_kit.registry.server.listening import Door

        limits = self._behaviour.limits
        self._stop = asyncio.Event()
        server = web.Server(
            Dispatcher(self._repositories, self._behaviour),
            access_log=None,
            auto_decompress=False,
            keepalive_timeout=limits.idle_timeout_s,
            lingering_time=2.0,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            read_bufsize=1 << 19,
        )
        door = Door(server, self._listener, None, limits)
        door.open()
        housekeeping = asyncio.create_task(self._housekeep())
        ready.set_result(None)
        await self._stop.wait()
        housekeeping.cancel()
        await door.close()

    async def _housekeep(self) -> None:
        """Let go of what is in flight no more, and of uploads that nobody continues."""
        limits, loop = self._behaviour.limits, asyncio.get_running_loop()
        turn = loop.time() + limits.grace_s
        while True:
            await asyncio.sleep(min(_HOUSEKEEPING_S, limits.grace_s))
            uploads = self._repositories.uploads
            await loop.run_in_executor(None, uploads.sweep, limits.upload_expiry_s)
            if loop.time() >= turn:
                turn += limits.grace_s
                await loop.run_in_executor(None, self._repositories.storage.rotate)


def _require_extra() -> None:
    try:
        import aiohttp  # noqa: F401
    except ImportError as error:
        raise UnsupportedFeature(
            f"cannot serve a registry: {error.name or 'a library'} is not installed; "
            "install it with `pip install container-kit[server]`"
        ) from error


def _storage(directory: str | os.PathLike[str] | None, engine: HasStore | None) -> Storage:
    if directory is not None:
        from container_kit.registry.server.in_directory import DirectoryStorage

        return DirectoryStorage(os.fspath(directory))
    from container_kit.registry.server.in_store import StoreStorage

    return StoreStorage(engine.store if engine is not None else Store.shared())


def _listen(host: str, port: int) -> socket.socket:
    """A socket that listens on *host*; the address is free again as soon as it is closed."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
    except OSError as error:
        raise KernelError(error.errno or 0, f"cannot listen on {host}:{port}: {error.strerror}") from error
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(1024)
        listener.setblocking(False)
    except OSError as error:
        listener.close()
        raise KernelError(error.errno or 0, f"cannot listen on {host}:{port}: {error.strerror}") from error
    return listener


def _address(listener: socket.socket) -> str:
    """Where a client on this host finds *listener*."""
    host, port = listener.getsockname()[:2]
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
