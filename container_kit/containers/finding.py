"""The image that a caller means: one that is here, or one that is pulled first."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from container_kit.errors import AccessDenied, InvalidInput, NotFound, TimedOut, Unreachable
from container_kit.images import Image

if TYPE_CHECKING:
    from container_kit.containers.engine import Engine
    from container_kit.images import Snapshot
    from container_kit.images.words import PullPolicy

__all__ = ["find_image", "split_wishes"]

_POLICIES = ("always", "missing", "never")


def split_wishes(wishes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What is said about finding the image (``pull``, ``platform``), and the options of the container."""
    options = dict(wishes)
    finding: dict[str, Any] = {name: options.pop(name) for name in ("pull", "platform") if name in options}
    return finding, options


def find_image(
    engine: Engine, image: Image | Snapshot | str, pull: PullPolicy = "missing", platform: str | None = None
) -> Image | Snapshot:
    """The image or snapshot itself, or the image that a name, digest or id stands for.

    Args:
        pull: Whether a registry is asked: see `Image.pull`.
        platform: Such as ``linux/arm64``; None means this host's.

    Raises:
        NotFound: There is none here, and none could be pulled.
        Unreachable, AccessDenied: The same, when the name says which registry it is in.
    """
    if not isinstance(image, str):
        return _checked(engine, image)
    if pull not in _POLICIES:
        raise InvalidInput(f"pull {pull!r} is none of {', '.join(_POLICIES)}")
    if pull == "always":
        return Image.pull(image, platform=platform, engine=engine)
    try:
        found = Image.get(image, engine=engine)
    except NotFound:
        if pull == "never" or _is_id(image):
            raise
        return _pull(engine, image, platform)
    return found if platform is None else Image.pull(image, platform=platform, policy=pull, engine=engine)


def _checked(engine: Engine, image: Image | Snapshot) -> Image | Snapshot:
    if not hasattr(image, "store"):
        raise InvalidInput(f"image must be an Image, the name of one, or a Snapshot, not {image!r}")
    if image.store.root != engine.store.root:
        raise InvalidInput(
            f"image {image!r} is in the store at {image.store.root}, not in {engine.root}: "
            "make it with engine=…, or load it there"
        )
    return image


def _pull(engine: Engine, name: str, platform: str | None) -> Image:
    """Pull what nobody asked to pull by that word: with little patience.

    For a plain name such as ``tools`` that is most likely meant to be here, no image is the news, not the
    state of the network.
    """
    from container_kit.registry.client import RegistryOptions

    options = RegistryOptions(tries=3, connect_timeout_s=5)
    try:
        return Image.pull(name, platform=platform, policy="missing", options=options, engine=engine)
    except NotFound as error:
        raise NotFound("image", name, f"it is not here, and cannot be pulled: {error}") from error
    except (AccessDenied, TimedOut, Unreachable) as error:
        if _names_registry(name):
            raise
        raise NotFound("image", name, f"it is not here, and cannot be pulled: {error}") from error


def _names_registry(name: str) -> bool:
    first, slash, _ = name.partition("/")
    return bool(slash) and ("." in first or ":" in first or first == "localhost")


def _is_id(text: str) -> bool:
    """Whether *text* is written as an id or digest: such are not pulled."""
    digits = text.removeprefix("sha256:")
    return len(digits) in (12, 64) and all(digit in "0123456789abcdef" for digit in digits)
