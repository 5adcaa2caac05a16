"""Making and starting one container of a pod: the work of a worker."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING, Any

import attrs

from container_kit.containers.container import Container
from container_kit.containers.creation import create
from container_kit.containers.finding import find_image
from container_kit.containers.mounts import Mount
from container_kit.containers.state_file import read_state
from container_kit.errors import ContainerKitError, StartFailed
from container_kit.native.descriptors import open_path
from container_kit.pods.member import Member, open_link
from container_kit.pods.seam import NotReady, Provision
from container_kit.pods.settings import check_user, command_of, limits_of, settings_of

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.containers.pod_places import PodPlaces
    from container_kit.pods.making import PodWorld
    from container_kit.pods.record import PodRecord
    from container_kit.pods.running import Runner
    from container_kit.pods.spec import ContainerSpec, PodSpec

__all__ = ["make_container", "message_file", "resize", "start_member"]


def start_member(runner: Runner, member: Member) -> None:
    """Start a container of the pod anew, and tell the loop's thread once it runs.

    Raises:
        NotReady: It lacks what it needs, or its program cannot be executed.
        ContainerKitError: It could not be made.
    """
    provision = runner.provider(runner.pod, member.spec.raw)
    if runner.is_gone:
        return
    options = {**_with_target(runner, member.spec), **provision.options}
    provision = attrs.evolve(provision, options=options)
    container = make_container(
        runner.engine, runner.record, runner.spec, runner.world, member.spec, provision
    )
    oldest = member.note.previous
    try:
        container.start()
    except BaseException as error:
        container.remove(force=True)
        if isinstance(error, StartFailed):
            raise NotReady("RunContainerError", str(error)) from None
        raise
    directory = runner.engine.catalogue.directory(container.id)
    link, state = open_link(directory), read_state(directory)
    digest = runner.engine.record(container.id).image_digest

    def begun() -> None:
        if runner.is_gone:
            if link is not None:
                link.close()
            return
        member.renew(container, digest)
        member.state = state
        runner.tell("Normal", "Created", f"Created container: {member.spec.name}", member.spec.name)
        runner.on_started(member)
        member.follow(runner, link)

    runner.loop.post(begun)
    if oldest:
        with contextlib.suppress(ContainerKitError):
            Container(runner.engine, oldest).remove(force=True)


def _with_target(runner: Runner, one: ContainerSpec) -> dict[str, Any]:
    """A debugger shares the processes of the container that it names.

    Raises:
        NotReady: That one does not run.
    """
    name = one.raw.get("targetContainerName")
    if not name or runner.spec.shares_processes:
        return {}
    target = runner.members.get(name)
    if target is None or target.stage != "live":
        raise NotReady("CreateContainerConfigError", f"targetContainerName: container {name!r} does not run")
    return {"pid": f"container:{target.note.id}"}


def make_container(
    engine: Engine, record: PodRecord, pod: PodSpec, world: PodWorld, one: ContainerSpec, provision: Provision
) -> Container:
    """A new container of the pod, not started yet.

    Raises:
        NotReady: It may not be what it asks to be.
        InvalidInput, NotFound: An option cannot be used.
    """
    image = find_image(engine, provision.image, pull="never")
    check_user(pod, one, image.defaults)
    settings: dict[str, Any] = settings_of(pod, one, provision.env)
    _, command = command_of(one.raw, provision.env)
    message = Mount.bind(make_message_file(world.places, one.name), one.message_path)
    settings |= {
        "mounts": [*provision.mounts, *([] if _is_covered(one, provision) else [message])],
        "pod": record.id,
        "cgroup": world.cgroup_path,
        "hostname": world.hostname,
        "labels": {**record.labels, **settings["labels"]},
    }
    settings |= provision.options
    return create(engine, image, command, not record.owned, settings)


def _is_covered(one: ContainerSpec, provision: Provision) -> bool:
    return any(mount.target == one.message_path for mount in provision.mounts)


def message_file(places: PodPlaces, name: str) -> str:
    """Where a container leaves its last words."""
    return f"{places.directory}/messages/{name}"


def make_message_file(places: PodPlaces, name: str) -> str:
    """The same, as an empty file that everybody in the container may write."""
    path = message_file(places, name)
    with contextlib.suppress(FileExistsError):
        os.mkdir(os.path.dirname(path), 0o755)
    with open_path(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o666) as file:
        os.fchmod(file.fileno(), 0o666)
    return path


def resize(runner: Runner, container: Container, one: ContainerSpec) -> None:
    """Give a running container other resources."""
    limits = limits_of(one.raw.get("resources") or {})
    with contextlib.suppress(ContainerKitError):
        container.update(limits=limits)
    runner.loop.post(runner.publish)
