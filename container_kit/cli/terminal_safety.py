"""Makes text from containers harmless to the terminal that shows it.

A container chooses its name, labels, command and log lines; escape sequences in them could retitle
the window, clear the screen, hide lines or type answers.  On a terminal they are shown as visible
text; into a pipe or a file they go unchanged, because a program reads them there.
"""

from __future__ import annotations

import re

__all__ = ["neutralise", "neutralise_log_line"]

# C0 and C1 controls, DEL, and the marks that reorder text (Unicode bidirectional controls).
_DANGEROUS = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")
_COLOUR = re.compile("(\x1b\\[[0-9;:]{0,32}m)")
_RESET = "\x1b[0m"


def neutralise(text: str) -> str:
    """*text* with every control character written out, as ``\\x1b``; for cells of a table."""
    return _DANGEROUS.sub(_written_out, text)


def neutralise_log_line(line: str) -> str:
    """One log line (without its newline) that may keep tabs and colours, and nothing else.

    A line that sets a colour is closed by a reset, so that it cannot colour what follows it.
    """
    pieces = _COLOUR.split(line.removesuffix("\r"))
    safe = "".join(piece if i % 2 else _keep_tabs(piece) for i, piece in enumerate(pieces))
    return safe + _RESET if len(pieces) > 1 else safe


def _keep_tabs(text: str) -> str:
    return "\t".join(neutralise(part) for part in text.split("\t"))


def _written_out(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
