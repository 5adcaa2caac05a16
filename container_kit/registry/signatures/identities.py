"""Whether the name that a signer gave is one under which an image may be pulled.  Decisions only.

Source: containers-policy.json(5), "signedBy".
"""

from __future__ import annotations

from typing import Any, Final, Literal

from container_kit._values import frozen
from container_kit.errors import InvalidInput
from container_kit.oci import Reference
from container_kit.oci.json_document import Fields

__all__ = ["Identity", "Kind"]

Kind = Literal[
    "matchExact",
    "matchRepoDigestOrExact",
    "matchRepository",
    "exactReference",
    "exactRepository",
    "remapIdentity",
]
_MEMBERS: Final[dict[str, tuple[str, ...]]] = {
    "matchExact": (),
    "matchRepoDigestOrExact": (),
    "matchRepository": (),
    "exactReference": ("dockerReference",),
    "exactRepository": ("dockerRepository",),
    "remapIdentity": ("prefix", "signedPrefix"),
}


@frozen
class Identity:
    """One ``signedIdentity``.

    Args:
        kind: Its ``type``.
        name: The reference or repository that ``exact…`` asks for; the prefix of ``remapIdentity``.
        signed_prefix: What the prefix is replaced by.
    """

    kind: Kind = "matchRepoDigestOrExact"
    name: str = ""
    signed_prefix: str = ""

    @classmethod
    def from_json(cls, value: Any, where: str) -> Identity:
        """As a policy has it.

        Raises:
            InvalidInput: It has a type that is not known, or other members than that type has.
        """
        kind = Fields(value, where, ("type",)).required_text("type")
        if kind not in _MEMBERS:
            raise InvalidInput(f"{where}.type is {kind[:80]!r}: use one of {', '.join(_MEMBERS)}")
        names = _MEMBERS[kind]
        fields = Fields(value, where, ("type", *names))
        if value.keys() != {"type", *names}:
            raise InvalidInput(f"{where} has not exactly the members type, {', '.join(names)}")
        texts = [fields.required_text(name) for name in names]
        identity = cls(kind, *texts)  # type: ignore[arg-type]  # looked up above
        identity._check(where)
        return identity

    def _check(self, where: str) -> None:
        if self.kind == "exactReference":
            named = Reference.parse(self.name, default_tag=None)
            if named.tag is None and named.digest is None:
                raise InvalidInput(f"{where}.dockerReference has neither tag nor digest")
        if self.kind == "exactRepository":
            named = Reference.parse(self.name, default_tag=None)
            if named.tag is not None or named.digest is not None:
                raise InvalidInput(f"{where}.dockerRepository has a tag or digest")
        if self.kind == "remapIdentity" and not (self.name and self.signed_prefix):
            raise InvalidInput(f"{where} has an empty prefix")

    def accepts(self, image: Reference, signed: Reference) -> bool:
        """Whether an image that is pulled as *image* may be signed as *signed*."""
        if self.kind == "exactReference":
            return str(signed) == str(Reference.parse(self.name, default_tag=None))
        if self.kind == "exactRepository":
            return signed.repository == Reference.parse(self.name, default_tag=None).repository
        if self.kind == "matchRepository":
            return signed.repository == image.repository
        if self.kind == "matchExact":
            return image.digest is None and image.tag is not None and str(signed) == str(image)
        if self.kind == "remapIdentity":
            image = self._remapped(image)
        if image.digest is not None:
            return signed.repository == image.repository
        return image.tag is not None and str(signed) == str(image)

    def _remapped(self, image: Reference) -> Reference:
        rest = image.repository.removeprefix(self.name)
        if not image.repository.startswith(self.name) or (rest and not rest.startswith("/")):
            return image
        moved = Reference.parse(self.signed_prefix + rest, default_tag=None)
        return Reference(moved.domain, moved.path, image.tag, image.digest)
