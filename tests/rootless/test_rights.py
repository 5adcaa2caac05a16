"""Functions that run with the rights of a user namespace, and the caller that stays as it was."""

from __future__ import annotations

import pytest

from tests.rootless.users import OrdinaryUser

pytestmark = [pytest.mark.root, pytest.mark.tool("newuidmap"), pytest.mark.tool("setpriv")]

WITHIN = """
import os, threading
from container_kit.native.user_namespace import within, within_mounts
from container_kit.native.trees import remove_tree
threading.Thread(target=threading.Event().wait, args=(2,)).start()   # a process of several threads
def work():
    os.mkdir("private")
    os.chown("private", 33, 33)
    os.chmod("private", 0o700)
    fd = os.open("private/file", os.O_CREAT | os.O_RDWR, 0o600)
    os.write(fd, b"x" * 100)
    return os.geteuid(), fd
inside, fd = within(work)
found = {"inside": inside, "outside": os.geteuid(), "size": os.fstat(fd).st_size}
try:
    os.listdir("private")
except PermissionError:
    found["closed"] = True
try:
    within(lambda: {}["missing"])
except KeyError as error:
    found["error"] = str(error)
found["nested"] = within(lambda: within(os.geteuid))
home = os.open(".", os.O_RDONLY)
remove_tree(home, "private")
found["gone"] = not os.path.exists("private")
ours, theirs = os.readlink("/proc/self/ns/mnt"), "/proc/thread-self/ns/mnt"
found["mounts"] = within(os.readlink, theirs) == ours
found["own mounts"] = within_mounts(os.readlink, theirs) != ours
report(found)
"""


def test_a_function_has_the_rights_and_the_process_has_not(user: OrdinaryUser) -> None:
    """Results, errors and descriptors come back; ids and mounts of the process are what they were."""
    assert user.python(WITHIN) == {
        "inside": 0, "outside": user.uid, "size": 100, "closed": True, "error": "'missing'", "nested": 0,
        "gone": True, "mounts": True, "own mounts": True,
    }  # fmt: skip


THREADS = """
import os, threading
from container_kit.native.user_namespace import within
totals = []
def work(number):
    os.makedirs(f"many/{number}")
    os.chown(f"many/{number}", number, number)
    return sum(range(20_000)) + os.geteuid()
threads = [threading.Thread(target=lambda n=n: totals.append(within(work, n))) for n in range(1, 33)]
for thread in threads: thread.start()
for thread in threads: thread.join()
owners = within(lambda: sorted(os.stat(f"many/{n}").st_uid for n in range(1, 33)))
report([set(totals) == {sum(range(20_000))}, owners == list(range(1, 33)), os.geteuid() != 0])
"""


def test_threads_have_the_rights_at_the_same_time(user: OrdinaryUser) -> None:
    """Each does its own work in a process of its own; Python's lock and memory stay whole."""
    assert user.python(THREADS) == [True, True, True]


KILLED = """
import os, signal, sys, threading, time
from container_kit.native.user_namespace import within
def work():
    print(os.getpid(), flush=True)
    time.sleep(1000)
within(work)
"""


def test_the_work_ends_with_a_killed_caller(user: OrdinaryUser) -> None:
    """No process with the rights stays when whoever it works for is killed."""
    import os
    import time

    caller = user.begin(KILLED)
    assert caller.stdout is not None
    worker = int(caller.stdout.readline())
    assert os.path.exists(f"/proc/{worker}")
    caller.kill()
    caller.wait()
    caller.stdout.close()
    deadline = time.monotonic() + 20
    while os.path.exists(f"/proc/{worker}/fd") and time.monotonic() < deadline:
        try:
            os.listdir(f"/proc/{worker}/fd")
        except OSError:
            break
        time.sleep(0.01)
    assert not _runs(worker)


def _runs(pid: int) -> bool:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rsplit(")", 1)[1].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):
        return False
