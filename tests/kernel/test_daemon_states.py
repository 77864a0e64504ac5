"""The life of containers as a state machine: no order of requests leads to an illegal state."""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, consumes, invariant, rule, run_state_machine_as_test
from private_labd import Labd

pytestmark = pytest.mark.needs("root")
LEGAL = {"created", "running", "paused", "exited"}


class Life(RuleBasedStateMachine):
    """Containers of `sleep`, which end only when they are made to; `model` is what each must be."""

    labd: ClassVar[Labd]
    containers = Bundle("containers")

    def __init__(self) -> None:
        super().__init__()
        self.model: dict[str, str] = {}
        self.auto_removed: set[str] = set()

    def ask(self, method: str, path: str, body: object = None) -> int:
        """The status of the answer, which is never a 5xx."""
        status, answer = self.labd.request(method, path, body)
        assert status < 500, answer
        return status

    @rule(target=containers, auto_remove=st.booleans())
    def create(self, auto_remove: bool) -> str:
        """A new container is `created`."""
        body = {"Image": "host", "Cmd": ["sleep", "1000"], "HostConfig": {"AutoRemove": auto_remove}}
        status, made = self.labd.request("POST", "/containers/create", body)
        assert status == 201
        self.model[made["Id"]] = "created"
        if auto_remove:
            self.auto_removed.add(made["Id"])
        return str(made["Id"])

    def ended(self, container: str) -> None:
        """Note that the container has ended: with AutoRemove it is gone."""
        if container in self.auto_removed:
            self.model[container] = "gone"
            self.labd.request("POST", f"/containers/{container}/wait?condition=removed")
        else:
            self.model[container] = "exited"

    @rule(container=containers)
    def start(self, container: str) -> None:
        """start is for what does not run."""
        expected = {"created": 204, "exited": 204, "running": 304, "paused": 304, "gone": 404}[self.model[container]]
        assert self.ask("POST", f"/containers/{container}/start") == expected
        if expected == 204:
            self.model[container] = "running"

    @rule(container=containers)
    def kill(self, container: str) -> None:
        """kill is for what runs, paused or not."""
        state = self.model[container]
        expected = {"running": 204, "paused": 204, "gone": 404}.get(state, 409)
        assert self.ask("POST", f"/containers/{container}/kill") == expected
        if expected == 204:
            self.ended(container)

    @rule(container=containers)
    def stop(self, container: str) -> None:
        """stop changes nothing about what does not run."""
        expected = {"running": 204, "paused": 204, "gone": 404}.get(self.model[container], 304)
        assert self.ask("POST", f"/containers/{container}/stop?t=0") == expected
        if expected == 204:
            self.ended(container)

    @rule(container=containers)
    def pause(self, container: str) -> None:
        """pause is for what runs."""
        status = self.ask("POST", f"/containers/{container}/pause")
        assert status == {"running": 204, "gone": 404}.get(self.model[container], 409)
        if status == 204:
            self.model[container] = "paused"

    @rule(container=containers)
    def unpause(self, container: str) -> None:
        """unpause is for what is paused."""
        status = self.ask("POST", f"/containers/{container}/unpause")
        assert status == {"paused": 204, "gone": 404}.get(self.model[container], 409)
        if status == 204:
            self.model[container] = "running"

    @rule(container=containers)
    def exec(self, container: str) -> None:
        """exec is for what runs and is not paused."""
        status = self.ask("POST", f"/containers/{container}/exec", {"Cmd": ["true"]})
        assert status == {"running": 201, "gone": 404}.get(self.model[container], 409)

    @rule(container=containers, force=st.booleans())
    def remove(self, container: str, force: bool) -> None:
        """rm refuses what runs, unless forced."""
        state = self.model[container]
        expected = 404 if state == "gone" else 409 if state in ("running", "paused") and not force else 204
        assert self.ask("DELETE", f"/containers/{container}?force={int(force)}") == expected
        if expected == 204:
            self.model[container] = "gone"

    @rule(gone=consumes(containers))
    def forget(self, gone: str) -> None:
        """Remove the container by force, and forget it."""
        self.ask("DELETE", f"/containers/{gone}?force=1")
        self.model.pop(gone)

    @invariant()
    def daemon_and_model_agree(self) -> None:
        """The list, and nothing but the list, is what the requests made it."""
        rows = self.labd.request("GET", "/containers/json?all=1")[1]
        states = {row["Id"]: row["State"] for row in rows}
        assert set(states.values()) <= LEGAL
        assert states == {container: state for container, state in self.model.items() if state != "gone"}

    def teardown(self) -> None:
        """Remove all containers that are left."""
        for container in self.model:
            self.labd.request("DELETE", f"/containers/{container}?force=1")


def test_no_order_of_requests_leads_to_an_illegal_state(new_labd: Callable[..., Labd]) -> None:
    """Any order of create, start, kill, stop, pause, unpause, exec and rm: each answer and state as expected."""
    Life.labd = new_labd()
    checks = [HealthCheck.too_slow, HealthCheck.data_too_large]
    run_state_machine_as_test(
        Life, settings=settings(max_examples=25, stateful_step_count=25, deadline=None, suppress_health_check=checks)
    )


def test_races_leave_no_half_containers(new_labd: Callable[..., Labd]) -> None:
    """start, kill and rm -f of one container from eight threads at once: no 5xx, and nothing is left."""
    from concurrent.futures import ThreadPoolExecutor

    labd = new_labd()
    for number in range(10):
        name = f"race{number}"
        labd.request("POST", f"/containers/create?name={name}", {"Image": "host", "Cmd": ["sleep", "1000"]})
        requests = [
            ("POST", f"/containers/{name}/{verb}") for verb in ("start", "kill", "start", "stop?t=0", "restart?t=0")
        ]
        requests += [
            ("DELETE", f"/containers/{name}?force=1"),
            ("GET", f"/containers/{name}/json"),
            ("GET", "/containers/json"),
        ]
        with ThreadPoolExecutor(8) as pool:
            statuses = [status for status, _ in pool.map(lambda ask: labd.request(*ask), requests * 2)]
        assert max(statuses) < 500
        labd.request("DELETE", f"/containers/{name}?force=1")
    assert labd.request("GET", "/containers/json?all=1") == (200, [])
    assert not list((labd.state / "labd" / "containers").iterdir())
