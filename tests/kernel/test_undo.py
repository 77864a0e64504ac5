"""`lab restore` acts as root on a journal, and changes nothing but what the lab has made."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from support import CHECKOUT, own_mounts, soon

from lab.audit.netlink import LOGINUID_IMMUTABLE, AuditControl
from lab.audit.rules import watch as rule
from lab.errors import MissingFeature
from lab.identity import UNSET, open_session, sessionid
from lab.pidfd import ended, start_time
from scenarios.props.immutable import immutable
from scenarios.safety import guest, processes, sessions, undo
from scenarios.safety.journal import Journal

pytestmark = pytest.mark.needs("root", "setpriv")
USER = 65534
LAB = str(Path(sys.executable).parent / "lab")


@pytest.fixture
def roots_daemon() -> Iterator[subprocess.Popen[bytes]]:
    """A process of root that must survive."""
    with subprocess.Popen(["sleep", "600"]) as process:
        yield process
        alive = process.poll() is None
        process.kill()
        assert alive, "root's process was killed"


@pytest.fixture
def home(short_place: Path) -> Path:
    """A story's directory that is the user's."""
    short_place.chmod(0o755)
    path = short_place / "variants-0"
    (path / "libpod/tmp").mkdir(parents=True)
    for folder in (path, path / "libpod", path / "libpod/tmp"):
        os.chown(folder, USER, USER)
    return path


def restored(place: Path, *entries: object) -> list[str]:
    """What restoring these lines says; raw text stands as it is. Afterwards nothing is left to restore."""
    lines = [entry if isinstance(entry, str) else json.dumps(entry) for entry in entries]
    (place / "journal").write_text("".join(f"{line}\n" for line in lines))
    with Journal(place) as journal:
        said = journal.restored
    with Journal(place) as journal:
        assert journal.restored == journal.failed == []
    return said


def users(path: Path, text: str) -> None:
    """Write a file that the user owns."""
    path.write_text(text)
    os.chown(path, USER, USER)


def symlink(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file is a symlink to a file of root's."""
    pause.symlink_to(pidfile)


def symlinked_folder(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file's directory is a symlink."""
    pidfile.with_name("pause.pid").write_text(str(pid))
    pause.parent.rmdir()
    pause.parent.symlink_to(pidfile.parent)


def hard_link(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file is a hard link to a file of root's."""
    os.link(pidfile, pause)


def roots_pid(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file holds the pid of root's process."""
    users(pause, str(pid))


def fifo(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file is a FIFO, which would block its reader."""
    os.mkfifo(pause)
    os.chown(pause, USER, USER)


def garbage(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file holds no pid."""
    users(pause, "-1")


def pid_one(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file holds the pid of init."""
    users(pause, "1")


def large(pause: Path, pidfile: Path, pid: int) -> None:
    """The pause file holds a number that no pid has."""
    users(pause, "9" * 30)


@pytest.mark.parametrize("swap", [symlink, symlinked_folder, hard_link, roots_pid, fifo, garbage, pid_one, large])
def test_a_users_pause_file_leads_to_no_process_of_roots(
    home: Path, roots_daemon: subprocess.Popen[bytes], swap: Callable[[Path, Path, int], None]
) -> None:
    """Whatever the user has put where podman keeps its pid: root's process lives, and restoring goes on and ends."""
    pidfile = home.parent / "roots.pid"
    pidfile.write_text(str(roots_daemon.pid))
    pause = home / "libpod/tmp/pause.pid"
    swap(pause, pidfile, roots_daemon.pid)
    (said,) = restored(home.parent, {"kind": "pause", "path": str(pause), "uid": USER})
    assert said.startswith("nothing for line 1")


def test_without_a_uid_no_process_is_ended(home: Path, roots_daemon: subprocess.Popen[bytes]) -> None:
    """Without a uid in the journal, or with root's, no process is ended."""
    pause = home / "libpod/tmp/pause.pid"
    pause.write_text(str(roots_daemon.pid))
    for entry in ({"kind": "pause", "path": str(pause)}, {"kind": "pause", "path": str(pause), "uid": 0}):
        assert restored(home.parent, entry)[0].startswith("nothing for line 1")


def test_the_users_own_pause_process_is_ended(home: Path) -> None:
    """The pause process that podman left for the user is ended."""
    with subprocess.Popen(["setpriv", f"--reuid={USER}", f"--regid={USER}", "--clear-groups", "sleep", "600"]) as own:
        users(home / "libpod/tmp/pause.pid", f"{own.pid}\n")
        while f"Uid:\t{USER}" not in Path(f"/proc/{own.pid}/status").read_text():
            pass
        entry = {"kind": "pause", "path": str(home / "libpod/tmp/pause.pid"), "uid": USER}
        assert restored(home.parent, entry)[0].startswith("pause: ")
        assert ended(os.pidfd_open(own.pid), 10)


HOSTILE = [
    "}", "{}", "[]}", "garbage}", "[" * 100_000 + "}", '{"kind": 5}', '{"kind": "nonesuch"}', '{"kind": ["process"]}',
    *({"kind": "directory", "path": path} for path in
      ("", "/", ".", "lab", "../etc", "/etc", "/run", "/run/lab", "/run/lab/", "/run/lab/.", "/run/lab/../../tmp",
       "/var/lib/lab", "/var/lib/lab/images", "/run/labs/x", "/run/lab\0/x", 5, None, ["/run/lab"])),
    *({"kind": "process", "pid": pid, "start_time": start} for pid, start in
      ((0, 0), (1, 0), (-1, 5), (2**40, 5), ("1", 5), (True, 5), (7, None))),
    *({"kind": "cgroup", "path": path} for path in
      ("", "/", "/sys/fs/cgroup", "/sys/fs/cgroup/system.slice", "/sys/fs/cgroup/systemd-x/../y", 5)),
    *({"kind": "unit", "path": path} for path in
      ("", "/etc/passwd", "/run/systemd/system/ssh.service", "/run/systemd/system/../lab-x", 5)),
    *({"kind": "network", "name": name} for name in ("", "eth0", "lab-../x", "lab-0; id", 5)),
    *({"kind": "image", "argv": argv, "image": "loginuid-lab/host:0"} for argv in
      ([], ["touch", "/tmp/lab-hostile"], ["sh", "-c", "touch /tmp/lab-hostile", "docker"], ["/tmp/docker"], "docker",
       ["env", "PATH=/tmp", "docker"], [5, "docker"], None)),
    *({"kind": "session", "session": number, "start_time": 5} for number in (0, -1, 2**40, "5", True, None)),
    *({"kind": "session", "session": 5, "start_time": number} for number in (-1, "5", True, None)),
    {"kind": "image", "argv": ["docker"], "image": "alpine"},
    {"kind": "audit-rule", "packed": ""}, {"kind": "audit-rule", "packed": "00" * 1056}, {"kind": "audit-rule"},
    {"kind": "audit-enabled", "was": 2, "auditd": 0}, {"kind": "audit-enabled", "was": "0", "auditd": 0},
]  # fmt: skip


def test_hostile_lines_are_told_and_nothing_is_done(short_place: Path, roots_daemon: subprocess.Popen[bytes]) -> None:
    """Each hostile line is reported once; the good lines are restored; no mount, file or process is gone."""
    mounts, run_lab = own_mounts(Path("/")), Path("/run/lab").exists()
    (short_place / "before").mkdir()
    (short_place / "after").mkdir()
    first, last = ({"kind": "directory", "path": str(short_place / name)} for name in ("before", "after"))
    said = restored(short_place, first, *HOSTILE, last)
    assert len([line for line in said if line.startswith("nothing for line ")]) == len(HOSTILE)
    assert [line for line in said if not line.startswith("nothing for line ")] == [
        f"directory: path={short_place}/after", f"directory: path={short_place}/before"
    ]  # fmt: skip
    assert sorted(path.name for path in short_place.iterdir()) == ["stage.lock"]
    assert own_mounts(Path("/")) == mounts
    assert Path("/run/lab").exists() == run_lab and not Path("/tmp/lab-hostile").exists()


def test_a_directory_behind_a_symlink_stays(short_place: Path, tmp_path: Path) -> None:
    """Neither through a symlink on the way, nor as a symlink itself, is another directory removed."""
    (tmp_path / "precious/inner").mkdir(parents=True)
    (short_place / "way").symlink_to(tmp_path / "precious")
    said = restored(
        short_place,
        {"kind": "directory", "path": str(short_place / "way/inner")},
        {"kind": "directory", "path": str(short_place / "way")},
    )
    assert len(said) == 2
    assert (tmp_path / "precious/inner").exists()


def test_a_mount_is_taken_off_whatever_its_name(short_place: Path) -> None:
    """mountinfo escapes a space in a path; a directory with a mount in it goes with the mount."""
    point = short_place / "engine-0/a b"
    point.mkdir(parents=True)
    subprocess.run(["mount", "-t", "tmpfs", "lab-test", point], check=True)
    restored(short_place, {"kind": "directory", "path": str(short_place / "engine-0")})
    assert own_mounts(short_place) == []
    assert not (short_place / "engine-0").exists()


def test_a_last_line_cut_short_is_no_change(short_place: Path) -> None:
    """A last line that is cut short is ignored: its change had not been made. Every other line is restored."""
    (short_place / "made").mkdir()
    entry = json.dumps({"kind": "directory", "path": str(short_place / "made")})
    (short_place / "journal").write_text(f'{entry}\n{{"kind": "dire')
    with Journal(short_place) as journal:
        assert journal.restored == [f"directory: path={short_place}/made"]


@pytest.fixture
def network() -> Iterator[str]:
    """The name of a network namespace behind a veth pair, as a story makes it."""
    name = f"lab-{os.urandom(3).hex()}"
    for words in (
        ["netns", "add", name],
        ["link", "add", f"{name}-h", "type", "veth", "peer", "name", "eth0", "netns", name],
    ):
        subprocess.run(["ip", *words], check=True, timeout=60)
    yield name
    subprocess.run(["ip", "netns", "delete", name], capture_output=True, check=False, timeout=60)


def in_a_session(writer: int) -> None:
    """In a child: begin an audit session, as a login does, and write its number."""
    open_session(UNSET)
    open_session(USER)
    os.write(writer, str(sessionid()).encode())


def test_what_a_session_left_in_the_background_is_ended(
    short_place: Path, roots_daemon: subprocess.Popen[bytes]
) -> None:
    """Processes of the session are ended wherever they are, also those that ignore SIGTERM; no others are.

    A session with a process older than the noted login is another's: a damaged line ends nobody's work.
    """
    reader, writer = os.pipe()
    starter = "trap '' TERM HUP; setsid sh -c 'echo $$; exec sleep 600' & wait $!"
    with subprocess.Popen(
        ["sh", "-c", starter], stdout=subprocess.PIPE, preexec_fn=lambda: in_a_session(writer)
    ) as shell:
        assert shell.stdout
        pidfd = os.pidfd_open(int(shell.stdout.readline()))
        session, began = int(os.read(reader, 20)), start_time(shell.pid)
        entry = {"kind": "session", "session": session, "start_time": began}
        told = restored(short_place, {**entry, "start_time": began + 1})
        assert ["is a session that the lab did not open" in line for line in told] == [True]
        assert not ended(pidfd, 0)
        assert restored(short_place, entry) == [f"session: session={session} start_time={began}"]
        assert ended(pidfd, 0) and shell.wait(10)
    for fd in (reader, writer, pidfd):
        os.close(fd)


@pytest.mark.parametrize("session", [0, -1, UNSET, 2**40])
def test_what_is_no_session_is_never_ended(monkeypatch: pytest.MonkeyPatch, session: int) -> None:
    """(uid_t)-1 is the session of every process that no login started: to end that one would end the machine."""
    monkeypatch.setattr(sessions, "_send", lambda *words: pytest.fail("a signal was sent"))
    with pytest.raises(ValueError, match="cannot be a session"):
        sessions.end_session(session, 0)


def test_no_process_ends_its_own_session(short_place: Path) -> None:
    """A journal that names the session in which `lab restore` runs is told, and nobody is logged out."""
    code = f"""
import json, sys; sys.path.insert(0, {str(CHECKOUT)!r})
from pathlib import Path
from lab.identity import UNSET, open_session, sessionid
from scenarios.safety.journal import Journal
open_session(UNSET), open_session({USER})
place = Path({str(short_place)!r})
(place / "journal").write_text(json.dumps({{"kind": "session", "session": sessionid(), "start_time": 0}}) + "\\n")
with Journal(place) as journal:
    print(*journal.restored)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert "cannot be a session that the lab opened" in done.stdout


@pytest.mark.needs("ip")
def test_a_network_goes_without_any_program(short_place: Path, network: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """With nothing on PATH the namespace and both ends of its veth pair are removed; a second time does nothing."""
    monkeypatch.setenv("PATH", "")
    assert restored(short_place, {"kind": "network", "name": network}) == [f"network: name={network}"]
    assert not Path("/run/netns", network).exists() and not Path(f"/sys/class/net/{network}-h").exists()
    assert restored(short_place, {"kind": "network", "name": network}) == []


@pytest.mark.needs("audit")
def test_what_was_gone_already_is_not_told_as_restored(short_place: Path) -> None:
    """Each kind of change, where nothing of the change is left: listed as gone, and nothing as restored or failed."""
    with subprocess.Popen(["true"]) as ended_process:
        process = {"kind": "process", "pid": ended_process.pid, "start_time": start_time(ended_process.pid)}
    with AuditControl() as control:
        enabled = {"kind": "audit-enabled", "was": control.status().enabled, "auditd": control.status().pid}
    entries: list[dict[str, Any]] = [
        process,
        enabled,
        {"kind": "audit-rule", "packed": rule("/etc/passwd").with_key("lab-gone").pack().hex()},
        {"kind": "directory", "path": f"{short_place}/gone"},
        {"kind": "cgroup", "path": "/sys/fs/cgroup/systemd-gone"},
        {"kind": "network", "name": "lab-0"},
        {"kind": "unit", "path": "/run/systemd/system/lab-gone.service"},
        {"kind": "pause", "path": f"{short_place}/gone/pause.pid", "uid": USER},
    ]
    (short_place / "journal").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    with Journal(short_place) as journal:
        assert journal.restored == journal.failed == []
        assert [line.partition(":")[0] for line in journal.gone] == [entry["kind"] for entry in reversed(entries)]


@pytest.mark.needs("audit")
def test_lab_restore_tells_the_two_apart() -> None:
    """`lab restore` counts what it has restored, and names what was gone already."""
    with Journal() as journal:
        there = journal.directory("there")
        journal.note("directory", path="/run/lab/gone")
        journal.keep()
    done = subprocess.run([LAB, "restore"], capture_output=True, text=True, check=True, timeout=60)
    lines = [line for line in done.stdout.splitlines() if not line.startswith("unmounted")]
    assert lines == [
        f"restored: directory: path={there}", "was gone already: directory: path=/run/lab/gone", "1 things restored"
    ]  # fmt: skip


@pytest.mark.needs("ip")
def test_what_cannot_be_undone_now_is_undone_later(
    short_place: Path, network: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network that a process is still in stays in the journal and is reported; the rest is restored."""
    monkeypatch.setattr(undo, "NETWORK_SECONDS", 1)
    (short_place / "made").mkdir()
    entries = ({"kind": "network", "name": network}, {"kind": "directory", "path": str(short_place / "made")})
    (short_place / "journal").write_text("".join(f"{json.dumps(entry)}\n" for entry in entries))
    with subprocess.Popen(["ip", "netns", "exec", network, "sleep", "600"]) as inhabitant:
        while Path(f"/proc/{inhabitant.pid}/comm").read_text() != "sleep\n":
            pass
        with Journal(short_place) as journal:
            journal.keep()
            assert (journal.restored, len(journal.failed)) == ([f"directory: path={short_place}/made"], 1)
        inhabitant.kill()
    with Journal(short_place) as journal:
        # Its last process has ended: the kernel may have removed it before.
        assert journal.restored + journal.gone == [f"network: name={network}"]


@pytest.mark.needs("unshare")
def test_a_storys_directory_needs_nothing_to_be_there() -> None:
    """On a machine where /run/lab is not, as after a boot, a journal kept elsewhere can have directories below it."""
    code = f"""
import sys; sys.path.insert(0, {str(CHECKOUT)!r})
import os
from pathlib import Path
from scenarios.props.immutable import immutable
from scenarios.safety import guest, processes, sessions, undo
from scenarios.safety.journal import Journal
with Journal(Path("/run/elsewhere")) as journal:
    paths = [journal.directory("crash"), journal.directory("variants", owner={USER})]
    print(*((oct(path.stat().st_mode & 0o777), path.stat().st_uid) for path in paths))
print(*(path.exists() for path in paths))
"""
    script = 'mount -t tmpfs lab-test /run && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert done.stdout == f"('0o700', 0) ('0o700', {USER})\nFalse False\n", done.stderr


@pytest.fixture
def labs_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory in the place of the lab's own machine: with its mark, a core_pattern and a cron.d."""
    for name, file in (("LAB_MACHINE", "mark"), ("CORE_PATTERN", "core_pattern"), ("CRON", "cron.d")):
        monkeypatch.setattr(guest, name, tmp_path / file)
    (tmp_path / "mark").touch()
    (tmp_path / "core_pattern").write_text("|/bin/touch /etc/shadow\n")
    (tmp_path / "cron.d").mkdir()
    (tmp_path / "cron.d/lab-0123abcd").touch()
    return tmp_path


def test_what_the_labs_machine_is_changed_in_is_taken_back(
    short_place: Path, labs_machine: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """loginuid_immutable is turned off, the former core_pattern is written, and the story's crontab removed."""
    features = [(LOGINUID_IMMUTABLE, 0)]
    monkeypatch.setattr(AuditControl, "features", lambda self: features[-1])
    monkeypatch.setattr(AuditControl, "set_feature", lambda self, feature, on: features.append((0, 0)))
    core = {"kind": guest.CORE, "was": "core", "now": "|/bin/touch /etc/shadow"}
    crontab = {"kind": guest.CRONTAB, "path": f"{guest.CRON}/lab-0123abcd"}
    said = restored(short_place, core, crontab, {"kind": guest.FEATURE})
    assert said[:2] == ["audit-feature", f"crontab: path={guest.CRON}/lab-0123abcd"] and len(said) == 3, said
    assert features == [(LOGINUID_IMMUTABLE, 0), (0, 0)]
    assert (labs_machine / "core_pattern").read_text() == "core\n"
    assert not list((labs_machine / "cron.d").iterdir())


@pytest.mark.parametrize(
    "entry, told",
    [
        ({"kind": guest.CORE, "was": "core", "now": "another's"}, ""),
        ({"kind": guest.CORE, "was": "a\nb", "now": "|/bin/touch /etc/shadow"}, "is not a pattern"),
        ({"kind": guest.CORE, "now": "|/bin/touch /etc/shadow"}, "is not a pattern"),
        ({"kind": guest.CRONTAB, "path": "/etc/passwd"}, "not a path that the lab gives"),
        ({"kind": guest.CRONTAB, "path": "{cron}/../lab-0123abcd"}, "not a path that the lab gives"),
    ],
)
def test_another_ones_setting_and_crontab_stay(
    entry: dict[str, str], told: str, short_place: Path, labs_machine: Path
) -> None:
    """What somebody has changed since stays, and what the lab cannot have written is told."""
    said = restored(short_place, {name: value.format(cron=guest.CRON) for name, value in entry.items()})
    assert (told in said[0]) if told else said == [], said
    assert (labs_machine / "core_pattern").read_text() == "|/bin/touch /etc/shadow\n"
    assert (labs_machine / "cron.d/lab-0123abcd").exists()


@pytest.mark.needs("audit")
def test_outside_the_labs_machine_nothing_of_a_whole_machine_is_changed(
    short_place: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Neither a story nor a journal sets loginuid_immutable, core_pattern or a crontab on any other machine."""
    monkeypatch.setattr(guest, "LAB_MACHINE", tmp_path / "none")
    monkeypatch.setattr("scenarios.props.immutable.LAB_MACHINE", tmp_path / "none")
    with AuditControl() as control:
        before = control.features()
        with Journal(short_place) as journal, pytest.raises(MissingFeature), immutable(journal):
            pass
        assert control.features() == before
    for kind in (guest.FEATURE, guest.CORE, guest.CRONTAB):
        said = restored(short_place, {"kind": kind, "was": "core", "now": "core", "path": "/etc/cron.d/lab-0123abcd"})
        assert "in its own machine only" in said[0], said


@pytest.mark.parametrize(
    ("script", "wanted"),
    [("exec sleep 60", [signal.SIGKILL]), ("trap 'exit 3' TERM; sleep 60 & wait", [signal.SIGTERM])],
)
def test_no_time_is_lost_on_who_cannot_hear(
    script: str, wanted: list[signal.Signals], monkeypatch: pytest.MonkeyPatch
) -> None:
    """SIGTERM does nothing to a container's first process that has no handler for it: SIGKILL comes at once."""
    sent, send = list[int](), signal.pidfd_send_signal

    def noted(pidfd: int, number: int) -> None:
        sent.append(number)
        send(pidfd, number)

    monkeypatch.setattr(signal, "pidfd_send_signal", noted)
    words = ["unshare", "--fork", "--pid", "--kill-child", "sh", "-c", f"echo; {script}"]
    with subprocess.Popen(words, stdout=subprocess.PIPE) as above:
        assert above.stdout and above.stdout.readline()
        first = int(Path(f"/proc/{above.pid}/task/{above.pid}/children").read_text())
        pidfd = os.pidfd_open(first)
        assert soon(lambda: processes.is_deaf(pidfd) == (wanted == [signal.SIGKILL]))
        processes.end_process(pidfd)
        assert ended(pidfd, 0)
        os.close(pidfd)
    assert sent == wanted
