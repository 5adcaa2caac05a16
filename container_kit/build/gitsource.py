"""Git repositories as contexts and as sources of ADD: ``https://host/repo.git#ref:directory``.

The reference and the repository are not trusted.  The program ``git`` runs without the configuration of
anyone, without hooks, filters and prompts, for a list of protocols; no word of the reference can be taken
for an option.

Source: moby/buildkit, util/gitutil; git-config(1), git(1), "GIT_ALLOW_PROTOCOL".
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Iterator, Mapping
from urllib.parse import parse_qs, urlsplit

import attrs

from container_kit.build.downloading import without_password
from container_kit.build.trees import Tree
from container_kit.errors import ContainerKitError, InvalidInput, TimedOut, UnsupportedFeature
from container_kit.native import interrupts

__all__ = ["Checkout", "GitReference", "checked_out"]

_SCHEMES = ("https", "http", "ssh", "git")
_SCP_FORM = re.compile(r"[A-Za-z0-9._-]+@[A-Za-z0-9.-]+:(?!//)[^\s#?]+")
_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./+@-]{0,254}")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_TIMEOUT_S = 600.0
_SSH = (
    "ssh -F /dev/null -o BatchMode=yes -o StrictHostKeyChecking=yes -o UserKnownHostsFile=~/.ssh/known_hosts"
)
_PASSED_ON = (
    "PATH", "SSL_CERT_FILE", "SSL_CERT_DIR", "http_proxy", "https_proxy", "no_proxy",
    "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "ALL_PROXY", "all_proxy",
)  # fmt: skip
_SETTINGS = (
    "core.hooksPath=/dev/null",
    "core.fsmonitor=false",
    "core.autocrlf=false",
    "core.protectHFS=true",
    "core.protectNTFS=true",
    "credential.helper=",
    "init.defaultBranch=main",
    "protocol.ext.allow=never",
    "gc.auto=0",
    "advice.detachedHead=false",
    "submodule.recurse=false",
    "fetch.fsckObjects=true",
    "fetch.fsck.zeroPaddedFilemode=ignore",
)


@attrs.frozen
class GitReference:
    """A repository, what of it, and where in it.

    Args:
        url: Without the fragment.
        ref: Branch, tag or commit; empty is the repository's HEAD.
        directory: Below its top; empty is all of it.
        checksum: A commit, or the beginning of one, that *ref* must be; or empty.
    """

    url: str
    ref: str = ""
    directory: str = ""
    checksum: str = ""

    @property
    def shown(self) -> str:
        """The URL for people: without a password."""
        return without_password(self.url)

    @classmethod
    def parse(cls, text: str, *, allow_local: bool = False) -> GitReference | None:
        """The reference that *text* is; None when it is none.

        Args:
            allow_local: ``file://`` is a repository, too: not for texts of others, such as a Dockerfile.

        Raises:
            InvalidInput: It is one, with a ref or directory that cannot be meant.
        """
        url, _, fragment = text.partition("#")
        base, _, query = url.partition("?")
        if not _is_repository(base, allow_local):
            return None
        asked = parse_qs(query)
        known = {"ref", "branch", "tag", "commit", "subdir", "checksum"}
        if unknown := set(asked) - known:
            raise InvalidInput(f"git reference {text!r}: unknown option {min(unknown)!r}")
        ref, _, directory = fragment.partition(":")
        first = {key: values[0] for key, values in asked.items()}
        ref = ref or first.get("ref") or first.get("tag") or first.get("branch") or first.get("commit") or ""
        directory = directory or first.get("subdir", "")
        _require_name(text, ref)
        if ".." in directory.split("/"):
            raise InvalidInput(f"git reference {text!r}: the directory leads out of the repository")
        url = f"https://{base}" if base.startswith("github.com/") else base
        return cls(url, ref, directory.strip("/"), first.get("checksum") or first.get("commit", ""))


@attrs.frozen
class Checkout:
    """A repository's files: *tree* is the directory that was asked for."""

    tree: Tree
    commit: str


@contextlib.contextmanager
def checked_out(
    reference: GitReference,
    *,
    scratch: str | None = None,
    keep_git_dir: bool = False,
    allow_local: bool = False,
    agent: str | None = None,
) -> Iterator[Checkout]:
    """The files of *reference*, in a directory that is removed at the end.

    All files have the time of the commit, so that two checkouts are equal.

    Args:
        allow_local: The reference is the caller's own word: files of this host, and the caller's keys, may be
            used for it.
        agent: Socket of the SSH agent for the reference of somebody else; None for no keys at all.

    Raises:
        UnsupportedFeature: There is no program ``git``.
        InvalidInput: There is no such ref or directory, or its commit is not the one asked for.
        ContainerKitError: It could not be fetched; has git's own words.
        TimedOut: Git took longer than ten minutes.
    """
    if shutil.which("git") is None:
        raise UnsupportedFeature(f"cannot fetch {reference.shown}: the program git is not installed")
    with tempfile.TemporaryDirectory(prefix="ckit-git-", dir=scratch) as directory:
        keys = _own_keys() if allow_local else _keys_of(agent)
        git = _Git(directory, f"{directory}/tree", reference.url, allow_local, keys)
        os.mkdir(git.work)
        commit = _fetch(git, reference)
        git.run("checkout", "--quiet", "--force", "--detach", commit)
        _update_submodules(git)
        time_s = int(git.run("show", "--no-patch", "--format=%ct", commit).strip())
        if not keep_git_dir:
            _forget_git(git.work)
        yield from _opened(git.work, reference, commit, time_s)


def _is_repository(base: str, allow_local: bool) -> bool:
    if any(ord(char) <= 0x20 or ord(char) == 0x7F for char in base) or base.startswith("-"):
        return False
    if _SCP_FORM.fullmatch(base):
        return True
    if base.startswith("github.com/"):
        return True
    parts = urlsplit(base) if "://" in base else None
    if parts is None:
        return False
    if parts.scheme == "file":
        return allow_local
    if parts.scheme not in _SCHEMES or not parts.hostname or parts.hostname.startswith("-"):
        return False
    return parts.scheme in ("ssh", "git") or parts.path.rstrip("/").endswith(".git")


def _require_name(text: str, ref: str) -> None:
    if ref and (not _NAME.fullmatch(ref) or ".." in ref or ref.endswith((".", "/", ".lock")) or "@{" in ref):
        raise InvalidInput(f"git reference {text!r}: {ref!r} is no branch, tag or commit")


@attrs.frozen
class _Git:
    """Runs git for one repository in *work*, with *home* as an empty home."""

    home: str
    work: str
    url: str
    allow_local: bool
    keys: Mapping[str, str]

    def run(self, *words: str, network: bool = False) -> str:
        """Its output.

        Raises:
            ContainerKitError, TimedOut: As `checked_out`.
        """
        settings = [word for setting in _SETTINGS for word in ("-c", setting)]
        process = subprocess.Popen(
            ["git", *settings, *words],
            cwd=self.work,
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=0,
        )
        try:
            output, errors = _conversation(process, _TIMEOUT_S if network else 120.0)
        except subprocess.TimeoutExpired:
            url = without_password(self.url)
            raise TimedOut(f"cannot fetch {url}: git {words[0]} took too long") from None
        if process.returncode:
            said = " / ".join(errors.decode("utf-8", "replace").strip().splitlines()[-3:])[:500]
            raise ContainerKitError(without_password(f"cannot fetch {self.url}: git {words[0]}: {said}"))
        return output.decode("utf-8", "replace")

    def _environment(self) -> dict[str, str]:
        protocols = "https:http:ssh:git" + (":file" if self.allow_local else "")
        ours = {
            "HOME": self.home,
            "XDG_CONFIG_HOME": self.home,
            "LC_ALL": "C",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_TERMINAL_PROMPT": "0",
            "GIT_ASKPASS": "/bin/false",
            "GIT_ALLOW_PROTOCOL": protocols,
            "GIT_PROTOCOL_FROM_USER": "0",
            "GIT_LFS_SKIP_SMUDGE": "1",
            **self.keys,
        }
        return {key: os.environ[key] for key in _PASSED_ON if key in os.environ} | ours


def _own_keys() -> dict[str, str]:
    agent = os.environ.get("SSH_AUTH_SOCK")
    return {"GIT_SSH_COMMAND": _SSH, **({"SSH_AUTH_SOCK": agent} if agent else {})}


def _keys_of(agent: str | None) -> dict[str, str]:
    """A Dockerfile may be anyone's: it reads with the agent that was given to the build, or with nothing."""
    without_files = f"{_SSH} -o IdentityFile=none"
    return {"GIT_SSH_COMMAND": without_files, **({"SSH_AUTH_SOCK": agent} if agent else {})}


def _fetch(git: _Git, reference: GitReference) -> str:
    """Fetch what is asked for, as little as the server allows; the commit."""
    git.run("init", "--quiet", "--template=")
    wanted = reference.ref or "HEAD"
    options = ("--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head")
    target = "refs/container-kit/wanted"
    try:
        git.run("fetch", *options, "--depth=1", "--", git.url, f"+{wanted}:{target}", network=True)
    except TimedOut:
        raise
    except ContainerKitError:
        # Some servers give no single commits, others no shallow history: then all of it.
        if _COMMIT.fullmatch(reference.ref):
            wanted, target = "refs/*", "refs/container-kit/all/*"
        git.run("fetch", *options, "--", git.url, f"+{wanted}:{target}", network=True)
        target = reference.ref if wanted == "refs/*" else target
    commit = git.run("rev-parse", "--verify", "--quiet", "--end-of-options", f"{target}^{{commit}}").strip()
    if reference.checksum and not commit.startswith(reference.checksum.lower()):
        raise InvalidInput(
            f"{reference.shown}: {reference.ref or 'HEAD'} is the commit {commit}, not {reference.checksum}"
        )
    return commit


def _update_submodules(git: _Git) -> None:
    """Submodules come from the network only: their addresses are the repository's word, not the caller's."""
    if not os.path.isfile(f"{git.work}/.gitmodules") or os.path.islink(f"{git.work}/.gitmodules"):
        return
    careful = attrs.evolve(git, allow_local=False)
    careful.run("submodule", "--quiet", "update", "--init", "--recursive", "--depth=1", network=True)


def _forget_git(work: str) -> None:
    shutil.rmtree(f"{work}/.git")
    for directory, _, names in os.walk(work):
        if ".git" in names:  # a submodule's pointer to what was removed
            os.unlink(f"{directory}/.git")


def _opened(work: str, reference: GitReference, commit: str, time_s: int) -> Iterator[Checkout]:
    top = os.open(work, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        whole = Tree(top, reference.shown)
        path = whole.resolve(reference.directory)
        found = whole.lstat(path)
        if found is None or found.mode & 0o170000 != 0o040000:
            raise InvalidInput(f"{reference.shown} has no directory {reference.directory!r}")
        fd = top if not path else os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=top)
        try:
            yield Checkout(Tree(fd, reference.shown, owner=(0, 0), time_ns=time_s * 1_000_000_000), commit)
        finally:
            if fd != top:
                os.close(fd)
    finally:
        os.close(top)


def _conversation(process: subprocess.Popen[bytes], timeout_s: float) -> tuple[bytes, bytes]:
    """What *process* has written when it has ended; cut off, it is killed with all that it has started."""

    def end() -> None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    with process, interrupts.hooked(end):
        try:
            return process.communicate(timeout=timeout_s)
        finally:
            if process.returncode is None:
                end()
