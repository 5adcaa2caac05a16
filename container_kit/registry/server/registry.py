"""A registry server in this process: a thread with an event loop of its own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import tempfile
import threading
import weakref
from concurrent.futures import Future, ThreadPoolExecutor
from importlib.util import find_spec
from types import TracebackType
from typing import TYPE_CHECKING, Final, Protocol

from container_kit.errors import UnsupportedFeature, WrongState
from container_kit.oci import Digest, Reference
from container_kit.registry.server.addresses import address_of, is_loopback, listen
from container_kit.registry.server.options import ServerLimits, ServerOptions
from container_kit.store import Store

if TYPE_CHECKING:
    from container_kit.registry.server.auth import Auth
    from container_kit.registry.server.dispatch import Dispatcher
    from container_kit.registry.server.mirror import Mirror, Upstream
    from container_kit.registry.server.repositories import Repositories
    from container_kit.registry.server.storage import Collected, Storage
    from container_kit.registry.server.tls import Tls

__all__ = ["HasDigest", "HasStore", "Registry", "open_storage"]

_THREADS: Final = 8  # that wait for the disk or hash at the same time
_HOUSEKEEPING_S: Final = 60.0
_READ_BUFFER: Final = 512 * 1024  # of one connection, before its client has to wait
_LINGER_S: Final = 2.0  # for the rest of a body that is refused, so that the refusal arrives


class HasStore(Protocol):
    """Anything with a store, such as an ``Engine``."""

    @property
    def store(self) -> Store: ...


class HasDigest(Protocol):
    """Anything that is one manifest, such as an ``Image``."""

    @property
    def digest(self) -> Digest: ...


class Registry:
    """An OCI registry that this process serves; made by :meth:`serve`.

    Attributes:
        address: ``host:port``, as it stands before a repository's name.
        url: The same as a URL.
        ca_file: The certificate to trust, when the server made its own; else None.
    """

    def __init__(
        self,
        storage: Storage,
        listener: socket.socket,
        options: ServerOptions,
        upstream: str | Upstream | None = None,
    ) -> None:
        """See :meth:`serve`."""
        from container_kit.registry.server.repositories import Repositories

        self._storage, self._listener, self._options = storage, listener, options
        self._repositories = Repositories(storage, options.limits.uploads)
        self._mirror = _mirror(self._repositories, upstream)
        self.address = address_of(listener)
        self.url = f"{'https' if options.tls else 'http'}://{self.address}"
        self.ca_file: str | None = None
        self._folder: str | None = None
        self._closed = False
        self._pid = os.getpid()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop: asyncio.Event | None = None
        self._thread = threading.Thread(target=self._run, name="container-kit-registry", daemon=True)
        self._ready: Future[None] = Future()
        try:
            self._tls = self._context()
            self._thread.start()
            self._ready.result()
        except BaseException:
            self._remove_folder()
            raise
        _served.add(self)

    @classmethod
    def serve(
        cls,
        directory: str | os.PathLike[str] | None = None,
        *,
        engine: HasStore | None = None,
        host: str = "127.0.0.1",
        port: int = 0,
        auth: Auth | None = None,
        tls: Tls | None = None,
        hostnames: tuple[str, ...] = (),
        behind_proxy: bool = False,
        upstream: str | Upstream | None = None,
        read_only: bool = False,
        delete: bool = True,
        metrics: bool = False,
        limits: ServerLimits | None = None,
    ) -> Registry:
        """Start a registry; it serves until it is closed, or its ``with`` block or this process ends.

        Args:
            directory: Where it keeps everything; None means the store of *engine*.
            engine: Whose store to use, shared with images; None means this user's.
            host: The address to listen on.
            port: 0 means a free one.
            auth: Who may use it, and for what; None means anyone who reaches it.
            tls: Its certificate; None means plain HTTP.
            hostnames: Names that clients call it by; tokens are given at the first of them.  On loopback,
                requests that use another name are refused, as a web page could make a browser send them.
            behind_proxy: Something before it speaks TLS with clients.
            upstream: Be a pull-through cache of this registry: fetch and keep what is asked for and not
                here.  Implies *read_only*.
            read_only: Refuse pushes and deletions.
            delete: Allow deletions, by digest and by tag.
            metrics: Serve ``/metrics``, to callers with the right ``catalog``.
            limits: What it gives at most.

        Raises:
            UnsupportedFeature: The extra ``[server]`` is not installed.
            InvalidInput: The server would be open to a network, or a file of *auth* or *tls* is not right.
            KernelError: The address cannot be used.
        """
        options = ServerOptions(
            host=host,
            port=port,
            auth=auth,
            tls=tls,
            hostnames=hostnames,
            behind_proxy=behind_proxy,
            read_only=read_only or upstream is not None,
            delete=delete,
            metrics=metrics,
            limits=limits or ServerLimits(),
        )
        _require_extra(options)
        return cls._on(listen(options), directory, engine, options, upstream)

    @classmethod
    def _on(
        cls,
        listener: socket.socket,
        directory: str | os.PathLike[str] | None,
        engine: HasStore | None,
        options: ServerOptions,
        upstream: str | Upstream | None,
    ) -> Registry:
        """Serve on *listener*; whatever goes wrong, nothing stays open."""
        with contextlib.ExitStack() as opened:
            opened.callback(listener.close)
            storage = open_storage(directory, engine)
            opened.callback(storage.close)
            registry = cls(storage, listener, options, upstream)
            opened.pop_all()
            return registry

    def publish(self, image: HasDigest, name: str) -> str:
        """Make an image of the registry's own store visible as *name*, without copying a byte.

        Args:
            image: Such as an ``Image`` of the same engine.
            name: ``repository:tag``; ``latest`` when the tag is left out.

        Returns:
            The full name for clients.

        Raises:
            NotFound: Its contents are not in this registry's storage.
        """
        reference = Reference.parse(f"{self.address}/{name}")
        assert reference.tag is not None
        self._repositories.publish(reference.path, image.digest, reference.tag)
        return str(reference)

    def collect(self, *, untagged: bool = False) -> Collected:
        """Collect garbage while serving: blobs that no manifest needs, and uploads that were given up.

        Args:
            untagged: Also manifests that no tag leads to.
        """
        return self._repositories.collect(untagged, self._options.limits.upload_expiry_s)

    def close(self) -> None:
        """Stop serving: running requests may end, within a time; may be repeated."""
        if self._closed or self._pid != os.getpid():  # a forked child serves nothing
            return
        self._closed = True
        if self._loop is not None and self._stop is not None:
            with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()
        if self._mirror is not None:
            self._mirror.close()
        self._storage.close()
        self._remove_folder()

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

    def _context(self) -> ssl.SSLContext | None:
        tls = self._options.tls
        if tls is None:
            return None
        if tls.self_signed:
            from container_kit.registry.server.tls import make_certificates

            self._folder = tempfile.mkdtemp(prefix="container-kit-registry-")
            names = dict.fromkeys(
                (self._options.host, "localhost", "127.0.0.1", "::1", *self._options.hostnames)
            )
            tls = make_certificates(self._folder, tuple(names))
            self.ca_file = f"{self._folder}/ca.pem"
        return tls.context()

    def _remove_folder(self) -> None:
        if self._folder is not None:
            shutil.rmtree(self._folder, ignore_errors=True)

    def _run(self) -> None:
        """The thread: an event loop until :meth:`close`."""
        try:
            with asyncio.Runner() as runner:
                self._loop = runner.get_loop()
                self._loop.set_default_executor(
                    ThreadPoolExecutor(_THREADS, thread_name_prefix="container-kit-registry")
                )
                runner.run(self._serve())
        except BaseException as error:
            if self._ready.done():
                raise
            self._ready.set_exception(error)

    async def _serve(self) -> None:
        from aiohttp import web

        from container_kit.registry.server.listening import Door, quiet_logger

        limits = self._options.limits
        self._stop = asyncio.Event()
        dispatcher = self._dispatcher()
        server = web.Server(
            dispatcher,
            access_log=None,
            logger=quiet_logger(),
            auto_decompress=False,
            keepalive_timeout=limits.idle_timeout_s,
            lingering_time=_LINGER_S,
            max_line_size=limits.header_bytes,
            max_field_size=limits.header_bytes,
            read_bufsize=_READ_BUFFER,
        )
        door = Door(server, self._listener, self._tls, limits, dispatcher.busy)
        if self._options.metrics:
            from container_kit.registry.server.metrics import Metrics

            dispatcher.metrics = Metrics(lambda: door.connections)
        door.open()
        housekeeping = asyncio.create_task(self._housekeep())
        self._ready.set_result(None)
        await self._stop.wait()
        housekeeping.cancel()
        await door.close()

    def _dispatcher(self) -> Dispatcher:
        from container_kit.registry.server.authentication import Gatekeeper
        from container_kit.registry.server.dispatch import Dispatcher

        options, names = self._options, None
        if options.tls is None and is_loopback(self._listener):
            names = frozenset(name.lower() for name in (options.host, *options.hostnames))
        gatekeeper = Gatekeeper(options.auth, self._realm()) if options.auth is not None else None
        return Dispatcher(self._repositories, options, gatekeeper, names, self._mirror)

    def _realm(self) -> str:
        """Where clients get their tokens; never taken from what a client says."""
        if not self._options.hostnames:
            return f"{self.url}/token"
        if self._options.behind_proxy:
            return f"https://{self._options.hostnames[0]}/token"
        scheme, port = self.url.partition(":")[0], self._listener.getsockname()[1]
        return f"{scheme}://{self._options.hostnames[0]}:{port}/token"

    async def _housekeep(self) -> None:
        """Let go of what is in flight no more, and of uploads that nobody continues."""
        limits, loop = self._options.limits, asyncio.get_running_loop()
        turn = loop.time() + limits.grace_s
        while True:
            await asyncio.sleep(min(_HOUSEKEEPING_S, limits.grace_s))
            sweep = self._repositories.uploads.sweep
            await loop.run_in_executor(None, sweep, limits.upload_expiry_s)
            if loop.time() >= turn:
                turn += limits.grace_s
                await loop.run_in_executor(None, self._storage.rotate)


def _mirror(repositories: Repositories, upstream: str | Upstream | None) -> Mirror | None:
    if upstream is None:
        return None
    from container_kit.registry.server.mirror import Mirror, Upstream

    wanted = Upstream(registry=upstream) if isinstance(upstream, str) else upstream
    return Mirror(repositories, wanted)


def open_storage(directory: str | os.PathLike[str] | None, engine: HasStore | None) -> Storage:
    """The storage in *directory*, or in the store of *engine*, or in this user's store."""
    if directory is not None:
        from container_kit.registry.server.in_directory import DirectoryStorage

        return DirectoryStorage(os.fspath(directory))
    from container_kit.registry.server.in_store import StoreStorage

    return StoreStorage(engine.store if engine is not None else Store.shared())


def _require_extra(options: ServerOptions) -> None:
    """Refuse what needs a library of the extra that is not there, before anything is opened."""
    auth, tls = options.auth, options.tls
    needed = {
        "aiohttp": True,
        "bcrypt": auth is not None and auth.htpasswd is not None,
        "cryptography": tls is not None and tls.self_signed,
        "jwt": auth is not None and auth.tokens,
        "prometheus_client": options.metrics,
    }
    missing = [name for name, wanted in needed.items() if wanted and find_spec(name) is None]
    if missing:
        raise UnsupportedFeature(
            f"cannot serve a registry: {', '.join(missing)} is not installed; "
            "install it with `pip install container-kit[server]`"
        )


def _let_go() -> None:
    """In a forked child: the address is the parent's alone."""
    for registry in _served:
        registry._listener.close()


_served: weakref.WeakSet[Registry] = weakref.WeakSet()
os.register_at_fork(after_in_child=_let_go)
