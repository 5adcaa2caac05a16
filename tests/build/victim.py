"""A process that builds until it is killed: ``python -m tests.build.victim ROOT CONTEXT``."""

from __future__ import annotations

import sys

import container_kit as ck


def main() -> None:
    with ck.Engine(sys.argv[1]) as engine:
        print("open", flush=True)
        number = 0
        while True:
            number += 1
            ck.Image.build(
                sys.argv[2],
                tag="app:1",
                build_args={"NUMBER": str(number)},
                engine=engine,
                progress=lambda event: print(event.action, flush=True) if event.action == "start" else None,
            )


if __name__ == "__main__":
    main()
