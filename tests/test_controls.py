"""The controls of trials whose guards are in C: built without the guard, the same trial fails."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

from tests.mutants import Mutant

pytestmark = [pytest.mark.root, pytest.mark.trial]

_CLOSE_ALL = (
    ("_native/init/spawn.h", "s->failed = sys(close_range, s->fd_count + 1, ~0U, 0);", "s->failed = 0;"),
    ("_native/init/plan.c", "sys(close_range, init.status_fd, ~0U, 4 /* CLOSE_RANGE_CLOEXEC */);", ""),
    (
        "_native/init/mounts.c",
        "return result < 0 ? result : close_host();",
        "(void)close_host; return result;",
    ),
)
_RESOLVE = ("_native/beneath.c", "		.resolve = resolve,\n", "")
PROC_BY_PATH = """
static long ck_proc_by_path(const char *path, int flags, const struct open_how *how)
{
	char full[PATH_LIMIT];

	(void)how;
	ck_append(ck_append(full, full + sizeof full, "/proc/"), full + sizeof full, path);
	return root_open(full, flags);
}

/* Open a file of the private procfs;"""

CONTROLS = {
    "S01: no component of a name leads up": (
        (("_native/layer_path.c", 'if (strcmp(text, "..") == 0)', "if (0)"),),
        ("tests/native/test_torture.py",),
    ),
    "S02: paths are resolved in the root": (
        (_RESOLVE,),
        ("tests/containers/test_races.py", "-k", "files_of and openat2"),
    ),
    "S02: the walk reads links itself": (
        (
            (
                "_native/beneath_walk.c",
                "walk->name, O_PATH | O_NOFOLLOW | O_CLOEXEC), error;",
                "walk->name, O_PATH | O_CLOEXEC), error;",
            ),
        ),
        ("tests/containers/test_races.py", "-k", "files_of and walk"),
    ),
    "S02: parts of volumes stay in them": (
        (("_native/init/sources.c", ".resolve = RESOLVE_BENEATH | RESOLVE_NO_MAGICLINKS", ".resolve = 0"),),
        ("tests/containers/test_volume_races.py", "-k", "parts_of"),
    ),
    "S04: what is open is closed": (_CLOSE_ALL, ("tests/containers/test_descriptors.py", "-k", "way_in")),
    "S05: the program that enters cannot be looked at": (
        (
            ("_native/init/start.c", "sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);", ""),
            ("_native/init/namespaces.c", "sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);", ""),
            ("_native/init/walls.c", "sys(prctl, 4 /* PR_SET_DUMPABLE */, 0, 0, 0, 0);", ""),
        ),
        ("tests/runtime/test_hostile.py", "-k", "nobody_inside"),
    ),
    "S22: an internal network asks nobody": (
        (("_native/init/keeper_udp.c", "view.internal = k->config.internal;", ""),),
        ("tests/network/test_keeper.py", "-k", "internal_network"),
    ),
    "S22: only the network itself is answered": (
        (
            (
                "_native/init/keeper_udp.c",
                "return subnet_contains(&k->config.listens[listener], address);",
                "return k && listener < MAX_LISTENS && address;",
            ),
        ),
        ("tests/network/test_keeper.py", "-k", "only_the_network"),
    ),
    "S22: an answer is to the question": (
        (
            (
                "_native/init/keeper_udp.c",
                "if (!dns_answers(k->packet, size, forward->message, forward->question_end))",
                "if (!size)",
            ),
        ),
        ("tests/network/test_keeper.py", "-k", "forged"),
    ),
    "S07: the first process of a pod has an empty root": (
        (("_native/init/reaper.c", 'result = sys(pivot_root, ".", ".");', "result = 0;"),),
        ("tests/pods/test_walls.py", "-k", "privileged_container_finds"),
    ),
    "S06: settings go through a procfs of our own": (
        (
            (
                "_native/init/paths.c",
                "sys(openat2, init.proc_fd, path, &how, sizeof how);",
                "ck_proc_by_path(path, flags, &how);",
            ),
            ("_native/init/paths.c", "/* Open a file of the private procfs;", PROC_BY_PATH),
        ),
        ("tests/runtime/test_hostile.py", "-k", "sysctls_land"),
    ),
}


@pytest.mark.parametrize("name", CONTROLS)
def test_without_its_guard_the_trial_fails(name: str) -> None:
    """The trial that guards a rule notices when the rule is gone."""
    edits, tests = CONTROLS[name]
    mutant = Mutant(name, edits)
    with tempfile.TemporaryDirectory(prefix="container-kit-mutant-") as folder:
        mutant.build(Path(folder))
        assert mutant.fails(Path(folder), *tests)
