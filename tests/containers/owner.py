"""A program that owns containers, for tests that kill it: prints their ids and pids, then waits.

Run as ``python -m tests.containers.owner ROOT WHAT [COUNT]``.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from functools import partial

from container_kit.containers.engine import Engine


def _print(**facts: object) -> None:
    print(json.dumps(facts), flush=True)


def start(engine: Engine, count: int, *, detach: bool) -> list[str]:
    return [engine.start("tools", ["sleep", "600"], detach=detach).id for _ in range(count)]


def main(root: str, what: str, count: int = 1) -> None:
    engine = Engine(root)
    if what == "mixed":
        owned = start(engine, count, detach=False)
        owned += [engine.create("tools", ["true"], detach=False, name="waiting").id]
        _print(owned=owned, detached=start(engine, 2, detach=True))
    elif what == "run":
        threads = [
            threading.Thread(target=lambda: engine.run("tools", ["sleep", "600"], name=f"r{os.getpid()}"))
        ]
        threads += [
            threading.Thread(target=lambda: engine.run("tools", ["sleep", "600"])) for _ in range(count - 1)
        ]
        for thread in threads:
            thread.daemon = True
            thread.start()
        while len(engine.infos()) < count:
            pass
        _print(owned=[info.id for info in engine.infos()])
    elif what == "networks":
        owned = [engine.start("box", ["busybox", "sleep", "600"], network="shop").id for _ in range(count)]
        kept = engine.start("box", ["busybox", "sleep", "600"], network="shop", detach=True).id
        run = partial(engine.run, "box", ["busybox", "sleep", "600"], network="shop")
        threading.Thread(target=run, daemon=True).start()
        while len(engine.networks.endpoints("shop")) < count + 2 or len(engine.infos()) < count + 2:
            pass
        found = [info.id for info in engine.infos()]
        _print(owned=[one for one in found if one != kept], detached=[kept], started=owned)
    elif what == "spares":
        while not engine.spares._ready:
            engine.run("tools", ["true"])
        _print(owned=list(engine.spares._ready))
    elif what == "exit":
        _print(owned=start(engine, count, detach=False), detached=start(engine, 1, detach=True))
        return
    elif what == "churn":
        _print(ready=True)
        while True:
            engine.run("tools", ["true"], name="churn")
            for _ in range(3):
                engine.run("tools", ["true"])
            with engine.start("tools", ["sleep", "600"], name="churn") as container:
                container.exec(["true"])
                container.stop(timeout=0)
    elif what == "volumes":
        _print(ready=True)
        two = ["one:/one", "two:/etc"]
        while True:
            engine.run("tools", ["ls", "/etc"], name="churn", mounts=[*two, "/own"])
            with engine.start(
                "tools", ["sleep", "600"], name="churn", mounts=two, ports={80: 0}
            ) as container:
                container.exec(["ls", "/one"])
            detached = engine.create("tools", ["true"], mounts=[*two, "/anonymous", "/other"])
            detached.start()
            detached.wait()
            detached.remove(volumes=True)
    signal.pause()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
