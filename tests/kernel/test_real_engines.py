"""The real podman, docker and auditd in the same stories: the same verdicts, and each adapter proven able to fail."""

from __future__ import annotations

import json
import os
import pwd
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from private_labd import Labd
from support import CHECKOUT, Podmanish, own_mounts

from scenarios.performance.beats import FAILED, HELD
from scenarios.performance.performance import Performance
from scenarios.props import real_daemons as daemons
from scenarios.props.auditd import Auditd
from scenarios.props.labd import Daemon
from scenarios.props.real_engines import REAL, Choice, pack, with_image
from scenarios.safety.journal import Journal
from scenarios.stage.engines import DAEMON, FORK, Engine, Model
from scenarios.stage.login import Login
from scenarios.stage.report import Report
from scenarios.stage.stage import Stage, Story
from scenarios.stories import (
    crash,
    forge,
    frameup,
    inherit,
    launder,
    mirror,
    run,
    shadow,
    unattended,
    variants,
    witness,
)

pytestmark = pytest.mark.needs("root", "audit", "sudo", "setpriv", "podman", "docker", "auditd", "ausearch")

USER = 3267
CLEAR = (
    'import os, sys; os.write(os.open("/proc/self/loginuid", 1), b"4294967295"); os.execvp(sys.argv[1], sys.argv[1:])'
)
COMPARED = [run, shadow, inherit, frameup, forge, launder, unattended, mirror, crash]


def manage(verb: str) -> None:
    """Start or end the real daemons."""
    subprocess.run([sys.executable, "-m", "scenarios.props.real_daemons", verb], cwd=CHECKOUT, check=True, timeout=120)


@pytest.fixture(scope="module", autouse=True)
def machine() -> Iterator[None]:
    """A machine with dockerd and auditd, for the length of these tests."""
    if daemons.settings():
        yield
        return
    manage("up")
    yield
    manage("down")
    assert not daemons.DIRECTORY.exists()
    assert own_mounts(daemons.DIRECTORY) == []


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A directory as open as /etc: it is the file's own mode that must refuse."""
    with tempfile.TemporaryDirectory(prefix="lab-", dir="/run") as path:
        Path(path).chmod(0o755)
        Path(path, "shadow").touch(mode=0o640)
        yield Path(path)


@pytest.fixture(scope="module")
def journal(place: Path, machine: None) -> Iterator[Journal]:
    """A journal for the module's stages."""
    with Journal(place) as journal:
        yield journal


@pytest.fixture(scope="module")
def engines(journal: Journal) -> dict[str, Engine]:
    """By name, with the lab's image in them."""
    return {engine.name: with_image(engine, journal) for engine in Choice(list(REAL)).find({})}


@contextmanager
def stage(place: Path, journal: Journal, chosen: list[Engine], uid: int = USER) -> Iterator[Stage]:
    """A stage that compares these; the lab's own engines stand by."""
    scripts = Path(sys.executable).parent
    with Daemon(journal, str(place / "labd.sock"), str(place / "state")) as daemon, Login(uid) as login:
        own: dict[Model, Engine] = {
            FORK: Engine("podmanish", FORK, [str(scripts / "podmanish"), "--root", str(place / "fork")]),
            DAEMON: Engine("dockerish", DAEMON, [str(scripts / "dockerish"), "--host", f"unix://{daemon.path}"]),
        }
        yield Stage(Performance([]), journal, login, daemon, own, str(place / "shadow"), chosen)


def failed(report: Report) -> list[str]:
    """The claims that failed."""
    return [claim.claim for claim in report.claims if claim.verdict == FAILED]


@pytest.mark.parametrize("story", COMPARED, ids=lambda story: story.NAME)
def test_the_real_engines_are_no_different(
    story: Story, place: Path, journal: Journal, engines: dict[str, Engine]
) -> None:
    """Every claim holds for podman and docker, too, and auditd's log agrees with the lab's reader."""
    with stage(place, journal, list(engines.values())) as here:
        assert here.auditd
        report = here.tell(1, story)
    assert report.verdict == HELD, report.claims
    watched = story in (shadow, frameup, forge, launder, mirror)
    assert watched == ("auditd's log agrees" in {claim.claim for claim in report.claims})


def test_the_real_engines_witnesses_agree(place: Path, journal: Journal, engines: dict[str, Engine]) -> None:
    """/proc, the record, journald and auditd's log; logind, which knows no session of the lab's, may be lacking."""
    with stage(place, journal, list(engines.values())) as here:
        report = here.tell(1, witness)
        session = here.login.sessionid
    assert not failed(report), report.claims
    assert all(claim.lacking for claim in report.claims if claim.verdict != HELD), report.claims
    held = {claim.claim for claim in report.claims if claim.verdict == HELD}
    assert {
        "podman: 4 witnesses, one answer",
        "docker: 4 witnesses, one answer",
        f"in auditd's log, session {session} has the forked write alone",
    } <= held


def test_a_search_in_every_session_is_found_out(place: Path, journal: Journal, engines: dict[str, Engine]) -> None:
    """Mutant: an ausearch that does not look at the session finds docker's write, too."""
    with stage(place, journal, list(engines.values())) as here:
        assert here.auditd
        heedless = 'ausearch -if "$0" $(echo "$*" | sed "s/--session [0-9]*//")'
        here.auditd = Auditd(here.auditd.log, ["sh", "-c", heedless, str(here.auditd.log)])
        report = here.tell(1, witness)
    assert len(failed(report)) == 1 and "has the forked write alone" in failed(report)[0], report.claims


@pytest.mark.parametrize("story", [run, shadow, inherit, frameup, forge, launder], ids=lambda story: story.NAME)
def test_podman_without_the_loginuid_is_found_out(
    story: Story, place: Path, journal: Journal, engines: dict[str, Engine]
) -> None:
    """Mutant: podman forks, but something before it cleared the loginuid."""
    podman = engines["podman"]
    with stage(place, journal, [replace(podman, argv=[sys.executable, "-c", CLEAR, *podman.argv])]) as here:
        assert failed(here.tell(1, story))


@pytest.mark.parametrize("story", [run, shadow, inherit, frameup, forge], ids=lambda story: story.NAME)
def test_a_docker_that_forks_is_found_out(
    story: Story, place: Path, journal: Journal, engines: dict[str, Engine]
) -> None:
    """Mutant: `docker` is podman under another name."""
    impostor = replace(engines["podman"], name="docker", model=DAEMON)
    with stage(place, journal, [impostor]) as here:
        assert failed(here.tell(1, story))


def test_an_auditd_that_names_somebody_else_is_found_out(
    place: Path, journal: Journal, engines: dict[str, Engine]
) -> None:
    """Mutant: an audit log in which the user's auid was replaced."""
    with stage(place, journal, [engines["podman"]]) as here:
        assert here.auditd
        forging = 'ausearch -if "$0" "$@" | sed s/auid=3267/auid=1000/'
        here.auditd = Auditd(here.auditd.log, ["sh", "-c", forging, str(here.auditd.log)])
        report = here.tell(1, shadow)
    assert failed(report) == ["auditd's log agrees"]
    assert "auditd says auid=1000" in report.claims[-1].seen + report.claims[-2].seen


def test_an_auditd_that_names_its_host_is_understood(place: Path, journal: Journal, engines: dict[str, Engine]) -> None:
    """With name_format = hostname, as where logs are collected, each line begins with node=; auditd.conf(5)."""
    with stage(place, journal, [engines["docker"]]) as here:
        assert here.auditd
        naming = 'ausearch -if "$0" "$@" | sed "s/^type=/node=lab &/"'
        here.auditd = Auditd(here.auditd.log, ["sh", "-c", naming, str(here.auditd.log)])
        assert not failed(here.tell(1, shadow))


@pytest.mark.parametrize("name", REAL)
def test_a_killed_run_leaves_neither_image_nor_container(name: str, tmp_path: Path) -> None:
    """What a run had imported, and what it had started from it, the next run takes away."""
    with Journal(tmp_path) as killed:
        (found,) = Choice([name]).find({})
        engine = with_image(found, killed)
        subprocess.run(
            engine.command("run", "-d", engine.image, "sleep", "600"), check=True, capture_output=True, timeout=60
        )
        killed.keep()
    with Journal(tmp_path) as journal:
        assert any(engine.image in line for line in journal.restored)
    for words in (("ps", "-aq", "--filter", f"ancestor={engine.image}"), ("images", "-q", engine.image)):
        said = subprocess.run(engine.command(*words), capture_output=True, text=True, check=True, timeout=60)
        assert said.stdout == ""


def test_an_image_goes_though_podmans_settings_went_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where CONTAINERS_CONF named a file that is no more, `lab restore` still finds and removes the image."""
    settings = tmp_path / "containers.conf"
    settings.write_text("[containers]\n")
    monkeypatch.setenv("CONTAINERS_CONF", str(settings))
    with Journal(tmp_path) as journal:
        (podman,) = Choice(["podman"]).find({})
        words = podman.command("import", "-", image := "loginuid-lab/host:gone")
        journal.note("image", argv=podman.command(), image=image)
        with tempfile.TemporaryFile() as tar:
            pack(tar)
            tar.seek(0)
            subprocess.run(words, stdin=tar, check=True, capture_output=True, timeout=60)
        settings.unlink()
    monkeypatch.delenv("CONTAINERS_CONF")
    assert subprocess.run(["podman", "images", "-q", image], capture_output=True, check=True, timeout=60).stdout == b""


def test_images_travel_both_ways(engines: dict[str, Engine], podmanish: Podmanish, labd: Labd, tmp_path: Path) -> None:
    """What dockerd saves runs in both engines without a registry, with dockerd's id; what they save dockerd loads."""
    docker, saved = engines["docker"], tmp_path / "saved.tar"

    def real(*words: str) -> str:
        done = subprocess.run(docker.command(*words), capture_output=True, text=True, check=True, timeout=60)
        return done.stdout.strip()

    container = real("create", docker.image, "true")
    words = ("-c", 'CMD ["cat","/tmp/in"]', "-c", "ENV A=b", "-c", "LABEL l=x")
    (tmp_path / "in").write_text("from dockerd")
    real("cp", str(tmp_path / "in"), f"{container}:/tmp/in")
    made = real("commit", *words, container, "loginuid-lab/travels:1")
    try:
        real("save", "-o", str(saved), "loginuid-lab/travels:1")
        for engine in (podmanish, labd.dockerish, labd.docker):
            done = engine("load", "-i", str(saved))
            assert done.stdout.decode().strip() == "Loaded image: loginuid-lab/travels:1", done.stderr
            assert engine("run", "--rm", "loginuid-lab/travels:1").stdout == b"from dockerd"
            found = json.loads(engine("image", "inspect", "loginuid-lab/travels:1").stdout)[0]
            assert (found["Id"], found["Config"]["Labels"]) == (made, {"l": "x"})
            assert len(found["RootFS"]["Layers"]) == 2
        real("rm", container)
        assert f"Deleted: {made}" in real("rmi", "loginuid-lab/travels:1")
        assert podmanish("save", "-o", str(saved), "loginuid-lab/travels:1").returncode == 0
        assert real("load", "-i", str(saved)) == "Loaded image: loginuid-lab/travels:1"
        assert real("inspect", "-f", "{{.Id}}", "loginuid-lab/travels:1") == made
    finally:
        real("rmi", "-f", "loginuid-lab/travels:1")
        labd.docker("rmi", "-f", made)


@pytest.fixture
def user() -> Iterator[pwd.struct_passwd]:
    """A user with a name, whom rootless podman needs."""
    name = f"labtest{os.getpid()}"
    subprocess.run(["useradd", "--no-create-home", name], check=True)
    yield pwd.getpwnam(name)
    subprocess.run(["userdel", "--force", name], check=True, capture_output=True)


@pytest.mark.needs("ps", "systemd-socket-activate", "open-checkout")  # podman enters its working directory as the user
def test_the_variants_hand_down_what_their_parents_have(
    place: Path, user: pwd.struct_passwd, engines: dict[str, Engine]
) -> None:
    """Rootless podman keeps the user; a service, a group's socket and exec do not. No process of the user's is left."""
    with Journal(place / "variants") as journal, stage(place, journal, list(engines.values()), user.pw_uid) as here:
        report = here.tell(1, variants)
    shown = [claim.claim for claim in report.claims if claim.verdict == HELD]
    assert len(shown) >= 5 and not failed(report), report.claims
    assert subprocess.run(["pgrep", "-u", str(user.pw_uid), "-r", "S,R,D"], check=False, timeout=60).returncode == 1
