"""The main job on real input: an image of this host's programs, and containers that run them."""

from __future__ import annotations

import tempfile
import time

import container_kit as ck


def main() -> None:
    """Builds an image, runs it, and keeps one container running to look inside."""
    with tempfile.TemporaryDirectory(prefix="container-kit-demo-") as root, ck.Engine(root=root) as engine:
        image = ck.Image.from_host("sh", "cat", "sleep", "hostname", tag="tools", engine=engine)
        print(f"image    {image.digest} from this host's programs")

        hello = ck.run(image, ["sh", "-c", "echo hello from process $$ on $(hostname)"], engine=engine)
        print(
            f"run      {hello.stdout.strip()} (exit code {hello.exit_code}, {hello.duration_s * 1e3:.1f} ms)"
        )

        start = time.perf_counter()
        for _ in range(100):
            ck.run(image, ["sh", "-c", ":"], engine=engine)
        print(f"100 runs {(time.perf_counter() - start) * 10:.1f} ms each")

        limits = ck.Limits(memory="64m", cpus=0.5, pids=32)
        with ck.Container.start(image, ["sleep", "60"], limits=limits, engine=engine) as container:
            print(f"start    {container.name} is {container.status}, process {container.pid}")
            print(f"exec     {container.exec(['cat', '/proc/self/comm']).stdout.strip()}")
            print(f"memory   {container.stats().memory.usage / 1024:.0f} KiB of {64 << 10} KiB")
        print(f"after    {len(engine.containers(all=True))} containers are left")


if __name__ == "__main__":
    main()
