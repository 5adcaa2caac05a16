"""Names and ids of containers: generating, checking, claiming and finding them.

A name that somebody chose is claimed by a file under ``names/`` that holds the id, made with
O_EXCL, so that two processes cannot both have it. A generated name needs no claim: it ends in
the first digits of the id, which is random.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import re

from container_kit.containers.state_file import is_abandoned
from container_kit.errors import InvalidInput, NameInUse
from container_kit.native.descriptors import open_path

__all__ = [
    "check_name",
    "claim",
    "generated_name",
    "holder",
    "id_digits",
    "new_id",
    "release",
    "release_stale",
    "root_name",
]

_NAME = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_.-]{0,254}\Z")
_GENERATED = re.compile(r"[a-z]+_[a-z]+_([0-9a-f]{8})\Z")


def _words(text: str) -> tuple[str, ...]:
    return tuple(text.split())


_ADJECTIVES = _words(
    """
    able agile amber ample apt astute bold brave bright brisk calm candid civil clean clear clever cosy
    crisp daring deft eager early easy fair fast fine firm fleet fond frank free fresh gentle glad
    golden good grand happy hardy honest humble ideal jolly keen kind lively loyal lucid lucky mellow
    merry mild modest neat nimble noble open patient plain polite proud pure quick quiet ready regal
    robust sane sharp silent silver sleek smart solid sound spry stable steady stoic sunny swift tidy
    trim true vivid warm wise witty zesty
    """
)
_ANIMALS = _words(
    """
    adder badger bear beaver bison bobcat camel cat cheetah cobra condor cougar crab crane crow deer
    dingo dolphin dove eagle eel egret elk falcon ferret finch fox frog gecko gibbon goose hare hawk
    heron hippo ibis iguana impala jackal jay kiwi koala lark lemur lion llama lynx magpie marmot marten
    mole moose newt ocelot orca oryx osprey otter owl ox panda parrot pelican penguin pike pony puffin
    puma quail rabbit raccoon raven robin salmon seal shark shrew skunk sloth sparrow squid stork swan
    tapir tern tiger toad trout turtle viper vole walrus weasel whale wolf wombat wren yak zebra
    """
)


def new_id() -> str:
    """64 random hex digits."""
    return os.urandom(32).hex()


def generated_name(container_id: str) -> str:
    """A name that can be said aloud, unique because it ends in the first 8 digits of the id."""
    pick = int(container_id[8:24], 16)
    adjective = _ADJECTIVES[pick % len(_ADJECTIVES)]
    return f"{adjective}_{_ANIMALS[pick // 997 % len(_ANIMALS)]}_{container_id[:8]}"


def id_digits(name: str) -> str:
    """The id's first digits that a generated name ends in; empty for other names."""
    match = _GENERATED.match(name)
    return match[1] if match else ""


def check_name(name: str) -> str:
    """*name* itself, when it can be a container's name.

    Raises:
        InvalidInput: It is empty, too long or has other characters; also when it looks like an id.
    """
    if not _NAME.match(name):
        raise InvalidInput(
            f"container name {name!r} cannot be used: up to 255 letters, digits, '_', '.' and '-', "
            "beginning with a letter or a digit"
        )
    if re.fullmatch("[0-9a-f]{64}", name):
        raise InvalidInput(f"container name {name!r} looks like an id: choose another one")
    return name


def claim(names_fd: int, name: str, container_id: str, directory: str) -> None:
    """Give *name* to a container, or say who has it.

    The id is written to a file in the container's *directory* first, which then gets the name as a further
    link: nobody reads an empty claim, and a claim that is cut off leaves nothing outside that directory.

    Raises:
        NameInUse: Another container has it.
    """
    draft = f"{directory}/name"
    with contextlib.suppress(FileNotFoundError):
        os.unlink(draft)
    with open_path(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600) as file:
        os.write(file.fileno(), container_id.encode())
    while True:
        try:
            os.link(draft, name, dst_dir_fd=names_fd)
        except FileExistsError:
            who = holder(names_fd, name)
            if who == container_id:
                return  # an earlier rename of it was cut off
            if not release_stale(names_fd, name, os.path.dirname(directory)):
                raise NameInUse("container", name, (who or "")[:12]) from None
        else:
            return


def release_stale(names_fd: int, name: str, containers: str) -> bool:
    """Free a name whose container is no more, below *containers*; whether it may be free now.

    A directory is made before the claim and goes before it, so the name of a container without is nobody's:
    its removal was cut off. Nor is that of a container whose making was cut off.
    """
    with open_path(".", os.O_RDONLY | os.O_DIRECTORY, dir_fd=names_fd) as lock:
        # Between the look and the removal nobody else may free the name, and a third one take it.
        fcntl.flock(lock, fcntl.LOCK_EX)
        who = holder(names_fd, name)
        if who is None:
            return True
        directory = f"{containers}/{who}"
        if os.path.exists(directory) and not is_abandoned(directory):
            return False
        release(names_fd, name, who)
        return True


def holder(names_fd: int, name: str) -> str | None:
    """The id of the container that claimed *name*, or None."""
    if not _NAME.match(name):
        return None
    try:
        file = open_path(name, os.O_RDONLY | os.O_NOFOLLOW, dir_fd=names_fd)
    except FileNotFoundError:
        return None
    with file:
        return os.read(file.fileno(), 64).decode()


def release(names_fd: int, name: str, container_id: str) -> None:
    """Give *name* back if this container has it; may be repeated."""
    if holder(names_fd, name) == container_id:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(name, dir_fd=names_fd)


def root_name(container_id: str) -> str:
    """What the store calls the hold of a container on its image."""
    return f"container:{container_id}"
