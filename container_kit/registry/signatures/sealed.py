"""Private keys as cosign protects them: a password through scrypt, the key in a NaCl secret box.

Source: cosign, SIGNATURE_SPEC.md; go-tuf, package encrypted.
"""

from __future__ import annotations

import base64
import hashlib
import os
import re
from typing import Any, Final

from container_kit.errors import InvalidInput, LimitExceeded, UnsupportedFeature
from container_kit.oci.json_document import Fields, encode, load_object

__all__ = ["is_sealed", "opened", "seal"]

_LABELS: Final = (b"ENCRYPTED SIGSTORE PRIVATE KEY", b"ENCRYPTED COSIGN PRIVATE KEY")
_COST, _BLOCK, _LANES = 1 << 15, 8, 1  # what skopeo takes too: it refuses other costs
_MOST_MEMORY: Final = 256 << 20
_body: Final = re.compile(rb"-----BEGIN ([A-Z ]+)-----\s(.*?)-----END \1-----", re.DOTALL)


def is_sealed(pem: bytes) -> bool:
    """Whether *pem* is a key in this form."""
    match = _body.search(pem)
    return match is not None and match.group(1) in _LABELS


def seal(der: bytes, password: bytes) -> bytes:
    """The private key *der* (PKCS 8) in PEM, protected by *password*."""
    salt, nonce = os.urandom(32), os.urandom(24)
    box = _secret_box(_derived(password, salt, _COST, _BLOCK, _LANES))
    document = {
        "kdf": {
            "name": "scrypt",
            "params": {"N": _COST, "r": _BLOCK, "p": _LANES},
            "salt": _text(salt),
        },
        "cipher": {"name": "nacl/secretbox", "nonce": _text(nonce)},
        "ciphertext": _text(box.encrypt(der, nonce).ciphertext),
    }
    lines = base64.encodebytes(encode(document)).replace(b"\n", b"")
    wrapped = b"\n".join(lines[start : start + 64] for start in range(0, len(lines), 64))
    return b"-----BEGIN %b-----\n%b\n-----END %b-----\n" % (_LABELS[0], wrapped, _LABELS[0])


def opened(pem: bytes, password: bytes | None, name: str) -> bytes:
    """The private key in *pem*, as PKCS 8 in DER; *name* is what errors call it.

    Raises:
        InvalidInput: The password is wrong, or it is no such key.
        LimitExceeded: It asks for more memory than any such key.
        UnsupportedFeature: The package PyNaCl is missing.
    """
    if password is None:
        raise InvalidInput(f"{name} is protected by a password: give it")
    match = _body.search(pem)
    assert match is not None
    fields = Fields(load_object(_bytes(match.group(2), name), name), name, ("kdf", "cipher", "ciphertext"))
    kdf = Fields(fields.raw("kdf"), fields.where("kdf"), ("name", "params", "salt"))
    cipher = Fields(fields.raw("cipher"), fields.where("cipher"), ("name", "nonce"))
    if (kdf.text("name"), cipher.text("name")) != ("scrypt", "nacl/secretbox"):
        raise UnsupportedFeature(f"{name} is protected in a way that is not known")
    derived = _derived(password, _bytes(kdf.text("salt").encode(), name), *_parameters(kdf))
    return _unboxed(derived, cipher.text("nonce"), fields.text("ciphertext"), name)


def _unboxed(derived: bytes, nonce: str, ciphertext: str, name: str) -> bytes:
    box = _secret_box(derived)
    from nacl.exceptions import CryptoError

    try:
        opened: bytes = box.decrypt(_bytes(ciphertext.encode(), name), _bytes(nonce.encode(), name))
    except (CryptoError, ValueError):
        raise InvalidInput(f"the password of {name} is wrong") from None
    return opened


def _parameters(kdf: Fields) -> tuple[int, int, int]:
    fields = Fields(kdf.raw("params"), kdf.where("params"), ("N", "r", "p"))
    cost, block, lanes = (fields.integer(one, 1, 1 << 24) for one in ("N", "r", "p"))
    if cost & (cost - 1) or cost == 1:
        raise InvalidInput(f"{fields.where('N')} is no power of two")
    if 128 * block * (cost + lanes) > _MOST_MEMORY or lanes > 16:
        raise LimitExceeded(f"the key asks for more than {_MOST_MEMORY >> 20} MiB to be opened")
    return cost, block, lanes


def _derived(password: bytes, salt: bytes, cost: int, block: int, lanes: int) -> bytes:
    return hashlib.scrypt(password, salt=salt, n=cost, r=block, p=lanes, dklen=32, maxmem=2 * _MOST_MEMORY)


def _secret_box(key: bytes) -> Any:
    try:
        from nacl.secret import SecretBox
    except ImportError:
        raise UnsupportedFeature(
            "keys that cosign protects need the package PyNaCl: install container-kit[sign]"
        ) from None
    return SecretBox(key)


def _text(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _bytes(text: bytes, name: str) -> bytes:
    try:
        return base64.b64decode(b"".join(text.split()), validate=True)
    except ValueError:
        raise InvalidInput(f"{name} is damaged: it is not base64") from None
