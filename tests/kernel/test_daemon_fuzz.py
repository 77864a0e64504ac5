"""schemathesis: requests made from the daemon's own OpenAPI description, over the UNIX socket.

LAB_FUZZ_CASES sets the number of cases for each operation; `make stress` asks for 10,000 in all.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
from private_labd import Labd, UnixConnection

pytestmark = [pytest.mark.needs("root", "schemathesis"), pytest.mark.filterwarnings("ignore::DeprecationWarning")]
CASES = int(os.environ.get("LAB_FUZZ_CASES", "20"))


def send(labd: Labd, case: Any) -> int:
    """The status of the answer; the body of a stream is not waited for."""
    import requests

    made: Any = requests.Request(**case.as_transport_kwargs(base_url="http://labd")).prepare()
    connection = UnixConnection(labd.socket, timeout=20)
    try:
        connection.request(made.method, made.path_url, made.body, {str(k): v for k, v in made.headers.items()})
        with connection.getresponse() as response:
            return response.status
    finally:
        connection.close()


def test_no_request_that_the_description_allows_is_a_5xx(new_labd: Callable[..., Labd]) -> None:
    """Every operation, with values of the right and of the wrong kind, on no container and on a real one: 0 5xx."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import strategies as st
    from schemathesis.core.result import Ok

    labd = new_labd()
    description = labd.request("GET", "/openapi.json")[1]
    found = list(schemathesis.openapi.from_dict(description).get_all_operations())
    operations = [one.ok() for one in found if isinstance(one, Ok)]
    assert len(operations) == len(found) > 40
    served = 0

    def check(operation: Any) -> None:
        @settings(
            max_examples=CASES, deadline=None, phases=[Phase.generate], database=None,
            suppress_health_check=list(HealthCheck),
        )  # fmt: skip
        @given(case=operation.as_strategy(), real=st.booleans())
        def one(case: Any, real: bool) -> None:
            nonlocal served
            if real and "reference" in case.path_parameters:
                case.path_parameters["reference"] = "real"
                labd.request("POST", "/containers/create?name=real", {"Image": "host", "Cmd": ["true"]})
            status = send(labd, case)
            assert status < 500 or status == 501, (status, case.as_curl_command())
            served += 1

        one()

    for operation in operations:
        check(operation)
    assert served >= CASES * len(operations) * 0.5
    assert "Traceback" not in labd.log.read_text()
    assert labd.request("GET", "/_ping") == (200, "OK")
