"""What a script with `kr8s` does: objects, a pod that is looked into, a watch, a workload, a custom kind.

``python kr8s_sync.py KUBECONFIG NAMESPACE``; prints what it sees.
"""

from __future__ import annotations

import sys
import time
import urllib.request

import kr8s
from kr8s.objects import ConfigMap, Deployment, Pod, new_class

from tests.cluster.manifests import config_map, deployment
from tests.cluster.serving import http_pod


def main(kubeconfig: str, namespace: str) -> None:
    api = kr8s.api(kubeconfig=kubeconfig, namespace=namespace)
    print("whoami:", api.whoami())
    settings = ConfigMap(config_map("settings", a="1"), namespace=namespace, api=api)
    settings.create()
    settings.patch({"data": {"b": "2"}})
    settings.label(tier="front")
    settings.annotate({"note": "hello"})
    settings.refresh()
    print("config map:", dict(settings.data), settings.labels["tier"], settings.annotations["note"])
    print("chosen:", [one.name for one in api.get("cm", label_selector={"tier": "front"})])
    try:
        Pod.get("none", namespace=namespace, api=api, timeout=1)
    except kr8s.NotFoundError:
        print("missing pods are not found")

    pod = Pod(http_pod("web"), namespace=namespace, api=api)
    pod.create()
    pod.wait("condition=Ready", timeout=60)
    done = pod.exec(["sh", "-c", "echo out; echo err >&2; exit 3"], check=False)
    print("exec:", done.stdout, done.stderr, done.returncode)
    with pod.portforward(8080, local_port="auto") as port:
        print(
            "port:", urllib.request.urlopen(f"http://127.0.0.1:{port}/", timeout=20).read().decode().strip()
        )
    for event, seen in api.watch("pods"):
        print("watch:", event, seen.name)
        break
    pod.delete()
    pod.wait("delete", timeout=60)
    print("gone:", not pod.exists())

    web = Deployment(deployment("web", "echo up; sleep 1000"), namespace=namespace, api=api)
    web.create()
    web.wait("condition=Available", timeout=60)
    web.scale(1)
    while not web.ready():  # which is asked, not waited for
        time.sleep(0.05)
    pods = web.pods()
    print("deployment:", web.replicas, [next(iter(one.logs(follow=True))) for one in pods[:1]])
    kind = new_class("CustomResourceDefinition", "apiextensions.k8s.io/v1", namespaced=False)
    print("kinds of others:", [one.name for one in api.get(kind) if one.name.startswith("kr8s.")])
    print("version:", api.version()["major"])


if __name__ == "__main__":
    main(*sys.argv[1:])
