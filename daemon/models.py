"""The bodies of Docker's Engine API, as far as the lab reads them; unknown fields are accepted and left alone.

docker's own decoder (Go's encoding/json) takes `null` for a missing value and ignores the case of names; clients
count on both: docker-py sends `detachKeys` for `DetachKeys`.
"""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator


def _nothing_for_null(empty: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: empty() if value is None else value)


Text = Annotated[StrictStr, _nothing_for_null(str), Field(max_length=1 << 20)]
Flag = Annotated[StrictBool, _nothing_for_null(bool)]
Number = Annotated[StrictInt, _nothing_for_null(int), Field(ge=-(2**63), lt=2**63)]
Word = Annotated[StrictStr, Field(max_length=1 << 21)]
Words = Annotated[list[Word], _nothing_for_null(list)]
LabelMap = Annotated[dict[StrictStr, StrictStr], _nothing_for_null(dict)]
Command = Annotated[list[Word], BeforeValidator(lambda value: [value] if isinstance(value, str) else value or [])]


class Body(BaseModel):
    """Named as in Docker's JSON, in whatever case it comes."""

    model_config = ConfigDict(extra="ignore")

    @model_validator(mode="before")
    @classmethod
    def _fold_case(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = {name.lower(): name for name in cls.model_fields}
        return {names.get(str(key).lower(), key): value for key, value in data.items()}


class Restart(Body):
    Name: Text = ""


class BindMount(Body):
    Type: Text = "bind"
    Source: Text = ""
    Target: Text = ""
    ReadOnly: Flag = False


class Host(Body):
    Binds: Words = Field(default_factory=list)
    Mounts: Annotated[list[BindMount], _nothing_for_null(list)] = Field(default_factory=list)
    NetworkMode: Text = ""
    AutoRemove: Flag = False
    Privileged: Flag = False
    CapAdd: Words = Field(default_factory=list)
    CapDrop: Words = Field(default_factory=list)
    SecurityOpt: Words = Field(default_factory=list)
    Init: Flag = False
    ConsoleSize: Annotated[list[Annotated[StrictInt, Field(ge=0, le=65535)]], _nothing_for_null(list)] = Field(
        default_factory=list, max_length=2
    )
    RestartPolicy: Annotated[Restart, _nothing_for_null(dict)] = Field(default_factory=Restart)


class ContainerCreate(Body):
    """POST /containers/create. Env without "=" removes a variable; Entrypoint [""] removes the image's."""

    Image: Text = ""
    Cmd: Command = Field(default_factory=list)
    Entrypoint: Annotated[
        list[Word] | None, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = None
    Env: Words = Field(default_factory=list)
    WorkingDir: Text = ""
    User: Text = ""
    Hostname: Text = ""
    Tty: Flag = False
    OpenStdin: Flag = False
    StdinOnce: Flag = False
    AttachStdin: Flag = False
    AttachStdout: Flag = False
    AttachStderr: Flag = False
    Labels: LabelMap = Field(default_factory=dict)
    StopSignal: Text = ""
    StopTimeout: StrictInt | None = None
    HostConfig: Annotated[Host, _nothing_for_null(dict)] = Field(default_factory=Host)


class ExecCreate(Body):
    """POST /containers/ID/exec."""

    Cmd: Command = Field(default_factory=list)
    Env: Words = Field(default_factory=list)
    WorkingDir: Text = ""
    User: Text = ""
    Tty: Flag = False
    Privileged: Flag = False
    AttachStdin: Flag = False
    AttachStdout: Flag = False
    AttachStderr: Flag = False
    DetachKeys: Text = ""


class ExecStart(Body):
    """POST /exec/ID/start."""

    Detach: Flag = False
    Tty: Flag = False
