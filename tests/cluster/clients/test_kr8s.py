"""`kr8s`, by programs in processes of their own: it keeps its threads and connections until their end."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.docs.reader import PROJECT

pytestmark = [pytest.mark.root]


def _run(name: str, kubeconfig: str, namespace: str) -> list[str]:
    """What a program prints."""
    command = [sys.executable, "-m", f"tests.cluster.clients.programs.{name}", kubeconfig, namespace]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout.splitlines()


def test_a_script(kubeconfig: str, namespace: str) -> None:
    """Objects, exec, a forwarded port, a watch, waiting, a workload with its logs."""
    assert _run("kr8s_sync", kubeconfig, namespace) == [
        "whoami: kubernetes-admin",
        "config map: {'a': '1', 'b': '2'} front hello",
        "chosen: ['settings']",
        "missing pods are not found",
        "exec: b'out\\n' b'err\\n' 3",
        "port: it works",
        "watch: ADDED web",
        "gone: True",
        "deployment: 1 ['up']",
        "kinds of others: []",
        "version: 1",
    ]


def test_an_event_loop(kubeconfig: str, namespace: str) -> None:
    """Pods side by side, a watch meanwhile, a job to its end."""
    assert _run("kr8s_async", kubeconfig, namespace) == [
        "exec: ['p0', 'p1', 'p2']",
        "log: begun",
        "port: True",
        "watch: ADDED True",
        "job: 1",
    ]
