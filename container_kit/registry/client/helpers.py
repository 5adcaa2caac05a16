"""Credential helpers: programs of this host that keep secrets, ``docker-credential-<name>``.

Source: docker/docker-credential-helpers, "Development".
"""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import time
from contextlib import suppress
from typing import Final

from container_kit.errors import AccessDenied, ContainerKitError, InvalidInput, NotFound, TimedOut
from container_kit.oci.json_document import Fields, encode, load_object
from container_kit.registry.client.options import Credentials

__all__ = ["erase", "get", "store"]

_TIMEOUT_S: Final = 30.0
_MAX_ANSWER: Final = 64 * 1024
_NONE: Final = b"credentials not found in native keychain"
_TOKEN_USER: Final = "<token>"  # noqa: S105 (a name that says: the secret is an identity token)
_is_name: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}").fullmatch


def get(helper: str, server: str) -> Credentials | None:
    """What *helper* keeps for *server*, or None if it says that there is nothing.

    Raises:
        NotFound: There is no such program on the ``PATH`` of this host.
        AccessDenied: It failed: nobody goes on without credentials then.
        InvalidInput: It answered with what is no credential.  Its output is never quoted.
    """
    code, output = _run(helper, "get", server.encode())
    if code != 0:
        if output.strip() == _NONE:
            return None
        raise AccessDenied(f"the credential helper {helper!r} failed for {server} with exit code {code}")
    try:
        fields = Fields(
            load_object(output, "answer", _MAX_ANSWER), "answer", ("ServerURL", "Username", "Secret")
        )
        user, secret = fields.required_text("Username"), fields.required_text("Secret")
        if user == _TOKEN_USER:
            return Credentials(identity_token=secret)
        return Credentials(username=user, password=secret)
    except ContainerKitError:
        raise InvalidInput(
            f"the credential helper {helper!r} answered for {server} with what is no credential"
        ) from None


def store(helper: str, server: str, credentials: Credentials) -> None:
    """Have *helper* keep *credentials*; errors as in `get`."""
    user = _TOKEN_USER if credentials.identity_token else credentials.username
    secret = credentials.identity_token or credentials.password
    code, _ = _run(helper, "store", encode({"ServerURL": server, "Username": user, "Secret": secret}))
    if code != 0:
        raise AccessDenied(f"the credential helper {helper!r} did not keep the credentials: exit code {code}")


def erase(helper: str, server: str) -> None:
    """Have *helper* forget what it keeps for *server*; nothing kept is no error."""
    code, output = _run(helper, "erase", server.encode())
    if code != 0 and output.strip() != _NONE:
        raise AccessDenied(f"the credential helper {helper!r} did not forget {server}: exit code {code}")


def _run(helper: str, action: str, data: bytes) -> tuple[int, bytes]:
    """The exit code and standard output; what it writes to standard error is shown to nobody."""
    program = _program(helper)
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    try:
        process = subprocess.Popen([program, action], **pipes)  # type: ignore[call-overload]
    except OSError as error:
        raise AccessDenied(f"cannot execute the credential helper {program!r}: {error.strerror}") from None
    end = time.monotonic() + _TIMEOUT_S
    with process:
        try:
            output = _talk(process, data, end)
            if len(output) > _MAX_ANSWER:
                process.kill()
            return process.wait(max(0.0, end - time.monotonic())), output
        except subprocess.TimeoutExpired:
            raise TimedOut(f"the credential helper {helper!r} did not end within {_TIMEOUT_S:g} s") from None
        finally:
            process.kill()


def _talk(process: subprocess.Popen[bytes], data: bytes, end: float) -> bytes:
    """Give it *data*, and read what it answers as far as an answer can be long.

    The end of its output may never come, even when it has ended: a child of it may hold the pipe.
    """
    assert process.stdin is not None and process.stdout is not None
    with suppress(BrokenPipeError):
        process.stdin.write(data)
        process.stdin.close()
    output, fd = b"", process.stdout.fileno()
    waiting = select.poll()
    waiting.register(fd, select.POLLIN)
    while len(output) <= _MAX_ANSWER:
        if not waiting.poll(max(0.0, end - time.monotonic()) * 1000):
            raise subprocess.TimeoutExpired(process.args, _TIMEOUT_S)
        piece = os.read(fd, _MAX_ANSWER + 1)
        if not piece:
            break
        output += piece
    return output


def _program(helper: str) -> str:
    """The absolute path of the program; only absolute directories of ``PATH`` count."""
    if not _is_name(helper):
        raise InvalidInput(f"{helper[:100]!r} cannot be the name of a credential helper")
    directories = [one for one in os.environ.get("PATH", os.defpath).split(":") if one.startswith("/")]
    found = shutil.which(f"docker-credential-{helper}", path=":".join(directories))
    if found is None:
        raise NotFound(
            "credential helper", f"docker-credential-{helper}", "install it, or correct the configuration"
        )
    return found
