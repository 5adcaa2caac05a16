"""``python -m tests.docs PAGE``: a page's examples are run as written, and shown with what they print."""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.docs.examples import Example
from tests.docs.reader import Reader


class _Speaker:
    """Shows each example when it is done."""

    def __init__(self) -> None:
        self._since_s = time.perf_counter()

    def tell(self, example: Example, printed: str) -> None:
        """What was done, how long that took, and what it printed."""
        now_s = time.perf_counter()
        took, self._since_s = now_s - self._since_s, now_s
        if example.language == "file":
            print(f"  the file {example.name}, {example.code.count(chr(10))} lines")
            return
        prompt = "$ " if example.language == "console" else ">>> "
        lines = example.code.strip().splitlines()
        print(f"{prompt}{lines[0]}", *(f"... {line}" for line in lines[1:]), sep="\n")
        print(printed.strip() and f"{printed.strip()}\n", end="")
        print(f"  ({took:.2f} s)\n", flush=True)


def main() -> None:
    """Read the page that is named on the command line."""
    with tempfile.TemporaryDirectory(prefix="container-kit-demo-") as home:
        variables = {**os.environ, "CONTAINER_KIT_ROOT": str(Path(home, "store"))}
        Reader(Path(home), variables, listener=_Speaker().tell, may_lack_programs=True).read(
            Path(sys.argv[1])
        )


if __name__ == "__main__":
    main()
