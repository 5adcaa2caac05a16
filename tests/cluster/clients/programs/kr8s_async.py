"""The same library in an event loop: pods made side by side, a watch and logs while they run.

``python kr8s_async.py KUBECONFIG NAMESPACE``; prints what it sees.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import kr8s.asyncio
from kr8s.asyncio.objects import Job, Pod

from tests.cluster.manifests import pod


async def main(kubeconfig: str, namespace: str) -> None:
    api = await kr8s.asyncio.api(kubeconfig=kubeconfig, namespace=namespace)
    seen: list[str] = []

    async def watch() -> None:
        async for event, one in api.async_watch("pods"):
            seen.append(f"{event} {one.name}")

    watcher = asyncio.create_task(watch())
    pods = await asyncio.gather(*(_ready_pod(api, namespace, f"p{number}") for number in range(3)))
    outputs = await asyncio.gather(*(one.exec(["sh", "-c", "echo $HOSTNAME"]) for one in pods))
    print("exec:", [done.stdout.decode().strip() for done in outputs])
    async for line in pods[0].logs(follow=True):
        print("log:", line)
        break
    async with pods[0].portforward(9, local_port="auto") as port:
        print("port:", port > 0)
    await asyncio.gather(*(one.delete() for one in pods))
    await asyncio.gather(*(one.wait("delete", timeout=60) for one in pods))
    while "DELETED p2" not in seen:
        await asyncio.sleep(0.05)
    watcher.cancel()
    print("watch:", seen[0].partition(" ")[0], "DELETED p0" in seen)

    job = await Job(_job("sums"), namespace=namespace, api=api)
    await job.create()
    await job.wait(["condition=Complete", "condition=Failed"], timeout=60)
    print("job:", job.status["succeeded"])


async def _ready_pod(api: Any, namespace: str, name: str) -> Any:
    made = await Pod(pod(name, "echo begun; sleep 1000"), namespace=namespace, api=api)
    await made.create()
    await made.wait("condition=Ready", timeout=60)
    return made


def _job(name: str) -> dict[str, Any]:
    spec = pod(name, "exit 0", restartPolicy="Never")["spec"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": name},
        "spec": {"template": {"spec": spec}},
    }


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
