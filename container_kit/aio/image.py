"""Image for coroutines: the verbs that take long are awaited.

What they give is a :class:`container_kit.Image`, which is a value and waits for nothing when it is looked at.
"""

from __future__ import annotations

import builtins
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

from container_kit.aio._work import call, finish, in_loop
from container_kit.images import Image as SyncImage

if TYPE_CHECKING:
    from container_kit.images.secrets import Secret
    from container_kit.images.words import (
        ArchiveFormat,
        BuildContext,
        Copied,
        HasStore,
        Pruned,
        PullPolicy,
        PushCompression,
        Pushed,
        Removed,
    )
    from container_kit.oci import Platform, ProgressCallback
    from container_kit.registry.client import Credentials, RegistryOptions

__all__ = ["Image"]


class Image:
    """Where images come from and go to; ``await aio.Image.pull("alpine")`` gives an image.

    What sends or changes one is a verb of an object that is made of it: ``await aio.Image(image).push()``.

    Attributes:
        sync: The image itself.
    """

    def __init__(self, sync: SyncImage) -> None:
        self.sync = sync

    # Where they come from.

    @classmethod
    async def pull(
        cls,
        reference: str,
        *,
        platform: Platform | str | None = None,
        policy: PullPolicy = "always",
        progress: ProgressCallback | None = None,
        credentials: Credentials | None = None,
        signature_policy: str | os.PathLike[str] | None = None,
        options: RegistryOptions | None = None,
        engine: HasStore | None = None,
    ) -> SyncImage:
        """The image of this name, from its registry: see :meth:`container_kit.Image.pull`.

        *progress* is called in the event loop.  Cancelled, no connection is left and no image; what has been
        received is used by the next pull.
        """
        tell = in_loop(progress)
        return await call(
            lambda: SyncImage.pull(
                reference,
                platform=platform,
                policy=policy,
                progress=tell,
                credentials=credentials,
                signature_policy=signature_policy,
                options=options,
                engine=engine,
            )
        )

    @classmethod
    async def build(
        cls,
        context: BuildContext = ".",
        *,
        dockerfile: str | os.PathLike[str] | bytes | None = None,
        tag: str | Iterable[str] | None = None,
        target: str | None = None,
        build_args: Mapping[str, Any] | Iterable[str] | None = None,
        contexts: Mapping[str, Any] | None = None,
        secrets: Mapping[str, Secret] | None = None,
        ssh: Mapping[str, str] | Iterable[str] | bool | None = None,
        platform: Platform | str | Iterable[Platform | str] | None = None,
        labels: Mapping[str, str] | Iterable[str] | None = None,
        annotations: Mapping[str, str] | Iterable[str] | None = None,
        pull: bool = False,
        no_cache: bool | str | Iterable[str] = False,
        squash: bool = False,
        cache_from: str | Iterable[str] | None = None,
        cache_to: str | Iterable[str] | None = None,
        output: str | os.PathLike[str] | Iterable[str] | None = None,
        network: Literal["default", "none", "host"] = "default",
        allow: str | Iterable[str] | None = None,
        sbom: bool = False,
        provenance: bool | Literal["min", "max"] = False,
        progress: ProgressCallback | None = None,
        engine: HasStore | None = None,
    ) -> SyncImage:
        """The image that a Dockerfile describes: see :meth:`container_kit.Image.build`.

        *progress* is called in the event loop.  Cancelled, what RUN has started is killed; steps that were
        done are in the cache.
        """
        tell = in_loop(progress)
        return await call(
            lambda: SyncImage.build(
                context,
                dockerfile=dockerfile,
                tag=tag,
                target=target,
                build_args=build_args,
                contexts=contexts,
                secrets=secrets,
                ssh=ssh,
                platform=platform,
                labels=labels,
                annotations=annotations,
                pull=pull,
                no_cache=no_cache,
                squash=squash,
                cache_from=cache_from,
                cache_to=cache_to,
                output=output,
                network=network,
                allow=allow,
                sbom=sbom,
                provenance=provenance,
                progress=tell,
                engine=engine,
            )
        )

    @classmethod
    async def load(
        cls, source: str | os.PathLike[str] | IO[bytes], *, engine: HasStore | None = None
    ) -> Sequence[SyncImage]:
        """The images of an archive or OCI layout: see :meth:`container_kit.Image.load`."""
        return await call(lambda: SyncImage.load(source, engine=engine))

    @classmethod
    async def import_(
        cls,
        source: str | os.PathLike[str] | IO[bytes],
        tag: str | None = None,
        *,
        changes: Iterable[str] = (),
        message: str = "",
        engine: HasStore | None = None,
    ) -> SyncImage:
        """An image of one layer from a tar: see :meth:`container_kit.Image.import_`."""
        lines = tuple(changes)
        return await call(
            lambda: SyncImage.import_(source, tag, changes=lines, message=message, engine=engine)
        )

    @classmethod
    async def from_host(
        cls,
        *programs: str,
        files: Iterable[str | tuple[str, str]] = (),
        tag: str | None = None,
        engine: HasStore | None = None,
    ) -> SyncImage:
        """An image of programs of this host: see :meth:`container_kit.Image.from_host`."""
        added = tuple(files)
        return await call(lambda: SyncImage.from_host(*programs, files=added, tag=tag, engine=engine))

    @classmethod
    async def from_python(
        cls,
        requirements: Iterable[str] | None = None,
        *,
        tag: str | None = None,
        engine: HasStore | None = None,
    ) -> SyncImage:
        """An image of the running interpreter: see :meth:`container_kit.Image.from_python`."""
        return await call(lambda: SyncImage.from_python(requirements, tag=tag, engine=engine))

    @classmethod
    async def from_rootfs(
        cls,
        source: str | os.PathLike[str],
        tag: str | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        engine: HasStore | None = None,
    ) -> SyncImage:
        """An image of one layer from a directory: see :meth:`container_kit.Image.from_rootfs`."""
        return await call(lambda: SyncImage.from_rootfs(source, tag, config, engine=engine))

    @classmethod
    async def copy(
        cls,
        source: str | SyncImage,
        target: str,
        *,
        platform: Platform | str | None = None,
        referrers: bool = False,
        progress: ProgressCallback | None = None,
        options: RegistryOptions | None = None,
        source_options: RegistryOptions | None = None,
        engine: HasStore | None = None,
    ) -> Copied:
        """Copy an image from one place to another: see :meth:`container_kit.Image.copy`."""
        tell = in_loop(progress)
        return await call(
            lambda: SyncImage.copy(
                source,
                target,
                platform=platform,
                referrers=referrers,
                progress=tell,
                options=options,
                source_options=source_options,
                engine=engine,
            )
        )

    @classmethod
    async def get(cls, reference: str, *, engine: HasStore | None = None) -> SyncImage:
        """The image of this name, ``name@digest``, digest, id, or unique prefix of an id."""
        return await call(lambda: SyncImage.get(reference, engine=engine))

    @classmethod
    async def list(cls, *, engine: HasStore | None = None) -> builtins.list[SyncImage]:
        """All images of the store, newest first; those without a name too."""
        return [*await call(lambda: SyncImage.list(engine=engine))]

    @classmethod
    async def prune(cls, *, all: bool = False, engine: HasStore | None = None) -> Pruned:
        """Remove the images without a name; with *all*, every image that no container uses."""
        return await finish(lambda: SyncImage.prune(all=all, engine=engine))

    # Where they go to.

    async def push(
        self,
        target: str | None = None,
        *,
        compression: PushCompression = "auto",
        progress: ProgressCallback | None = None,
        credentials: Credentials | None = None,
        options: RegistryOptions | None = None,
    ) -> Pushed:
        """Send it to a registry: see :meth:`container_kit.Image.push`. Cancelled, no connection is left."""
        tell = in_loop(progress)
        return await call(
            lambda: self.sync.push(
                target, compression=compression, progress=tell, credentials=credentials, options=options
            )
        )

    async def save(
        self, target: str | os.PathLike[str] | IO[bytes], format: ArchiveFormat = "docker-archive"
    ) -> None:
        """Write it, with its names, to *target*: see :meth:`container_kit.Image.save`."""
        await call(lambda: self.sync.save(target, format))

    async def remove(self, *, force: bool = False, name: str | None = None) -> Removed:
        """Take *name* away, or all names; without a name left the image goes too."""
        return await finish(lambda: self.sync.remove(force=force, name=name))
