"""Keys: those of openssl and of cosign are read and written, and nothing of a secret is shown."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from pathlib import Path

import pytest

from container_kit.errors import InvalidInput, LimitExceeded, UnsupportedFeature
from container_kit.registry.signatures import PublicKey, SigningKey

PASSWORD = "p4ssw0rd-of-the-key"


def openssl(*words: str | Path, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(["openssl", *map(str, words)], input=data, capture_output=True, check=False)


@pytest.mark.tool("openssl")
@pytest.mark.parametrize("form", ["sec1", "pkcs8", "encrypted"])
def test_keys_of_openssl_sign_and_verify(tmp_path: Path, form: str) -> None:
    """A key that openssl made, in each of its forms, signs what openssl then verifies."""
    sec1, chosen, public = tmp_path / "sec1", tmp_path / "key", tmp_path / "public"
    openssl("ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", sec1)
    protect = {"encrypted": ["-passout", f"pass:{PASSWORD}"], "pkcs8": ["-nocrypt"]}.get(form)
    if protect is None:
        chosen = sec1
    else:
        openssl("pkcs8", "-topk8", "-in", sec1, "-out", chosen, *protect)
    openssl("ec", "-in", sec1, "-pubout", "-out", public)
    key = SigningKey.load(chosen, PASSWORD if form == "encrypted" else None)

    (tmp_path / "signature").write_bytes(key.sign(b"words"))
    answer = openssl(
        "dgst", "-sha256", "-verify", public, "-signature", tmp_path / "signature", data=b"words"
    )

    assert answer.returncode == 0, answer.stdout
    assert PublicKey.load(public).verifies(key.sign(b"words"), b"words")
    assert not PublicKey.load(public).verifies(key.sign(b"words"), b"other words")


def test_a_key_survives_being_written(key: SigningKey) -> None:
    """Plain or protected, what is read is the key that was written; another password does not open it."""
    assert SigningKey.load(key.to_pem()).public.fingerprint == key.public.fingerprint
    sealed = key.to_pem(PASSWORD)
    assert SigningKey.load(sealed, PASSWORD).public.fingerprint == key.public.fingerprint
    with pytest.raises(InvalidInput, match="password of the key is wrong"):
        SigningKey.load(sealed, "other")
    with pytest.raises(InvalidInput, match="protected by a password"):
        SigningKey.load(sealed)


@pytest.mark.tool("openssl")
def test_other_kinds_of_keys_are_refused(tmp_path: Path) -> None:
    """What cosign's readers would not verify is refused with the kind of key that it is."""
    openssl("genpkey", "-algorithm", "ed25519", "-out", tmp_path / "ed")
    openssl("ecparam", "-name", "secp384r1", "-genkey", "-noout", "-out", tmp_path / "p384")

    with pytest.raises(UnsupportedFeature, match=r"Ed25519PrivateKey.*P-256"):
        SigningKey.load(tmp_path / "ed")
    with pytest.raises(UnsupportedFeature, match="another curve"):
        SigningKey.load(tmp_path / "p384")
    for junk in (b"", b"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", b"\x00" * 100):
        with pytest.raises(InvalidInput):
            PublicKey.load(junk)


def test_a_hostile_sealed_key_costs_little(key: SigningKey) -> None:
    """Who says how dear the password is to check cannot say more than 256 MiB."""
    body = b"".join(key.to_pem(PASSWORD).splitlines()[1:-1])
    document = json.loads(base64.b64decode(body))
    label = "ENCRYPTED COSIGN PRIVATE KEY"

    def pem(**params: int) -> bytes:
        document["kdf"]["params"].update(params)
        text = base64.b64encode(json.dumps(document).encode()).decode()
        return f"-----BEGIN {label}-----\n{text}\n-----END {label}-----\n".encode()

    assert SigningKey.load(pem(), PASSWORD).public.fingerprint == key.public.fingerprint
    with pytest.raises(LimitExceeded):
        SigningKey.load(pem(N=1 << 24), PASSWORD)
    with pytest.raises(InvalidInput, match="power of two"):
        SigningKey.load(pem(N=1000), PASSWORD)


def test_no_secret_is_shown(key: SigningKey) -> None:
    """repr of a key tells keys apart and nothing else; errors quote neither password nor file."""
    assert repr(key) == f"<SigningKey of {key.public.fingerprint[:16]}>"
    damaged = key.to_pem().replace(b"M", b"m")
    with pytest.raises(InvalidInput) as caught:
        SigningKey.load(damaged, PASSWORD)
    assert PASSWORD not in str(caught.value) and caught.value.__suppress_context__


def test_the_missing_extra_is_named() -> None:
    """Without cryptography the error says what to install."""
    program = (
        "import sys; sys.modules['cryptography'] = None\n"
        "import container_kit as ck\n"
        "try: ck.SigningKey.generate()\n"
        "except ck.UnsupportedFeature as error: print(error)"
    )
    answer = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "container-kit[sign]" in answer.stdout
