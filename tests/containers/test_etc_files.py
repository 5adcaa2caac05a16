"""What stands in a container's files in /etc: pure decisions."""

from __future__ import annotations

from pathlib import Path

from container_kit.containers.etc_files import (
    Resolving,
    hosts_text,
    moved_hosts,
    parse_hosts,
    read_resolv_conf,
    resolv_text,
    resolving_for,
    update_file,
)

HOST = Resolving(servers=("127.0.0.53", "10.0.0.53"), search=("corp",), options=("edns0",))


def test_a_containers_hosts_have_loopback_others_and_itself() -> None:
    """host-gateway is the address that was found for it; without one its line is left out."""
    extra = [("db", "10.0.0.9"), ("me", "host-gateway")]
    lines = hosts_text(["10.1.0.2", "fd00::2"], ("web.shop", "web"), extra, "10.1.0.1").splitlines()
    assert lines[:2] == ["127.0.0.1\tlocalhost", "::1\tlocalhost ip6-localhost ip6-loopback"]
    assert lines[6:] == ["10.0.0.9\tdb", "10.1.0.1\tme", "10.1.0.2\tweb.shop web", "fd00::2\tweb.shop web"]
    assert "me" not in hosts_text([], ("web",), extra, "")


def test_a_container_that_moves_keeps_what_was_written_into_its_hosts() -> None:
    """Only the lines of its own name become others."""
    before = hosts_text(["10.1.0.2"], ("web",), [("db", "10.0.0.9")]) + "10.9.9.9\tadded-inside\n"
    after = moved_hosts(before, ["10.1.0.2", "10.2.0.2"], ("web",))
    assert sorted(after.splitlines()) == sorted([*before.splitlines(), "10.2.0.2\tweb"])
    assert moved_hosts(after, ["10.1.0.2"], ("web",)) == moved_hosts(before, ["10.1.0.2"], ("web",))


def test_resolv_conf_is_read_as_it_is_written() -> None:
    """Reading is the inverse of writing; comments and what is not known are passed over."""
    assert read_resolv_conf(resolv_text(HOST)) == HOST
    text = "# comment\ndomain old\nsearch a b\nnameserver 10.0.0.1 # first\nsortlist x\n\nnameserver\n"
    assert read_resolv_conf(text) == Resolving(servers=("10.0.0.1",), search=("a", "b"))


def test_name_servers_of_networks_come_before_all_others() -> None:
    """They ask the container's own servers; the host's are only for those without, and its loopback never."""
    own = Resolving(servers=("1.1.1.1",), search=("example.org",), options=("attempts:1",))
    assert resolving_for(own, ("10.1.0.1",), HOST) == Resolving(
        servers=("10.1.0.1",), search=("example.org",), options=("attempts:1", "ndots:0")
    )
    assert resolving_for(own, (), HOST).servers == ("1.1.1.1",)
    assert resolving_for(Resolving(), (), HOST).servers == ("10.0.0.53",)
    assert resolving_for(Resolving(), (), HOST, shares_host=True) == HOST
    assert resolving_for(Resolving(search=(".",)), (), HOST).search == ()


def test_the_hosts_file_of_this_host_gives_its_names() -> None:
    """Without those of the loopback, which every container has of its own."""
    text = "127.0.0.1 localhost\n::1 localhost\n10.0.0.7\tbuild build.corp # ours\n\nff02::1 ip6-allnodes\n"
    assert parse_hosts(text) == [("build", "10.0.0.7"), ("build.corp", "10.0.0.7")]


def test_an_update_keeps_the_file(tmp_path: Path) -> None:
    """A mount shows a file, not a name: the new text is in the same file, and nothing of a longer one."""
    path = tmp_path / "hosts"
    update_file(str(path), "a long line of text\n")
    before = path.stat().st_ino
    update_file(str(path), "short\n")
    assert (path.read_text(), path.stat().st_ino) == ("short\n", before)
    assert path.stat().st_mode & 0o777 == 0o644
