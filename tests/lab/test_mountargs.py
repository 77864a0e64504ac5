"""-v, --mount, --volumes-from, --add-host, --dns: what they mean, and what is refused."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from lab import mounting, netfiles
from lab.errors import InvalidArgument, LabError, NotImplementedHere
from lab.images import Image
from lab.mountargs import parse_from, parse_volume
from lab.runargs import RunOptions, parse_run
from lab.spec import Mount


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("/a:/b", "/a:/b"),
        ("/a:/b:ro", "/a:/b:ro"),
        ("/a:/b:rw", "/a:/b"),
        ("/a:/b:ro,z", "/a:/b:ro"),
        ("/:/x/", "/:/x"),
        ("/a:/b:rslave", "/a:/b:rslave"),
        ("/a://b//c", "/a:/b/c"),
        ("/b", "/b"),
        ("data:/x", "data:/x"),
        ("data:/x:nocopy,ro", "data:/x:ro,nocopy"),
    ],
)
def test_volumes(text: str, expected: str) -> None:
    """-v takes [SOURCE:]TARGET[:ro|rw|...]; a source without a slash is a volume's name, none an anonymous volume."""
    assert str(parse_volume(text)) == expected


@pytest.mark.parametrize(
    "text",
    ["", "a", "/a:", "/a:b", "/a:ro", ":/b", "/a:/b:ro:rw", "/a:/b:wx", "/a:/b/../../c", "/a:/", "/", "/a:/.",
     "/a:/b:nocopy", "data:/b:rslave", "d:/x", "a/b:/x", "_a:/x", "../:/\0", "/a:/b:ro,rw", "/a:/b:rslave,rshared",
     "data:/b:nocopy,nocopy"],
)  # fmt: skip
def test_volumes_that_are_none(text: str) -> None:
    """A target is absolute and has no `..`; an unknown option is named."""
    with pytest.raises(InvalidArgument, match='invalid option "wx"' if "wx" in text else "invalid|too short"):
        parse_volume(text)


@pytest.mark.parametrize("word", ["shared", "rshared", "slave"])
def test_no_mount_of_a_container_reaches_the_host(word: str) -> None:
    """Propagation out of a container is refused with a sentence, in both notations."""
    with pytest.raises(NotImplementedHere, match="Propagation"):
        parse_volume(f"/a:/b:{word}")
    with pytest.raises(NotImplementedHere, match="Propagation"):
        parse_run(["--mount", f"type=bind,src=/a,dst=/b,bind-propagation={word}", "host"])


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("type=bind,source=/a,target=/b", "/a:/b"),
        ("type=bind,src=/a,dst=/b,readonly", "/a:/b:ro"),
        ("type=bind,src=/a,destination=/b,ro=1,bind-propagation=rslave", "/a:/b:ro,rslave"),
        ("type=bind,src=/a,dst=/b,readonly=false", "/a:/b"),
        ("type=volume,src=data,dst=/b,volume-nocopy", "data:/b:nocopy"),
        ("src=data,dst=/b", "data:/b"),
        ("dst=/b", "/b"),
        ('type=bind,"src=/a,b",dst=/b', "/a,b:/b"),
    ],
)
def test_mounts(text: str, expected: str) -> None:
    """--mount says in words what -v says in signs; the type is volume if none is given."""
    assert [str(mount) for mount in parse_run(["--mount", text, "host"]).volumes] == [expected]


def test_mounts_that_are_more_than_a_volume() -> None:
    """bind-nonrecursive takes nothing that is mounted below; a tmpfs has a size and a mode."""
    for words in ("bind-nonrecursive", "bind-recursive=disabled"):
        assert not parse_run(["--mount", f"type=bind,src=/a,dst=/b,{words}", "host"]).volumes[0].recursive
    text = "type=tmpfs,dst=/t/,tmpfs-size=64k,tmpfs-mode=1770,ro"
    assert parse_run(["--tmpfs", "/u", "--mount", text, "host"]).tmpfs == {"/u": "", "/t": "ro,size=65536,mode=1770"}


@pytest.mark.parametrize(
    ("text", "error", "named"),
    [
        ("", InvalidArgument, "invalid --mount"),
        ("type=bind", InvalidArgument, "target is required"),
        ("type=bind,dst=/b", InvalidArgument, "Source must not be empty"),
        ("type=bind,src=a,dst=/b", InvalidArgument, "must be absolute"),
        ("type=tmpfs,src=/a,dst=/b", InvalidArgument, "Source must not be specified"),
        ("type=bind,src=/a,dst=/b,volume-nocopy", InvalidArgument, "cannot mix 'volume-*'"),
        ("type=volume,dst=/b,tmpfs-size=1", InvalidArgument, "cannot mix 'tmpfs-*'"),
        ("type=tmpfs,dst=/b,tmpfs-mode=9", InvalidArgument, "tmpfs-mode"),
        ("type=tmpfs,dst=/b,tmpfs-mode=77777", InvalidArgument, "mode"),
        ("type=bogus,dst=/b", InvalidArgument, "mount type unknown"),
        ("type=image,dst=/b", NotImplementedHere, "image"),
        ("type=bind,src=/a,dst=/b,bogus=1", InvalidArgument, "unexpected key 'bogus'"),
        ("type=bind,src=/a,dst=/b,consistency=cached", NotImplementedHere, "consistency"),
        ("type=bind,src=/a,dst=/b,bind-recursive=writable", NotImplementedHere, "bind-recursive"),
        ("dst=/b,volume-driver=nfs", NotImplementedHere, "volume-driver"),
        ("dst=/b,readonly=perhaps", InvalidArgument, "readonly"),
        ("dst", InvalidArgument, "key=value"),
        ("type=tmpfs,dst=/taken/", InvalidArgument, "Duplicate mount point: /taken"),
        ("dst=/b\nsrc=/x", InvalidArgument, "invalid --mount"),
    ],
)
def test_mounts_that_are_none(text: str, error: type[LabError], named: str) -> None:
    """What Docker refuses, too, is an invalid argument; what it accepts is refused by name."""
    with pytest.raises(error) as failure:
        parse_run(["--tmpfs", "/taken", "--mount", text, "host"])
    assert named in failure.value.message


@pytest.mark.parametrize(
    ("text", "expected"), [("box", ("box", None)), ("box:ro", ("box", True)), ("box:rw", ("box", None))]
)
def test_another_containers(text: str, expected: tuple[str, bool | None]) -> None:
    """--volumes-from takes CONTAINER[:ro|rw]."""
    assert parse_from(text) == expected
    for wrong in ("", ":ro", "box:wx", "box:ro:rw"):
        with pytest.raises(InvalidArgument, match="volumes-from"):
            parse_from(wrong)


def settled(*words: str, others: list[Mount] | None = None, declared: Sequence[str] = ()) -> list[str]:
    """All mounts of a request, in which --volumes-from gives these others, and the image declares these volumes."""
    options = parse_run([*words, "host"])
    image = Image("i", "/image", "sha256:0", volumes={path: {} for path in declared})
    mounting.settle(options, image, lambda reference: others or [])
    return [str(mount) for mount in options.volumes]


def test_which_mount_wins() -> None:
    """A mount of the request wins over one of --volumes-from, both over an anonymous volume, a tmpfs over that, too."""
    others = [parse_volume("old:/x"), parse_volume("/etc:/y"), Mount("/c/hosts", "/etc/hosts", kind="file")]
    words = ("--volumes-from", "box", "-v", "/x", "-v", "/z", "-v", "new:/x", "-v", "/t", "--tmpfs", "/t")
    assert settled(*words, others=others) == ["new:/x", "/etc:/y", "/z"]
    assert settled("--volumes-from", "box:ro", others=others) == ["old:/x:ro,nocopy", "/etc:/y:ro"]
    assert settled("-v", "/a:/x", declared=["/x", "/w/"]) == ["/a:/x", "/w"]
    with pytest.raises(InvalidArgument, match="invalid mount target"):
        settled(declared=["/../etc"])


@pytest.mark.parametrize(
    "words",
    [("-v", "/a:/x", "-v", "b0:/x/"), ("-v", "/a:/x", "--tmpfs", "/x"), ("--mount", "src=v1,dst=/x", "-v", "/a:/x")],
)
def test_a_target_has_one_mount(words: tuple[str, ...]) -> None:
    """Two mounts for one target are a mistake."""
    with pytest.raises(InvalidArgument, match="Duplicate mount point: /x"):
        settled(*words)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--add-host", "a:1.2.3.4"], {"add_host": ["a:1.2.3.4"]}),
        (["--add-host", "a=::1"], {"add_host": ["a:::1"]}),
        (["--add-host", "a:[2001:DB8::1]"], {"add_host": ["a:2001:db8::1"]}),
        (["--dns", "9.9.9.9", "--dns-search", "."], {"dns": ["9.9.9.9"], "dns_search": ["."]}),
        (["--dns-option", "ndots:2"], {"dns_option": ["ndots:2"]}),
        ([], {}),
    ],
)
def test_names(options: list[str], expected: dict[str, list[str]]) -> None:
    """Addresses are kept in their usual form."""
    assert netfiles.wishes(parse_run([*options, "host"])) == expected


@pytest.mark.parametrize(
    ("given", "error"),
    [
        ({"extra_hosts": ["a"]}, InvalidArgument),
        ({"extra_hosts": [":1.2.3.4"]}, InvalidArgument),
        ({"extra_hosts": ["a b:1.2.3.4"]}, InvalidArgument),
        ({"extra_hosts": ["a\n6.6.6.6 b:1.2.3.4"]}, InvalidArgument),
        ({"extra_hosts": ["a:1.2.3.4\n6.6.6.6 b"]}, InvalidArgument),
        ({"extra_hosts": ["a:fe80::1%x\ny"]}, InvalidArgument),
        ({"extra_hosts": ["a:1.2.3"]}, InvalidArgument),
        ({"extra_hosts": ["a:host-gateway"]}, NotImplementedHere),
        ({"dns": ["example.org"]}, InvalidArgument),
        ({"dns": ["fe80::1%x\ny"]}, InvalidArgument),
        ({"dns_search": ["a b"]}, InvalidArgument),
        ({"dns_search": [""]}, InvalidArgument),
        ({"dns_options": ["a\nnameserver 6.6.6.6"]}, InvalidArgument),
    ],
)
def test_names_that_are_none(given: dict[str, list[str]], error: type[LabError]) -> None:
    """Nothing writes a second line into the container's files."""
    with pytest.raises(error):
        netfiles.wishes(RunOptions("host", [], **given))  # type: ignore[arg-type]  # one of the lists
