"""The bodies of Docker's Engine API: the fields that the lab honours. daemon.fields refuses the others by name.

dockerd's decoder (Go's encoding/json) treats `null` as a missing value and ignores the case of names. Clients rely on
both: docker-py sends `detachKeys` for `DetachKeys`.
"""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StrictBool, StrictInt, StrictStr, model_validator

from daemon import fields
from lab.resources import FIELDS


def _null_as(empty: Any) -> BeforeValidator:
    return BeforeValidator(lambda value: empty() if value is None else value)


Text = Annotated[StrictStr, _null_as(str), Field(max_length=1 << 20)]
Flag = Annotated[StrictBool, _null_as(bool)]
Int64 = Annotated[StrictInt, Field(ge=-(2**63), lt=2**63)]
Number = Annotated[Int64, _null_as(int)]
Word = Annotated[StrictStr, Field(max_length=1 << 21)]
Words = Annotated[list[Word], _null_as(list)]
LabelMap = Annotated[dict[StrictStr, StrictStr], _null_as(dict)]
Length = Annotated[StrictInt, Field(ge=0, le=65535)]
WindowSize = Annotated[list[Length], _null_as(list)]
Command = Annotated[list[Word], BeforeValidator(lambda value: [value] if isinstance(value, str) else value or [])]


class Body(BaseModel):
    """Fields are named as in Docker's JSON, and accepted in any case.

    table  what is refused of this object (daemon.fields)
    where  what an error puts before the field's name
    """

    model_config = ConfigDict(extra="ignore")
    table: ClassVar[fields.Table] = {}
    where: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _fold_case(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        names = {name.lower(): name for name in cls.table}
        folded = {names.get(str(key).lower(), str(key)): value for key, value in data.items()}
        fields.refuse(cls.table, folded, cls.where)
        return folded


class Restart(Body):
    table, where = fields.RESTART_POLICY, "HostConfig.RestartPolicy."
    Name: Text = ""
    MaximumRetryCount: Number = 0


class Logging(Body):
    table, where = fields.LOG_CONFIG, "HostConfig.LogConfig."


class HealthConfig(Body):
    """Times in nanoseconds; 0 is Docker's default."""

    table, where = fields.HEALTHCHECK, "Healthcheck."
    Test: Words = Field(default_factory=list)
    Interval: Number = 0
    Timeout: Number = 0
    Retries: Number = 0
    StartPeriod: Number = 0
    StartInterval: Number = 0


class BindExtras(Body):
    table, where = fields.BIND_OPTIONS, "HostConfig.Mounts.BindOptions."
    Propagation: Text = ""
    NonRecursive: Flag = False


class VolumeExtras(Body):
    table, where = fields.VOLUME_OPTIONS, "HostConfig.Mounts.VolumeOptions."
    NoCopy: Flag = False


class TmpfsExtras(Body):
    table, where = fields.TMPFS_OPTIONS, "HostConfig.Mounts.TmpfsOptions."
    SizeBytes: Number = 0
    Mode: Number = 0


class BindMount(Body):
    table, where = fields.MOUNT, "HostConfig.Mounts."
    Type: Text = "bind"
    Source: Text = ""
    Target: Text = ""
    ReadOnly: Flag = False
    BindOptions: Annotated[BindExtras, _null_as(dict)] = Field(default_factory=BindExtras)
    VolumeOptions: Annotated[VolumeExtras, _null_as(dict)] = Field(default_factory=VolumeExtras)
    TmpfsOptions: Annotated[TmpfsExtras, _null_as(dict)] = Field(default_factory=TmpfsExtras)


class DeviceMapping(Body):
    table, where = fields.DEVICE, "HostConfig.Devices."
    PathOnHost: Text = ""
    PathInContainer: Text = ""
    CgroupPermissions: Text = ""


class Endpoint(Body):
    table, where = fields.ENDPOINT, "NetworkingConfig.EndpointsConfig."


class Networking(Body):
    table, where = fields.NETWORKING, "NetworkingConfig."
    EndpointsConfig: Annotated[dict[Text, Annotated[Endpoint, _null_as(dict)]], _null_as(dict)] = Field(
        default_factory=dict
    )


class Ulimit(Body):
    table, where = fields.ULIMIT, "HostConfig.Ulimits."
    Name: Text = ""
    Soft: Number = 0
    Hard: Number = 0


class Limits(Body):
    """What `docker run` and `docker update` have in common; lab.resources.FIELDS."""

    table = fields.LIMITS
    Memory: Number = 0
    MemorySwap: Number = 0
    MemoryReservation: Number = 0
    NanoCpus: Number = 0
    CpuShares: Number = 0
    CpuPeriod: Number = 0
    CpuQuota: Number = 0
    CpusetCpus: Text = ""
    CpusetMems: Text = ""
    PidsLimit: Number = 0

    def resources(self) -> dict[str, int | str]:
        """The limits that are given."""
        return {name: value for field, name in FIELDS.items() if (value := getattr(self, field, None))}


class Host(Limits):
    table, where = fields.HOST, "HostConfig."
    Binds: Words = Field(default_factory=list)
    ContainerIDFile: Text = ""
    LogConfig: Annotated[Logging, _null_as(dict)] = Field(default_factory=Logging)
    Mounts: Annotated[list[BindMount], _null_as(list)] = Field(default_factory=list)
    VolumesFrom: Words = Field(default_factory=list)
    ExtraHosts: Words = Field(default_factory=list)
    Dns: Words = Field(default_factory=list)
    DnsSearch: Words = Field(default_factory=list)
    DnsOptions: Words = Field(default_factory=list)
    NetworkMode: Text = ""
    AutoRemove: Flag = False
    Privileged: Flag = False
    CapAdd: Words = Field(default_factory=list)
    CapDrop: Words = Field(default_factory=list)
    SecurityOpt: Words = Field(default_factory=list)
    Init: Flag = False
    ReadonlyRootfs: Flag = False
    MaskedPaths: list[Word] | None = None
    ReadonlyPaths: list[Word] | None = None
    Devices: Annotated[list[DeviceMapping], _null_as(list)] = Field(default_factory=list)
    Ulimits: Annotated[list[Ulimit], _null_as(list)] = Field(default_factory=list)
    OomScoreAdj: Number = 0
    MemorySwappiness: Int64 | None = None  # Docker's pointer: 0 has a meaning
    PidMode: Text = ""
    IpcMode: Text = ""
    UTSMode: Text = ""
    UsernsMode: Text = ""
    CgroupnsMode: Text = ""
    CgroupParent: Text = ""
    GroupAdd: Words = Field(default_factory=list)
    Sysctls: LabelMap = Field(default_factory=dict)
    Tmpfs: LabelMap = Field(default_factory=dict)
    ShmSize: Number = 0
    ConsoleSize: WindowSize = Field(default_factory=list, max_length=2)
    RestartPolicy: Annotated[Restart, _null_as(dict)] = Field(default_factory=Restart)

    def resources(self) -> dict[str, int | str]:
        """The limits that are given."""
        given = super().resources()
        return given if self.MemorySwappiness is None else {**given, "memory_swappiness": str(self.MemorySwappiness)}


class ContainerCreate(Body):
    """POST /containers/create. Env without "=" removes a variable; Entrypoint [""] removes the image's."""

    table = fields.CONTAINER
    Image: Text = ""
    Cmd: Command = Field(default_factory=list)
    Entrypoint: Annotated[
        list[Word] | None, BeforeValidator(lambda value: [value] if isinstance(value, str) else value)
    ] = None
    Env: Words = Field(default_factory=list)
    WorkingDir: Text = ""
    User: Text = ""
    Hostname: Text = ""
    Domainname: Text = ""
    Tty: Flag = False
    OpenStdin: Flag = False
    StdinOnce: Flag = False
    AttachStdin: Flag = False
    AttachStdout: Flag = False
    AttachStderr: Flag = False
    Labels: LabelMap = Field(default_factory=dict)
    Volumes: Annotated[dict[Text, Annotated[dict[str, Any], _null_as(dict)]], _null_as(dict)] = Field(
        default_factory=dict
    )
    StopSignal: Text = ""
    StopTimeout: Int64 | None = None
    NetworkDisabled: Flag = False
    Healthcheck: Annotated[HealthConfig, _null_as(dict)] = Field(default_factory=HealthConfig)
    HostConfig: Annotated[Host, _null_as(dict)] = Field(default_factory=Host)
    NetworkingConfig: Annotated[Networking, _null_as(dict)] = Field(default_factory=Networking)


class Commit(Body):
    """POST /commit: what of the container's config is another in the image. Only what is given counts."""

    table = fields.COMMIT
    Cmd: Command = Field(default_factory=list)
    Entrypoint: Command = Field(default_factory=list)
    Env: Words = Field(default_factory=list)
    WorkingDir: Text = ""
    User: Text = ""
    Labels: LabelMap = Field(default_factory=dict)
    StopSignal: Text = ""
    ExposedPorts: Annotated[dict[StrictStr, dict[str, Any]], _null_as(dict)] = Field(default_factory=dict)

    def given(self) -> dict[str, Any]:
        """The fields that are not empty."""
        return {name: value for name, value in self.model_dump().items() if value}


class ContainerUpdate(Limits):
    """POST /containers/ID/update."""

    table = fields.UPDATE
    PidsLimit: Int64 | None = None  # type: ignore[assignment]  # Docker's pointer: null leaves it, 0 takes it away
    RestartPolicy: Annotated[Restart, _null_as(dict)] = Field(default_factory=Restart)

    def resources(self) -> dict[str, int | str]:
        """The limits that are given; -1: no limit of processes any more."""
        given = super().resources()
        return given if self.PidsLimit is None else {**given, "pids_limit": self.PidsLimit or -1}


class ExecCreate(Body):
    """POST /containers/ID/exec."""

    table = fields.EXEC_CREATE
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
    ConsoleSize: WindowSize = Field(default_factory=list, max_length=2)


class ExecStart(Body):
    """POST /exec/ID/start."""

    table = fields.EXEC_START
    Detach: Flag = False
    Tty: Flag = False
    ConsoleSize: WindowSize = Field(default_factory=list, max_length=2)


class VolumeCreate(Body):
    """POST /volumes/create."""

    table = fields.VOLUME_CREATE
    Name: Text = ""
    Labels: LabelMap = Field(default_factory=dict)
