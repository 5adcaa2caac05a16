"""Image: an immutable manifest with its config and layers, held by a store.

A thin face: each verb lives in a module of its own and is imported when it is first used.
"""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import IO, TYPE_CHECKING, Any, Literal

import attrs

from container_kit._lazy import borrowed
from container_kit.errors import with_typed_errors
from container_kit.images import records
from container_kit.images.choosing import registry_options, store_of

if TYPE_CHECKING:
    from container_kit.images.defaults import RunDefaults
    from container_kit.images.describe import HistoryEntry
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
    from container_kit.oci import Digest, ImageConfig, Manifest, Platform, ProgressCallback
    from container_kit.registry.client import Credentials, RegistryOptions
    from container_kit.registry.signatures import PublicKey, SigningKey, Verified
    from container_kit.registry.signatures.identities import Identity
    from container_kit.registry.signatures.identities import Kind as IdentityKind
    from container_kit.registry.signatures.keys import KeySource
    from container_kit.store import Store

__all__ = ["Image"]


@with_typed_errors
@attrs.frozen(eq=False, repr=False)
class Image:
    """An image in a store.  Two handles are equal when they name the same manifest.

    Attributes:
        digest: Of the manifest; the address of the image, as registries use it.
        store: Where its bytes are.
        manifest, config: The parsed documents; their raw bytes stay in the store as received.
    """

    digest: Digest
    store: Store
    manifest: Manifest
    config: ImageConfig

    # -- where images come from --------------------------------------------------------------

    @classmethod
    def from_host(
        cls,
        *programs: str,
        files: Iterable[str | tuple[str, str]] = (),
        tag: str | None = None,
        engine: HasStore | None = None,
    ) -> Image:
        """An image of programs of this host, with all that they need to run.

        That is the dynamic loader, the shared libraries (as the loader would find them), symbolic
        links, the interpreters of scripts, and a small ``/etc``.  The same inputs give the same digest.

        Args:
            programs: Names looked up on ``PATH``, or absolute paths.
            files: Files or directories to add: a path (kept where it is), or ``(source, target)``.
            tag: Name to give to the image.

        Raises:
            NotFound: A program, library or file is not on this host.
            InvalidInput: *tag* is no valid name, or nothing was asked for.
        """
        from container_kit.images.host import from_host

        return from_host(store_of(engine), programs, tuple(files), tag)

    @classmethod
    def from_python(
        cls,
        requirements: Iterable[str] | None = None,
        *,
        tag: str | None = None,
        engine: HasStore | None = None,
    ) -> Image:
        """An image of the running interpreter, its standard library and, if asked, its packages.

        Args:
            requirements: Names of installed distributions to add, with what they depend on; None adds
                none and ``["*"]`` adds every installed one.  Nothing is downloaded.
            tag: Name to give to the image.

        Raises:
            NotFound: A distribution is not installed.
        """
        from container_kit.images.python import from_python

        return from_python(store_of(engine), requirements, tag)

    @classmethod
    def from_rootfs(
        cls,
        source: str | os.PathLike[str],
        tag: str | None = None,
        config: Mapping[str, Any] | None = None,
        *,
        engine: HasStore | None = None,
    ) -> Image:
        """An image of one layer from a directory, or a tar of one (plain, gzip or zstd).

        Args:
            source: Path of the directory or the tar.
            tag: Name to give to the image.
            config: The ``config`` object of the image configuration: ``{"Cmd": ["/bin/sh"], "Env": [...]}``.

        Raises:
            InvalidInput: *source* is neither, or *config* has a field of the wrong type.
        """
        from container_kit.images.rootfs import from_rootfs

        return from_rootfs(store_of(engine), source, tag, config or {})

    @classmethod
    def import_(
        cls,
        source: str | os.PathLike[str] | IO[bytes],
        tag: str | None = None,
        *,
        changes: Iterable[str] = (),
        message: str = "",
        engine: HasStore | None = None,
    ) -> Image:
        """``docker import``: an image of one layer from the tar of a root file system.

        Args:
            source: Path, or an open binary file (a pipe will do).
            changes: Dockerfile instructions: CMD ENTRYPOINT ENV EXPOSE LABEL ONBUILD STOPSIGNAL USER
                VOLUME WORKDIR HEALTHCHECK.
            message: Comment in the history.
        """
        from container_kit.images.rootfs import import_tar

        return import_tar(store_of(engine), source, tag, tuple(changes), message)

    @classmethod
    def from_container(
        cls,
        directory: str,
        base: Image,
        *,
        tag: str | None = None,
        changes: Iterable[str] = (),
        author: str = "",
        message: str = "",
        created_by: str = "",
    ) -> Image:
        """``docker commit``: *base* plus one layer, what a container changed in its root file system.

        Args:
            directory: The directory that `Snapshotter.prepare` was called with.
            base: The image that the container was made of.
            changes: As in `import_`, applied to the config of *base*.
        """
        from container_kit.images.commit import commit

        return commit(base, directory, tag, tuple(changes), author, message, created_by)

    @classmethod
    def load(
        cls, source: str | os.PathLike[str] | IO[bytes], *, engine: HasStore | None = None
    ) -> Sequence[Image]:
        """The images of a docker-archive, an OCI layout tar, or an OCI layout directory, in its order.

        Layers are unpacked straight out of a seekable file by several threads; a pipe, or an archive
        that is compressed as a whole, is written to the store's disk first.

        Raises:
            CorruptData: Bytes are not what their digest, size or format promises.
            InvalidInput: It is none of the three formats.
            LimitExceeded: Larger than the budgets of the parsers.
        """
        from container_kit.images.load import load

        return load(store_of(engine), source)

    @classmethod
    def build(
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
    ) -> Image:
        """The image that a Dockerfile describes.

        A step runs again only if one of its inputs has changed: contents, words, variables, never times of
        files.  Stages that do not need each other are built at the same time; those that the target does
        not need are not built.  Equal inputs give equal digests, as far as RUN steps are deterministic:
        what is new has the time of ``SOURCE_DATE_EPOCH`` (an argument, or a variable of this process), else
        that of the base image, and every RUN sees it as a variable.

        Args:
            context: A directory; a git repository or a tar by its URL; an open tar; a mapping of paths to
                contents; None for none.
            dockerfile: Its path, relative to the context; or its text as bytes. None means ``Dockerfile``.
            tag: Names to give to the image.
            target: The stage to build, by name or number; None means the last one.
            build_args: Values of ARG.
            contexts: More contexts by the name that ``--from=`` and ``FROM`` use: as *context*, or
                ``docker-image://NAME``.
            secrets: For ``RUN --mount=type=secret,id=…``; they are in nothing that the build makes.
            ssh: Sockets of agents for ``RUN --mount=type=ssh``, by id; True for ``SSH_AUTH_SOCK``.
            platform: One or several; steps run only where this host can run programs for them.
            pull: Ask the registry for base images even when they are here.
            no_cache: Do every step anew; or only those of the named stages.
            squash: Make one layer of those that are added to the base.
            cache_from, cache_to: ``type=local,src=DIR`` (``dest=DIR``), ``type=registry,ref=NAME``; and
                ``type=inline`` for the image itself.
            output: Beside the store: a directory, or ``type=oci|docker|tar|local,dest=PATH``.
            network: What RUN has: "default" is the default network, "host" this host's, or "none".
            allow: ``network.host``, ``security.insecure``: what RUN flags may ask for.
            sbom, provenance: Attest what is in the image, and how it was made, in the index that is kept with
                the names, and pushed or written as OCI; "max" also names arguments and secrets.
            progress: Called with each `Progress`.

        Returns:
            The image for this host, or for the first of *platform*.

        Raises:
            BuildFailed: A step could not be done: says which line, and for RUN the end of its output.
            InvalidInput: The Dockerfile cannot be understood (`DockerfileError` says where), or an argument.
            NotFound: There is no such context, base image or secret.
        """
        build: Callable[..., Image] = borrowed("container_kit.build.building:build_image")
        return build(
            context,
            dockerfile=dockerfile,
            contexts=contexts or {},
            engine=engine,
            progress=progress,
            output=output,
            tags=tag,
            target=target,
            build_args=build_args,
            secrets=secrets or {},
            ssh=ssh,
            platforms=platform,
            labels=labels,
            annotations=annotations,
            pull=pull,
            no_cache=no_cache,
            squash=squash,
            cache_from=cache_from,
            cache_to=cache_to,
            network=network,
            allow=allow,
            sbom=sbom,
            provenance=provenance,
        )

    @classmethod
    def base(cls, name: str | Any = "scratch", *, platform: str = "") -> Any:
        """The beginning of a build in Python, on an image (itself or its name), nothing, or another build.

        ``ck.Image.base("debian:12").run("make").build(tag="app")``; every step gives a new
        `container_kit.build.ImageBuilder`.
        """
        base = str(name.digest) if isinstance(name, Image) else name
        return borrowed("container_kit.build.builder:ImageBuilder")(base, platform)

    @classmethod
    def pull(
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
    ) -> Image:
        """The image of this name, from its registry where it is newer there or not here.

        Each layer streams once: received, digested, unpacked; several at a time.  What an interrupted pull
        has received is used by the next.  Layers that are here are not fetched.

        Args:
            reference: As docker reads it: ``alpine``, ``host:5000/team/app:1``, ``name@sha256:...``.
            platform: Such as ``linux/arm64``; None means this host's.
            policy: "always" asks the registry which image the name means now; "missing" takes one that is
                here; "never" asks no registry at all.
            progress: Called with each `Progress`.
            credentials: Instead of those that `container-kit login`, docker or podman have stored.
            signature_policy: A file as containers-policy.json(5) has it: which images may be pulled, and how
                they have to be signed. None means that of the user or host, if there is one.

        Raises:
            NotFound: The registry has no such image, or none for the platform (and says which it has).
            AccessDenied: It wants (other) credentials.
            Unreachable: It did not answer; says which host and address, and how often it was tried.
            Untrusted: Its certificate is not trusted, or the signature policy does not allow the image.
            CorruptData: What it sent is not what the digests promise.
        """
        from container_kit.images.pulling import pull

        chosen = registry_options(options, credentials, signature_policy)
        return pull(store_of(engine), reference, platform, policy, progress, chosen)

    @classmethod
    def copy(
        cls,
        source: str | Image,
        target: str,
        *,
        platform: Platform | str | None = None,
        referrers: bool = False,
        progress: ProgressCallback | None = None,
        options: RegistryOptions | None = None,
        source_options: RegistryOptions | None = None,
        engine: HasStore | None = None,
    ) -> Copied:
        """Copy an image from one place to another, with its digest.

        Places are written as skopeo writes them: ``docker://host/repository:tag`` (or just that name),
        ``oci:DIRECTORY[:TAG]``, ``oci-archive:FILE[:TAG]``, ``docker-archive:FILE[:NAME:TAG]``; and
        ``store:[NAME]`` for the images of this library.  Blobs stream from one to the other, each compared
        with its digest; those that the target has are not sent, and within one registry they are mounted.
        Only the store unpacks what comes.

        Args:
            source: A place, or an image of a store.
            platform: Of an image for several platforms, the one to copy, such as ``linux/arm64``; None means
                this host's; ``"all"`` copies all of them, and the index as it is.
            referrers: Also copy what refers to the copied manifests: signatures, SBOMs.
            progress: Called with each `Progress`.
            options: How registries are talked to.  Credentials in it are for the target's registry, if the
                target is in one, and for a source that is in the same; else for the source.
            source_options: The same for the source, where it needs others.

        Raises:
            NotFound: The source has no such image, or none for the platform.
            InvalidInput: A place is not known, or has several images and none was chosen.
            CorruptData: The source's bytes are not what their digests promise; the target then has no name
                for them.
            UnsupportedFeature: The target cannot hold this: several platforms in a docker-archive.
        """
        from container_kit.images.copies.copying import copy, how_to_copy

        how = how_to_copy(
            store_of(engine),
            source,
            target,
            options,
            source_options,
            platform,
            referrers=referrers,
            progress=progress,
        )
        return copy(source, target, how)

    @classmethod
    def get(cls, reference: str, *, engine: HasStore | None = None) -> Image:
        """The image of this name, ``name@digest``, digest, id, or unique prefix of an id.

        Raises:
            NotFound: There is none.
            InvalidInput: The prefix fits several, or it is not a reference at all.
        """
        store = store_of(engine)
        return records.handle(store, records.resolve(store, reference))

    @classmethod
    def list(cls, *, engine: HasStore | None = None) -> Sequence[Image]:
        """All images of the store, newest first; those without a name too."""
        store = store_of(engine)
        images = [
            Image(digest, store, manifest, config) for digest, manifest, config in records.each_image(store)
        ]
        return sorted(images, key=lambda image: (image.created, str(image.digest)), reverse=True)

    @classmethod
    def prune(cls, *, all: bool = False, engine: HasStore | None = None) -> Pruned:
        """Remove the images without a name; with *all*, every image that no container uses."""
        from container_kit.images.removal import prune

        return prune(store_of(engine), all)

    # -- what an image is --------------------------------------------------------------------

    @property
    def id(self) -> Digest:
        """Digest of the config: what docker calls the image id."""
        return self.manifest.config.digest

    @property
    def layers(self) -> tuple[Digest, ...]:
        """Diff ids, lowest layer first: what `Snapshotter.prepare` takes."""
        return self.config.diff_ids

    @property
    def names(self) -> Sequence[str]:
        """Its tags, short as docker shows them (``tools:latest``), sorted."""
        return records.names_of(self.store, self.digest)

    def has_name(self, text: str) -> bool:
        """Whether *text*, short or in full, is one of its tags (and not its id, or a digest)."""
        return records.is_name(self.store, self.digest, text)

    @property
    def created(self) -> datetime.datetime:
        """When it was made; the epoch if its config does not say."""
        from container_kit.images.describe import created_at

        return created_at(self.config)

    @property
    def size(self) -> int:
        """Bytes of its files, all layers, each counted once."""
        return sum(self.layer_size(layer) for layer in set(self.layers))

    def layer_size(self, diff_id: Digest) -> int:
        """Bytes of the files of one of its layers."""
        return records.layer_size(self.store, diff_id)

    def layer_path(self, diff_id: Digest) -> str:
        """Where one of its layers is unpacked, in overlay form; read-only for everyone."""
        return self.store.tree_path(diff_id)

    @property
    def defaults(self) -> RunDefaults:
        """What the config says about running it, checked: see `RunDefaults`."""
        from container_kit.images.defaults import run_defaults

        return run_defaults(self.config)

    def inspect(self) -> dict[str, Any]:
        """All about the image, as ``docker image inspect`` shows it."""
        from container_kit.images.describe import inspect

        return inspect(self)

    def history(self) -> Sequence[HistoryEntry]:
        """How it was made, newest step first, as ``docker history`` shows it."""
        from container_kit.images.describe import history

        return history(self)

    # -- what can be done with it ------------------------------------------------------------

    def tag(self, name: str) -> Image:
        """Give it one more name; the name is taken from the image that had it before."""
        records.tag(self.store, self.digest, name)
        return self

    def save(
        self, target: str | os.PathLike[str] | IO[bytes], format: ArchiveFormat = "docker-archive"
    ) -> None:
        """Write it, with its names, to *target*: see `save_images` for several at once."""
        from container_kit.images.save import save_images

        save_images([self], target, format)

    def push(
        self,
        target: str | None = None,
        *,
        compression: PushCompression = "auto",
        progress: ProgressCallback | None = None,
        credentials: Credentials | None = None,
        options: RegistryOptions | None = None,
    ) -> Pushed:
        """Send it to the registry that *target* names; None means its one name.

        Blobs that the registry has are not sent; those that another repository of it has are mounted.  Layers
        that are compressed keep their bytes.

        Args:
            compression: What becomes of plain layers.  "gzip" compresses them, which gives the image another
                digest there; "keep" sends them as they are; "auto" does the one for registries elsewhere and
                the other for those of this host, to which sending costs less than compressing.

        Raises:
            InvalidInput: *target* is no name of an image, or has a digest; or None, and it has not one name.
            AccessDenied, Unreachable, Untrusted: As for `pull`.
        """
        from container_kit.images.pushing import push

        return push(self, target, compression, progress, registry_options(options, credentials))

    def sign(
        self,
        key: SigningKey | KeySource,
        *,
        target: str | None = None,
        password: str | None = None,
        annotations: Mapping[str, str] | None = None,
        options: RegistryOptions | None = None,
    ) -> Digest:
        """Sign it, as cosign does, in the registry that it was pushed to or pulled from.

        Args:
            key: A private key (ECDSA P-256), or its file in PEM form, of openssl or cosign.
            target: The name to sign it as, at its registry; None means its one name.
            password: Of the key's file, if it is protected by one.
            annotations: More claims to sign, which verifiers can ask for.

        Returns:
            The digest that was signed: that of the manifest in the registry.

        Raises:
            Conflict, NotFound: The name means another image there, or none.
        """
        from container_kit.images.signing import sign_image

        return sign_image(self, key, target, password, annotations, options)

    def verify(
        self,
        key: PublicKey | KeySource,
        *,
        target: str | None = None,
        identity: Identity | IdentityKind = "matchRepoDigestOrExact",
        annotations: Mapping[str, str] | None = None,
        options: RegistryOptions | None = None,
    ) -> Verified:
        """Make sure that it is signed with *key*; its registry is asked for the signatures.

        Args:
            key: A public key, or its file in PEM form.
            target: As for `sign`.
            identity: How the name that was signed and *target* have to agree, in the words of
                containers-policy.json(5); cosign's signatures, which name no tag, need ``matchRepository``.
            annotations: Claims that the signature has to make.

        Raises:
            Untrusted: It is not signed so; says why not.
        """
        from container_kit.images.signing import verify_image

        return verify_image(self, key, target, identity, annotations, options)

    def remove(self, *, force: bool = False, name: str | None = None) -> Removed:
        """Take *name* away, or all names; without a name left the image goes too.

        Raises:
            Conflict: A container uses it, or it has several names and none was given; *force* removes it
                nevertheless (what a running container uses stays on disk until it ends).
        """
        from container_kit.images.removal import remove

        return remove(self, name, force)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Image) and other.digest == self.digest

    def __hash__(self) -> int:
        return hash(self.digest)

    def __repr__(self) -> str:
        return f"<Image {', '.join(self.names) or str(self.digest)[:19]}>"
