"""The three streams of a program that is about to start: what it is given and what stays here.

The words are those of `subprocess`: PIPE, DEVNULL, STDOUT, a file or a descriptor.
"""

from __future__ import annotations

import os
import subprocess
from typing import IO, Any, TypeAlias

import attrs

from container_kit.errors import InvalidInput
from container_kit.native.descriptors import Descriptor, pipe

__all__ = ["Stream", "Streams", "as_bytes", "as_output", "last_lines"]

Stream: TypeAlias = int | IO[Any] | None


@attrs.define
class Streams:
    """Descriptors of the program (*stdin*, *stdout*, *stderr*; -1 is nothing) and our ends of its pipes."""

    stdin: int = -1
    stdout: int = -1
    stderr: int = -1
    our_stdin: int = -1
    our_stdout: int = -1
    our_stderr: int = -1
    _pipes: dict[int, Descriptor] = attrs.field(factory=dict)

    @classmethod
    def open(cls, stdin: Stream, stdout: Stream, stderr: Stream) -> Streams:
        """The streams for *stdin*, *stdout* and *stderr*; None inherits ours, but for stdin it is nothing.

        Raises:
            InvalidInput: A stream is none of the known kinds.
        """
        streams = cls()
        try:
            streams._open(stdin, stdout, stderr)
        except BaseException:
            streams.close()
            raise
        return streams

    def _open(self, stdin: Stream, stdout: Stream, stderr: Stream) -> None:
        if stdin == subprocess.PIPE:
            self.stdin, self.our_stdin = self._pipe()
        elif stdin is not None:
            self.stdin = _descriptor("stdin", stdin)
        if stdout == subprocess.PIPE:
            self.our_stdout, self.stdout = self._pipe()
        else:
            self.stdout = 1 if stdout is None else _descriptor("stdout", stdout)
        if stderr == subprocess.PIPE:
            self.our_stderr, self.stderr = self._pipe()
        elif stderr == subprocess.STDOUT:
            self.stderr = self.stdout
        else:
            self.stderr = 2 if stderr is None else _descriptor("stderr", stderr)

    def _pipe(self) -> tuple[int, int]:
        ends = pipe()
        self._pipes |= {end.fileno(): end for end in ends}
        return ends[0].fileno(), ends[1].fileno()

    def started(self) -> None:
        """The program has them: close its ends here, so that we see when it closes its own."""
        ours = (self.our_stdin, self.our_stdout, self.our_stderr)
        for fd in [fd for fd in self._pipes if fd not in ours]:
            self._pipes.pop(fd).close()

    def give_stdin(self) -> Descriptor:
        """Our end of the program's input, not blocking, whoever takes it has it; an empty one if none."""
        end = self._pipes.pop(self.our_stdin, None)
        if end is None:
            return Descriptor()
        os.set_blocking(end.fileno(), False)
        self.our_stdin = -1
        return end

    def talkative(self) -> None:
        """Make our ends of its output ready for a conversation: they must not block."""
        for fd in (self.our_stdout, self.our_stderr):
            if fd >= 0:
                os.set_blocking(fd, False)

    def release(self) -> tuple[Descriptor | None, Descriptor | None, Descriptor | None]:
        """Our ends of the program's three streams, where there are any; they are the caller's from now on."""
        take = self._pipes.pop
        return take(self.our_stdin, None), take(self.our_stdout, None), take(self.our_stderr, None)

    def close(self) -> None:
        """Close all that is still ours; may be repeated."""
        for end in self._pipes.values():
            end.close()
        self._pipes.clear()


def _descriptor(name: str, stream: Stream) -> int:
    if stream == subprocess.DEVNULL:
        return -1
    if isinstance(stream, int):
        if stream < 0:
            raise InvalidInput(
                f"{name}={stream!r} is not a stream: give a file, PIPE, DEVNULL or a descriptor"
            )
        return stream
    if stream is None or not hasattr(stream, "fileno"):
        raise InvalidInput(f"{name}={stream!r} is not a stream: give a file, PIPE, DEVNULL or a descriptor")
    return stream.fileno()


def as_bytes(input: str | bytes | None, text: bool) -> bytes | None:
    """What goes to stdin as bytes.

    Raises:
        InvalidInput: It is text where bytes were announced, or the other way round.
    """
    if input is None or (isinstance(input, bytes | bytearray | memoryview) and not text):
        return None if input is None else bytes(input)
    if isinstance(input, str) and text:
        return input.encode()
    wanted = "str (or pass text=False)" if text else "bytes (or leave text=True)"
    raise InvalidInput(f"input is {type(input).__name__}, but must be {wanted}")


def as_output(data: bytes | None, text: bool) -> Any:
    """What was captured: str with bytes that are not UTF-8 replaced, or bytes."""
    return data.decode("utf-8", "replace") if text and data is not None else data


def last_lines(output: bytes, count: int = 10) -> list[str]:
    """The last lines of what was written, for the message of an error."""
    return output[-4096:].decode("utf-8", "replace").splitlines()[-count:]
