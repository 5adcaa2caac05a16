"""A command on a terminal of its own, as somebody would use it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

__all__ = ["Terminal"]

_PATIENCE_S = 60.0


class Terminal:
    """A command whose three streams are one terminal.

    Args:
        size: Rows and columns.
    """

    def __init__(
        self,
        command: Sequence[str],
        *,
        env: Mapping[str, str] | None = None,
        cwd: Path | None = None,
        size: tuple[int, int] = (24, 80),
    ) -> None:
        self._end, other = pty.openpty()
        self._seen = b""
        self._set_size(size)
        try:
            self._process = subprocess.Popen(
                command,
                env=env,
                cwd=cwd,
                stdin=other,
                stdout=other,
                stderr=other,
                start_new_session=True,
            )
        finally:
            os.close(other)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.kill()
        self._process.wait()
        os.close(self._end)

    def type(self, text: str) -> None:
        """Type it."""
        os.write(self._end, text.encode())

    def resize(self, rows: int, columns: int) -> None:
        """Give the window another size; the kernel would tell the foreground, here nobody is."""
        self._set_size((rows, columns))
        self._process.send_signal(signal.SIGWINCH)

    def wait_for(self, text: str) -> str:
        """Read until *text* comes; returns what came up to its end."""
        wanted, end = text.encode(), time.monotonic() + _PATIENCE_S
        while wanted not in self._seen:
            ready, _, _ = select.select([self._end], [], [], max(0.0, end - time.monotonic()))
            piece = self._read() if ready else b""
            assert piece, f"{text!r} did not come, but: {self._seen.decode(errors='replace')}"
            self._seen += piece
        found, self._seen = self._seen.split(wanted, 1)
        return (found + wanted).decode(errors="replace")

    def exit_code(self) -> int:
        """Of the command, when it has ended."""
        end = time.monotonic() + _PATIENCE_S
        while (code := self._process.poll()) is None and time.monotonic() < end:
            if select.select([self._end], [], [], 0.05)[0]:
                self._seen += self._read()
        assert code is not None, f"it has not ended: {self._seen.decode(errors='replace')}"
        return code

    def _read(self) -> bytes:
        with contextlib.suppress(OSError):  # EIO: the other end is closed
            return os.read(self._end, 1 << 16)
        return b""

    def _set_size(self, size: tuple[int, int]) -> None:
        fcntl.ioctl(self._end, termios.TIOCSWINSZ, struct.pack("HHHH", *size, 0, 0))
