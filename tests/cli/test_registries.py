"""pull, push, login, logout and search from the outside, against a registry with TLS and a password."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

import attrs
import pytest

from container_kit.cli import main
from container_kit.images import Image
from container_kit.store import Store
from tests.cli.forked import run_forked
from tests.images.archives import entry, layer, layout_files, write_directory
from tests.registry.client.conftest import Engine
from tests.registry.docker_registry import PASSWORD, USER, DockerRegistry, docker_registry

pytestmark = [pytest.mark.root, pytest.mark.tool("docker-registry")]


@attrs.frozen
class Ckit:
    """The command line with a root, a home and a registry of its own."""

    folder: Path
    registry: DockerRegistry

    def __call__(self, *words: str, input: str = "") -> subprocess.CompletedProcess[str]:
        home = str(self.folder / "home")
        variables = {
            "CONTAINER_KIT_ROOT": str(self.folder / "root"),
            "HOME": home,
            "XDG_RUNTIME_DIR": home,
            "XDG_CONFIG_HOME": f"{home}/.config",
            "DOCKER_CONFIG": f"{home}/.docker",
            "CONTAINERS_REGISTRIES_CONF": f"{home}/registries.conf",
        }
        return run_forked(main, ("ckit", *words), environment=variables, input=input)

    def ok(self, *words: str, input: str = "") -> str:
        done = self(*words, input=input)
        assert done.returncode == 0, (words, done.stdout, done.stderr)
        return done.stdout

    @property
    def ca(self) -> str:
        return f"--ca={self.registry.ca}"

    @property
    def config(self) -> Path:
        return self.folder / "home/.docker/config.json"


@pytest.fixture(scope="module")
def ckit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ckit]:
    """With one image, ``made:1``, in its store."""
    folder = tmp_path_factory.mktemp("cli")
    (folder / "home").mkdir()
    (folder / "home/registries.conf").write_text("")
    layers = [layer(entry("etc"), entry("etc/a", b"a" * 5000)), layer(entry("b", os.urandom(3000)))]
    with Store.open(folder / "root") as store:
        layout = write_directory(folder / "layout", layout_files(layers, "localhost/made:1"))
        [image] = Image.load(layout, engine=Engine(store))
        image.tag("made:1")
    with docker_registry(folder / "registry", tls=True, auth=True) as registry:
        yield Ckit(folder, registry)


def test_login_keeps_what_logout_forgets(ckit: Ckit) -> None:
    """A wrong password is not kept; a right one is, in a file of our own alone; what others wrote stays."""
    server = ckit.registry.authority
    ckit.config.parent.mkdir(parents=True, exist_ok=True)
    ckit.config.write_text(json.dumps({"psFormat": "kept", "auths": {"other.example": {"auth": "YTpi"}}}))

    wrong = ckit("login", ckit.ca, "-u", USER, "--password-stdin", server, input="wrong")
    assert wrong.returncode == 1 and "cannot log in" in wrong.stderr
    assert server not in ckit.config.read_text()

    assert "Login Succeeded" in ckit.ok(
        "login", ckit.ca, "-u", USER, "--password-stdin", server, input=PASSWORD + "\n"
    )
    document = json.loads(ckit.config.read_text())
    assert document["psFormat"] == "kept" and set(document["auths"]) == {"other.example", server}
    assert stat.S_IMODE(ckit.config.stat().st_mode) == 0o600

    assert f"Removing login credentials for {server}" in ckit.ok("logout", server)
    assert set(json.loads(ckit.config.read_text())["auths"]) == {"other.example"}
    assert f"Not logged in to {server}" in ckit.ok("logout", server)


def test_push_pull_and_search_speak_dockers_words(ckit: Ckit) -> None:
    """The lines of docker, its digests, and the catalogue of the registry."""
    name = f"{ckit.registry.authority}/team/app:1"
    ckit.ok("login", ckit.ca, "-u", USER, "--password-stdin", ckit.registry.authority, input=PASSWORD)

    pushed = ckit.ok("push", ckit.ca, "made:1", name)
    pulled = ckit.ok("pull", ckit.ca, name)
    again = ckit.ok("pull", ckit.ca, name)
    found = ckit.ok("search", ckit.ca, f"{ckit.registry.authority}/team")
    tags = ckit.ok("search", ckit.ca, "--list-tags", name.removesuffix(":1"), "--format", "{{.Tag}}")

    assert f"The push refers to repository [{name.removesuffix(':1')}]" in pushed
    assert "1: digest: sha256:" in pushed
    digest = pushed.partition("digest: ")[2].partition(" ")[0]
    assert pulled.count(": Already exists") == 2
    assert f"Digest: {digest}\nStatus: Downloaded newer image for {name}\n{name}\n" in pulled
    assert f"Status: Image is up to date for {name}" in again
    assert found.split() == ["NAME", name.removesuffix(":1")]
    assert tags.split() == ["1"]
    assert ckit.ok("pull", "-q", ckit.ca, name) == f"{name}\n"
    ckit.ok("logout", ckit.registry.authority)


def test_what_went_wrong_is_told_in_one_sentence(ckit: Ckit) -> None:
    """A certificate that is not trusted, a repository that is denied, a name that nobody has."""
    name = f"{ckit.registry.authority}/team/app:1"

    untrusted = ckit("pull", name)
    denied = ckit("pull", ckit.ca, name)
    unknown = ckit("pull", ckit.ca, "--creds", f"{USER}:{PASSWORD}", f"{ckit.registry.authority}/no/such")

    assert "the certificate of" in untrusted.stderr and "is not trusted" in untrusted.stderr
    assert "denies repository:team/app:pull" in denied.stderr and "container-kit login" in denied.stderr
    assert "no manifest named" in unknown.stderr
    assert {done.returncode for done in (untrusted, denied, unknown)} == {1}
    assert PASSWORD not in untrusted.stderr + denied.stderr + unknown.stderr
