"""Every field and query parameter of API 1.44 against a real labd: honoured, or a 501 that names it; malformed, a 400.

What is honoured is listed here, each with the test that shows its effect: none is only accepted.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import api_fields as api
import pytest
from private_labd import Labd

from lab.resources import FIELDS as RESOURCES
from lab.runtime.cgroup import MOUNT, available
from lab.runtime.cgroup_limits import CONTROLLERS

pytestmark = pytest.mark.needs("root")
CLI, RUN, STREAMS, LIFE = "test_docker_cli.py", "test_daemon_run.py", "test_daemon_streams.py", "test_daemon_life.py"
OPTIONS, PY, HTTP = "test_daemon_options.py", "test_docker_py.py", "test_daemon_http.py"
LIMITED, VOLUMES, NAMES, IMAGES = "test_resources.py", "test_volumes.py", "test_host_names.py", "test_docker_images.py"
SHARED = "test_namespaces.py"
PROFILE = 'seccomp={"defaultAction": "SCMP_ACT_ALLOW"}'

# field: (a value that asks for something, the test that shows the effect)
HONOURED: dict[str, tuple[Any, str]] = {
    "Hostname": ("h1", f"{CLI}::test_run"),
    "User": ("1:2", f"{CLI}::test_run"),
    "AttachStdin": (True, f"{OPTIONS}::test_inspect_shows_what_was_asked"),
    "AttachStdout": (True, f"{OPTIONS}::test_inspect_shows_what_was_asked"),
    "AttachStderr": (True, f"{OPTIONS}::test_inspect_shows_what_was_asked"),
    "Tty": (True, f"{CLI}::test_a_terminal"),
    "OpenStdin": (True, f"{CLI}::test_piped_stdin"),
    "StdinOnce": (True, f"{CLI}::test_piped_stdin"),
    "Env": (["A=b"], f"{RUN}::test_environment_is_exact"),
    "Cmd": (["true"], f"{RUN}::test_2048_arguments"),
    "Healthcheck": ({"Test": ["CMD", "true"]}, "test_health.py::test_well_and_ill"),
    "Image": ("host", f"{CLI}::test_run"),
    "Volumes": ({"/anonymous": {}}, f"{VOLUMES}::test_anonymous_volumes"),
    "WorkingDir": ("/tmp", f"{CLI}::test_run"),
    "Entrypoint": (["true"], f"{CLI}::test_run"),
    "NetworkDisabled": (True, f"{OPTIONS}::test_network_disabled"),
    "Labels": ({"a": "b"}, f"{CLI}::test_ps_filters"),
    "StopSignal": ("INT", f"{OPTIONS}::test_stop_signal_and_timeout"),
    "StopTimeout": (3, f"{OPTIONS}::test_stop_signal_and_timeout"),
    "HostConfig.Memory": (20 << 20, f"{OPTIONS}::test_a_limit_of_memory"),
    "HostConfig.NanoCpus": (5 * 10**8, f"{OPTIONS}::test_a_limit_of_processor_time"),
    "HostConfig.PidsLimit": (50, f"{OPTIONS}::test_a_limit_of_processes"),
    "HostConfig.MemorySwap": (-1, f"{LIMITED}::test_memory_and_swap"),
    "HostConfig.MemoryReservation": (10 << 20, f"{LIMITED}::test_memory_and_swap"),
    "HostConfig.CpuShares": (512, f"{LIMITED}::test_shares_and_quota"),
    "HostConfig.CpuPeriod": (50_000, f"{LIMITED}::test_shares_and_quota"),
    "HostConfig.CpuQuota": (5_000, f"{LIMITED}::test_shares_and_quota"),
    "HostConfig.CpusetCpus": ("0", f"{LIMITED}::test_a_set_of_processors"),
    "HostConfig.CpusetMems": ("0", f"{LIMITED}::test_a_set_of_processors"),
    "HostConfig.Ulimits": ([{"Name": "nofile", "Soft": 5, "Hard": 5}], f"{LIMITED}::test_ulimits"),
    "HostConfig.Ulimits.Name": ("core", f"{LIMITED}::test_ulimits"),
    "HostConfig.Ulimits.Soft": (4, f"{LIMITED}::test_ulimits"),
    "HostConfig.Ulimits.Hard": (6, f"{LIMITED}::test_ulimits"),
    "HostConfig.OomScoreAdj": (321, f"{LIMITED}::test_oom_score"),
    "HostConfig.GroupAdd": (["4242"], f"{LIMITED}::test_more_groups"),
    "HostConfig.Tmpfs": ({"/t": "size=1m"}, f"{LIMITED}::test_tmpfs"),
    "HostConfig.ShmSize": (1 << 20, f"{LIMITED}::test_shared_memory"),
    "HostConfig.Sysctls": ({"kernel.shmmni": "77"}, f"{LIMITED}::test_settings_of_its_own_namespaces"),
    "Domainname": ("lab.test", f"{LIMITED}::test_a_domain_name"),
    "HostConfig.MemorySwappiness": (0, f"{SHARED}::test_swappiness"),
    "HostConfig.PidMode": ("host", f"{SHARED}::test_the_hosts_namespace_or_a_new_one"),
    "HostConfig.IpcMode": ("container:x", f"{SHARED}::test_ipc_of_another_container"),
    "HostConfig.UTSMode": ("host", f"{SHARED}::test_names_of_the_host"),
    "HostConfig.UsernsMode": ("host", f"{SHARED}::test_the_hosts_user_namespace"),
    "HostConfig.CgroupnsMode": ("private", f"{SHARED}::test_a_private_cgroup_namespace"),
    "HostConfig.CgroupParent": ("/labtest", f"{SHARED}::test_a_cgroup_parent"),
    "HostConfig.Init": (True, f"{CLI}::test_run"),
    "HostConfig.Devices": ([{"PathOnHost": "/dev/null"}], f"{OPTIONS}::test_a_device"),
    "HostConfig.Binds": (["/etc:/x:ro"], f"{CLI}::test_run"),
    "HostConfig.ContainerIDFile": ("/run/id", f"{OPTIONS}::test_inspect_shows_what_was_asked"),
    "HostConfig.LogConfig": ({"Type": "json-file"}, f"{CLI}::test_logs"),
    "HostConfig.NetworkMode": ("none", f"{CLI}::test_run"),
    "HostConfig.RestartPolicy": ({"Name": "always"}, "test_restart_policies.py::test_restarting_is_a_state"),
    "HostConfig.AutoRemove": (True, f"{CLI}::test_run"),
    "HostConfig.Mounts": ([{"Type": "bind", "Source": "/etc", "Target": "/x"}], f"{OPTIONS}::test_mounts"),
    "HostConfig.VolumesFrom": (["walked"], f"{VOLUMES}::test_volumes_from"),
    "HostConfig.ExtraHosts": (["a:1.2.3.4"], f"{NAMES}::test_what_the_request_adds"),
    "HostConfig.Dns": (["1.2.3.4"], f"{NAMES}::test_what_the_request_adds"),
    "HostConfig.DnsSearch": (["a.test"], f"{NAMES}::test_what_the_request_adds"),
    "HostConfig.DnsOptions": (["ndots:2"], f"{NAMES}::test_what_the_request_adds"),
    "HostConfig.ConsoleSize": ([33, 77], f"{STREAMS}::test_a_terminal_has_the_callers_size_and_follows_it"),
    "HostConfig.CapAdd": (["NET_ADMIN"], f"{RUN}::test_both_engines_build_the_same_spec"),
    "HostConfig.CapDrop": (["ALL"], f"{CLI}::test_run"),
    "HostConfig.Privileged": (True, f"{OPTIONS}::test_masked_paths"),
    "HostConfig.ReadonlyRootfs": (True, f"{OPTIONS}::test_a_read_only_root"),
    "HostConfig.SecurityOpt": ([PROFILE], f"{OPTIONS}::test_a_seccomp_profile"),
    "HostConfig.MaskedPaths": (["/etc"], f"{OPTIONS}::test_masked_paths"),
    "HostConfig.ReadonlyPaths": (["/proc/sys"], f"{OPTIONS}::test_masked_paths"),
    "Healthcheck.Test": (["CMD-SHELL", "true"], "test_health.py::test_well_and_ill"),
    "Healthcheck.Interval": (10**9, "test_health.py::test_well_and_ill"),
    "Healthcheck.Timeout": (10**9, "test_health.py::test_a_check_that_hangs"),
    "Healthcheck.Retries": (2, "test_health.py::test_well_and_ill"),
    "Healthcheck.StartPeriod": (10**9, "test_health.py::test_a_start_that_takes_its_time"),
    "Healthcheck.StartInterval": (10**9, "test_health.py::test_a_start_that_takes_its_time"),
    "HostConfig.RestartPolicy.Name": ("always", "test_restart_policies.py::test_restarting_is_a_state"),
    "HostConfig.RestartPolicy.MaximumRetryCount": (2, "test_restart_policies.py::test_a_count_of_tries"),
    "HostConfig.Mounts.Target": ("/y", f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.Source": ("/usr", f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.Type": ("bind", f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.ReadOnly": (True, f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.BindOptions": ({"Propagation": "rprivate"}, f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.BindOptions.ReadOnlyForceRecursive": (True, f"{OPTIONS}::test_mounts"),
    "HostConfig.Mounts.BindOptions.Propagation": ("rprivate", f"{VOLUMES}::test_later_mounts_of_the_host_follow"),
    "HostConfig.Mounts.BindOptions.NonRecursive": (True, f"{VOLUMES}::test_nothing_below"),
    "HostConfig.Mounts.VolumeOptions": ({"NoCopy": True}, f"{VOLUMES}::test_copy_nothing"),
    "HostConfig.Mounts.VolumeOptions.NoCopy": (True, f"{VOLUMES}::test_copy_nothing"),
    "HostConfig.Mounts.TmpfsOptions": ({"Mode": 0o700}, f"{VOLUMES}::test_tmpfs_by_mount"),
    "HostConfig.Mounts.TmpfsOptions.SizeBytes": (4096, f"{VOLUMES}::test_tmpfs_by_mount"),
    "HostConfig.Mounts.TmpfsOptions.Mode": (0o1777, f"{VOLUMES}::test_tmpfs_by_mount"),
    "HostConfig.Devices.PathOnHost": ("/dev/zero", f"{OPTIONS}::test_a_device"),
    "HostConfig.Devices.PathInContainer": ("/dev/x", f"{OPTIONS}::test_a_device"),
    "HostConfig.Devices.CgroupPermissions": ("rwm", f"{OPTIONS}::test_a_device"),
}
LIMITS = {
    f"HostConfig.{field}": next(name for name, keys in CONTROLLERS.items() if key in keys)
    for field, key in RESOURCES.items()
}
UPDATES = {
    "Memory": 64 << 20, "MemorySwap": -1, "MemoryReservation": 10 << 20, "NanoCpus": 5 * 10**8, "CpuShares": 512,
    "CpuPeriod": 50_000, "CpuQuota": 5_000, "CpusetCpus": "0", "CpusetMems": "0", "PidsLimit": 500,
    "RestartPolicy": {"Name": "on-failure", "MaximumRetryCount": 2},
}  # fmt: skip
# Fields in which null, "" or [] is a mistake, not a default.
NO_EMPTY = (
    "Cmd", "Image", "HostConfig.Mounts.Type", "HostConfig.Mounts.Source", "HostConfig.Mounts.Target",
    "HostConfig.Devices.PathOnHost", "HostConfig.Ulimits.Name", "HostConfig.Ulimits.Soft", "HostConfig.Ulimits.Hard",
)  # fmt: skip
BASES: dict[str, dict[str, Any]] = {
    "HostConfig.Mounts": {"Type": "bind", "Source": "/etc", "Target": "/x"},
    "HostConfig.Devices": {"PathOnHost": "/dev/null"},
    "HostConfig.Ulimits": {"Name": "nofile", "Soft": 5, "Hard": 5},
}
BESIDE: dict[str, dict[str, Any]] = {
    "HostConfig.RestartPolicy.MaximumRetryCount": {"Name": "on-failure"},
    "HostConfig.Mounts.VolumeOptions": {"Type": "volume", "Source": "data"},
    "HostConfig.Mounts.TmpfsOptions": {"Type": "tmpfs", "Source": ""},
}
TOGETHER: dict[str, dict[str, Any]] = {"HostConfig.MemorySwap": {"Memory": 64 << 20}}  # what a field needs beside it
CREATE: dict[str, dict[str, str]] = {
    "": api.CONTAINER,
    "HostConfig": api.HOST_CONFIG,
    "Healthcheck": api.HEALTH,
    "HostConfig.RestartPolicy": api.RESTART_POLICY,
    "HostConfig.LogConfig": api.LOG_CONFIG,
    "HostConfig.Mounts": api.MOUNT,
    "HostConfig.Mounts.BindOptions": api.BIND_OPTIONS,
    "HostConfig.Mounts.VolumeOptions": api.VOLUME_OPTIONS,
    "HostConfig.Mounts.TmpfsOptions": api.TMPFS_OPTIONS,
    "HostConfig.Devices": api.DEVICE,
    "HostConfig.Ulimits": api.ULIMIT,
    "NetworkingConfig.EndpointsConfig": api.ENDPOINT,
}
FIELDS = [(f"{where}.{name}".lstrip("."), kind) for where, names in CREATE.items() for name, kind in names.items()]


def request_of(name: str, value: Any) -> dict[str, Any]:
    """A create request that differs from the plainest in one field."""
    where, _, last = name.rpartition(".")
    if where == "NetworkingConfig.EndpointsConfig":
        return {"Image": "host", "Cmd": ["true"], "NetworkingConfig": {"EndpointsConfig": {"default": {last: value}}}}
    found: Any = {last: value, **BESIDE.get(name, {})}
    while where:
        found = {**BASES.get(where, {}), **BESIDE.get(f"{where}.{next(iter(found))}", {}), **found}
        where, _, last = where.rpartition(".")
        found = {last: [found] if f"{where}.{last}".lstrip(".") in BASES else found}
    return {"Image": "host", "Cmd": ["true"], **found}


def create(labd: Labd, body: dict[str, Any]) -> tuple[int, str]:
    """The status and the message of a create request; what was made is removed again."""
    status, answer = labd.request("POST", "/containers/create", body)
    if status == 201:
        assert answer["Warnings"] == []
        assert labd.request("DELETE", f"/containers/{answer['Id']}?v=1")[0] == 204
    return status, answer.get("message", "")


@pytest.mark.parametrize(("name", "kind"), FIELDS, ids=[name for name, _ in FIELDS])
def test_create(labd: Labd, walked: str, name: str, kind: str) -> None:
    """A field of POST /containers/create: its defaults pass, a wish is honoured or refused by name, nonsense is 400."""
    zero, wish, malformed = api.TYPES.get(kind, ([], [1, 2], ["x", "y"]))
    if name not in NO_EMPTY:
        for value in (None, *api.DEFAULTS.get(name, (zero,))):
            assert create(labd, request_of(name, value))[0] == 201, value
    assert create(labd, request_of(name, malformed))[0] == 400
    if name in HONOURED:
        kept = LIMITS.get(name) in (None, *available())
        body = request_of(name, HONOURED[name][0])
        body.get("HostConfig", {}).update(TOGETHER.get(name, {}))
        if name == "HostConfig.MemorySwappiness" and not Path(f"{MOUNT}/memory/memory.swappiness").exists():
            assert create(labd, body)[0] == 501  # cgroup version 2 does not have it
            return
        assert create(labd, body)[0] == (201 if kept else 500)
        return
    for value in api.WISHES.get(name, (wish,)):
        status, message = create(labd, request_of(name, value))
        assert status == 501 and name.replace(".Name", "") in message, (value, message)
        folded = request_of(name.swapcase(), value) if "." not in name else request_of(name, value)
        assert create(labd, folded)[0] == 501


@pytest.mark.parametrize(
    ("name", "value"),
    [("HostConfig.IpcMode", "bogus"), ("HostConfig.PidMode", "bogus"), ("HostConfig.UTSMode", "bogus"),
     ("HostConfig.CgroupnsMode", "bogus"), ("HostConfig.Isolation", "bogus"),
     ("HostConfig.RestartPolicy.Name", "bogus"), ("HostConfig.Mounts.Type", "bogus"), ("HostConfig.Memory", 4096),
     ("HostConfig.Memory", -1), ("HostConfig.NanoCpus", -1), ("HostConfig.CpuShares", 2**63),
     ("HostConfig.Devices.PathOnHost", "/etc/passwd"), ("HostConfig.Devices.CgroupPermissions", "rwx"),
     ("HostConfig.SecurityOpt", ["seccomp={"]), ("HostConfig.ConsoleSize", [1, 2, 3])],
)  # fmt: skip
def test_values_that_docker_does_not_know(labd: Labd, name: str, value: Any) -> None:
    """A word or a number that Docker does not take is a 400."""
    status, message = create(labd, request_of(name, value))
    assert status == 400 and message, message


@pytest.mark.parametrize(("name", "kind"), api.VOLUME_CREATE.items(), ids=api.VOLUME_CREATE)
def test_create_volume(labd: Labd, name: str, kind: str) -> None:
    """docker volume create: defaults pass, a wish is honoured or refused by name, nonsense is a 400."""
    zero, wish, malformed = api.TYPES[kind]
    wish = {"some": "x"} if name == "Labels" else wish
    for value in (None, zero, *(["local"] if name == "Driver" else [])):
        status, made = labd.request("POST", "/volumes/create", {name: value})
        assert status == 201 and labd.request("DELETE", f"/volumes/{made['Name']}")[0] == 204
    assert labd.request("POST", "/volumes/create", {name: malformed})[0] == 400
    status, answer = labd.request("POST", "/volumes/create", {name: wish})
    if name in ("Name", "Labels"):
        assert status == 201 and (answer["Name"] == wish or wish.items() <= answer["Labels"].items())
        assert labd.request("DELETE", f"/volumes/{answer['Name']}")[0] == 204
    else:
        assert status == 501 and name in answer["message"]


@pytest.mark.parametrize(("name", "kind"), api.UPDATE.items(), ids=api.UPDATE)
def test_update(labd: Labd, walked: str, name: str, kind: str) -> None:
    """docker update: a request that changes nothing passes, and a change is made, or refused by name."""
    path = f"/containers/{walked}/update"
    zero, wish, malformed = api.TYPES[kind]
    for value in (None, *api.DEFAULTS.get(name, (zero,))):
        assert labd.request("POST", path, {name: value})[0] == 200, value
    assert labd.request("POST", path, {name: malformed})[0] == 400
    if name in UPDATES:
        change = {**TOGETHER.get(f"HostConfig.{name}", {}), name: UPDATES[name]}
        fresh = labd.request("POST", "/containers/create", {"Image": "host", "Cmd": ["true"]})[1]["Id"]
        assert labd.request("POST", f"/containers/{fresh}/update", change) == (200, {"Warnings": []})
        assert labd.request("GET", f"/containers/{fresh}/json")[1]["HostConfig"][name] == UPDATES[name]
        assert labd.request("DELETE", f"/containers/{fresh}")[0] == 204
        return
    for value in api.WISHES.get(name, (wish,)):
        status, answer = labd.request("POST", path, {name: value})
        assert status == 501 and name in answer["message"], (value, answer)


COMMITTED = {
    "Cmd": ["x"], "Entrypoint": ["x"], "Env": ["A=b"], "WorkingDir": "/w", "User": "7", "Labels": {"a": "b"},
    "StopSignal": "INT", "ExposedPorts": {"80/tcp": {}},
}  # fmt: skip


@pytest.mark.parametrize("name", api.CONTAINER)
def test_commit(labd: Labd, walked: str, name: str) -> None:
    """Every field of a commit's config is honoured, or a 501 that names it; malformed, a 400. See test_commit there."""
    zero, wish, malformed = api.TYPES[api.CONTAINER[name]]
    path = "/commit?container=nobody"
    assert labd.request("POST", path, {name: malformed})[0] == 400
    for value in (None, *(() if name == "StopTimeout" else (zero,)), *([COMMITTED[name]] if name in COMMITTED else ())):
        assert labd.request("POST", path, {name: value})[0] == 404, value
    if name not in COMMITTED:
        status, answer = labd.request("POST", path, {name: wish})
        assert status == 501 and name in answer["message"]


EXEC_HONOURED: dict[str, tuple[Any, str]] = {
    "AttachStdin": (True, f"{CLI}::test_exec"),
    "AttachStdout": (True, f"{CLI}::test_exec"),
    "AttachStderr": (True, f"{CLI}::test_exec"),
    "ConsoleSize": ([33, 77], f"{OPTIONS}::test_the_window_of_an_exec"),
    "DetachKeys": ("ctrl-x", f"{OPTIONS}::test_detach_keys_of_an_exec"),
    "Tty": (True, f"{STREAMS}::test_a_shell_in_a_terminal"),
    "Env": (["A=b"], f"{CLI}::test_exec"),
    "Cmd": (["true"], f"{CLI}::test_exec"),
    "Privileged": (True, f"{OPTIONS}::test_a_privileged_exec"),
    "User": ("1", f"{CLI}::test_exec"),
    "WorkingDir": ("/tmp", f"{CLI}::test_exec"),
}
START_HONOURED: dict[str, tuple[Any, str]] = {
    "Detach": (True, f"{CLI}::test_exec"),
    "Tty": (False, f"{CLI}::test_exec"),
    "ConsoleSize": ([33, 77], f"{OPTIONS}::test_the_window_of_an_exec"),
}


def test_exec(labd: Labd, walked: str) -> None:
    """Every field of the making of an exec is honoured; malformed it is a 400, as are those of its start."""
    assert EXEC_HONOURED.keys() == api.EXEC_CREATE.keys() and START_HONOURED.keys() == api.EXEC_START.keys()
    path = f"/containers/{walked}/exec"
    for name, kind in api.EXEC_CREATE.items():
        malformed = api.TYPES.get(kind, ([], [], ["x"]))[2]
        assert labd.request("POST", path, {"Cmd": ["true"], name: malformed})[0] == 400, name
        status, made = labd.request("POST", path, {"Cmd": ["true"], name: EXEC_HONOURED[name][0]})
        assert status == 201, name
    for name, kind in api.EXEC_START.items():
        malformed = api.TYPES.get(kind, ([], [], ["x"]))[2]
        assert labd.request("POST", f"/exec/{made['Id']}/start", {name: malformed})[0] == 400, name


QUERY_HONOURED: dict[str, dict[str, str]] = {
    "GET /containers/json": {
        **dict.fromkeys(("all", "filters"), f"{CLI}::test_ps_filters"),
        **dict.fromkeys(("limit", "size"), f"{OPTIONS}::test_sizes_are_real"),
    },
    "POST /containers/create": {
        "name": f"{CLI}::test_create_start_attach", "platform": f"{OPTIONS}::test_platforms",
    },
    "GET /containers/{id}/json": {"size": f"{OPTIONS}::test_sizes_are_real"},
    "GET /containers/{id}/top": {"ps_args": f"{CLI}::test_rename_top_stats"},
    "GET /containers/{id}/logs": dict.fromkeys(
        ("follow", "stdout", "stderr", "since", "until", "timestamps", "tail"), f"{CLI}::test_logs"
    ),
    "GET /containers/{id}/stats": dict.fromkeys(("stream", "one-shot"), f"{CLI}::test_rename_top_stats"),
    "POST /containers/{id}/resize": dict.fromkeys("hw", f"{CLI}::test_a_terminal"),
    "POST /containers/{id}/stop": {
        "t": f"{CLI}::test_wait_stop_kill_restart", "signal": f"{OPTIONS}::test_stop_signal_and_timeout",
    },
    "POST /containers/{id}/restart": {
        "t": f"{CLI}::test_wait_stop_kill_restart", "signal": f"{OPTIONS}::test_stop_signal_and_timeout",
    },
    "POST /containers/{id}/kill": {"signal": f"{CLI}::test_wait_stop_kill_restart"},
    "POST /containers/{id}/rename": {"name": f"{CLI}::test_rename_top_stats"},
    "POST /containers/{id}/attach": {
        **dict.fromkeys(("stream", "stdin", "stdout", "stderr"), f"{CLI}::test_create_start_attach"),
        "logs": f"{STREAMS}::test_attach_with_logs_then_live", "detachKeys": f"{OPTIONS}::test_detach_keys_of_attach",
    },
    "POST /containers/{id}/wait": {"condition": f"{CLI}::test_wait_stop_kill_restart"},
    "DELETE /containers/{id}": {"force": f"{CLI}::test_pause_and_unpause", "v": f"{VOLUMES}::test_anonymous_volumes"},
    "GET /volumes": {"filters": f"{VOLUMES}::test_create_ls_inspect_rm"},
    "DELETE /volumes/{name}": {"force": f"{VOLUMES}::test_create_ls_inspect_rm"},
    "POST /volumes/prune": {"filters": f"{VOLUMES}::test_prune_asks"},
    "HEAD /containers/{id}/archive": {"path": f"{CLI}::test_cp_both_ways"},
    "GET /containers/{id}/archive": {"path": f"{CLI}::test_cp_both_ways"},
    "PUT /containers/{id}/archive": {
        **dict.fromkeys(("path", "noOverwriteDirNonDir"), f"{CLI}::test_cp_both_ways"),
        "copyUIDGID": f"{CLI}::test_whose_a_copy_is",
    },
    "POST /containers/prune": {"filters": f"{CLI}::test_ps_filters"},
    "GET /images/json": {
        "filters": f"{OPTIONS}::test_images_filters",
        **dict.fromkeys(("all", "digests", "shared-size"), f"{OPTIONS}::test_nothing_to_spare"),
    },
    "POST /build/prune": dict.fromkeys(("keep-storage", "all", "filters"), f"{OPTIONS}::test_nothing_to_spare"),
    "POST /images/create": {
        **dict.fromkeys(("fromImage", "fromSrc", "repo", "tag"), f"{OPTIONS}::test_images_filters"),
        "platform": f"{OPTIONS}::test_platforms",
        **dict.fromkeys(("changes", "message"), f"{IMAGES}::test_import_with_changes"),
    },
    "POST /images/{name}/tag": dict.fromkeys(("repo", "tag"), f"{IMAGES}::test_names_are_counted"),
    "POST /commit": {
        **dict.fromkeys(("container", "repo", "tag", "comment", "author", "changes"), f"{IMAGES}::test_commit"),
        "pause": f"{IMAGES}::test_a_commit_holds_the_container_still",
    },
    "GET /images/get": {"names": f"{IMAGES}::test_save_and_load"},
    "POST /images/load": {"quiet": f"{IMAGES}::test_save_and_load"},
    "DELETE /images/{name}": {"force": f"{OPTIONS}::test_rmi_force", "noprune": f"{OPTIONS}::test_nothing_to_spare"},
    "POST /images/prune": {"filters": f"{OPTIONS}::test_image_prune"},
    "GET /events": dict.fromkeys(("since", "until", "filters"), f"{CLI}::test_events"),
    "GET /system/df": {"type": f"{OPTIONS}::test_sizes_are_real"},
    "POST /exec/{id}/resize": dict.fromkeys("hw", f"{PY}::test_exec"),
}  # fmt: skip
PARAMETERS = [(route, name) for route, names in api.QUERIES.items() for name in names]


@pytest.mark.parametrize(("route", "name"), PARAMETERS, ids=[f"{route} {name}" for route, name in PARAMETERS])
def test_query(labd: Labd, walked: str, route: str, name: str) -> None:
    """A parameter of a query is read by the handler, or refused with 501, as the whole route may be."""
    if name in QUERY_HONOURED.get(route, {}):
        _check_honoured(labd, walked, route, name)
        return
    method, path = _path(route, walked)
    status, answer = labd.request(method, f"{path}?{name}=1")
    assert status == 501 and answer["message"]
    if route in QUERY_HONOURED:
        assert name in answer["message"]
        for default in ("0", "") if api.QUERIES[route][name] == "boolean" else ("",):
            probe = path.replace(walked, "nobody")  # a request that changes nothing
            assert name not in labd.request(method, f"{probe}?{name}={default}")[1]["message"]


def _check_honoured(labd: Labd, walked: str, route: str, name: str) -> None:
    """A parameter that the handler reads is not refused; a malformed number or filter is a 400."""
    method, path = _path(route, "nobody")
    more = "&until=1" if path == "/events" and name != "until" else ""
    status, answer = labd.request(method, f"{path.replace('/host', '/nobody')}?{name}=1{more}")
    assert status != 501 or f"{name} is not part" not in answer["message"], answer
    if api.QUERIES[route][name] == "integer" or name == "filters":
        _check_malformed(labd, walked, route, name)


def _path(route: str, walked: str) -> tuple[str, str]:
    method, path = route.split()
    return method, path.replace("{id}", walked).replace("{name}", "host")


def _check_malformed(labd: Labd, walked: str, route: str, name: str) -> None:
    method, path = _path(route, walked)
    if "build/prune" in path:  # it has nothing to filter
        return
    wrong = "%7B%22nonsense%22%3A%5B%22x%22%5D%7D" if name == "filters" else "abc"
    query = f"{name}={wrong}" + ("&stdout=1" if path.endswith("/logs") else "")
    path = path.replace(f"/exec/{walked}", "/exec/nobody")
    assert labd.request(method, f"{path}?{query}")[0] in ((400, 404) if "/exec/" in path else (400,))


@pytest.fixture(scope="module")
def walked(labd: Labd) -> Iterator[str]:
    """A running container."""
    body = {"Image": "host", "Cmd": ["sleep", "1000"]}
    labd.request("POST", "/containers/create?name=walked", body)
    labd.request("POST", "/containers/walked/start")
    yield "walked"
    labd.request("DELETE", "/containers/walked?force=1")


def test_nothing_is_only_said_to_be_honoured() -> None:
    """Each field that is called honoured has a test of its effect, and each of daemon.fields is in the API's table."""
    from daemon import fields

    named = [test for table in (HONOURED, EXEC_HONOURED, START_HONOURED) for _, test in table.values()]
    named += [test for table in QUERY_HONOURED.values() for test in table.values()]
    for file, _, test in {tuple(name.partition("::")) for name in named}:
        assert f"\ndef {test}(" in (Path(__file__).parent / file).read_text(), (file, test)
    for table, names in (
        (fields.CONTAINER, {*api.CONTAINER, "HostConfig", "NetworkingConfig"}),
        (fields.HOST, {*api.HOST_CONFIG, "KernelMemory"}),
        (fields.UPDATE, {*api.UPDATE, "KernelMemory"}),
        (fields.HEALTHCHECK, {*api.HEALTH}),
        (fields.RESTART_POLICY, {*api.RESTART_POLICY}),
        (fields.LOG_CONFIG, {*api.LOG_CONFIG}),
        (fields.MOUNT, {*api.MOUNT, "ImageOptions"}),
        (fields.BIND_OPTIONS, {*api.BIND_OPTIONS}),
        (fields.VOLUME_OPTIONS, {*api.VOLUME_OPTIONS}),
        (fields.TMPFS_OPTIONS, {*api.TMPFS_OPTIONS, "Options"}),
        (fields.VOLUME_CREATE, {*api.VOLUME_CREATE}),
        (fields.DEVICE, {*api.DEVICE}),
        (fields.ENDPOINT, {*api.ENDPOINT, "GwPriority"}),
        (fields.COMMIT, {*api.CONTAINER}),
        (fields.EXEC_CREATE, {*api.EXEC_CREATE}),
        (fields.EXEC_START, {*api.EXEC_START}),
    ):
        assert set(table) == names


def test_every_honoured_field_is_read() -> None:
    """What daemon.fields calls honoured is a field of the model that reads it, and the reverse."""
    from daemon import models

    kinds = [kind for kind in vars(models).values() if isinstance(kind, type) and issubclass(kind, models.Body)]
    assert len(kinds) > 10
    for kind in kinds:
        assert {name for name, rule in kind.table.items() if rule is None} == set(kind.model_fields), kind
