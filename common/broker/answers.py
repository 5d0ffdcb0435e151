"""What redis-py raises, as the broker's errors."""

from __future__ import annotations

import re
from typing import NamedTuple

from common.broker.url import ONE_SERVER
from common.errors import BrokerError, BrokerRefused, BrokerUnreachable

CHECK_BROKER = "is Redis running there, and GRIDFARM_BROKER right (rediss:// is TLS)?"
UNTRUSTED = (
    "where a CA of your own has signed the broker's certificate, name it: "
    "rediss://host:6379/0?ssl_ca_certs=/path/ca.pem"
)


class _Answer(NamedTuple):
    """What an error code of Redis means to a person: what the broker does or is, and the mend."""

    kind: type[BrokerError]
    words: str
    hint: str


_CREDENTIALS = _Answer(
    BrokerRefused,
    "refuses the credentials",
    "check user and password in GRIDFARM_BROKER (redis://user:password@host:6379)",
)
_CLUSTER = _Answer(BrokerRefused, "is a Redis Cluster", ONE_SERVER)
_ANSWERS = {
    "LOADING": _Answer(BrokerUnreachable, "is still loading its data", "try again in a while"),
    "OOM": _Answer(BrokerRefused, "is full", "raise its maxmemory, or remove what else lies in it"),
    "READONLY": _Answer(
        BrokerRefused,
        "is a read-only replica",
        "name the primary in GRIDFARM_BROKER, or end the replication",
    ),
    "MASTERDOWN": _Answer(
        BrokerRefused,
        "is a replica that has lost its primary",
        "name the primary in GRIDFARM_BROKER, or end the replication",
    ),
    "MISCONF": _Answer(
        BrokerRefused,
        "takes no writes, since it cannot save to its disk",
        "look at its log, and at the space and the rights of its disk",
    ),
    "NOREPLICAS": _Answer(
        BrokerRefused,
        "takes no writes, since it has too few replicas",
        "start its replicas, or lower its min-replicas-to-write",
    ),
    "BUSY": _Answer(
        BrokerUnreachable,
        "is busy with somebody's long script",
        "wait until that ends; SCRIPT KILL on the broker stops it",
    ),
    **dict.fromkeys(("CLUSTERDOWN", "MOVED", "ASK", "TRYAGAIN", "CROSSSLOT"), _CLUSTER),
    **dict.fromkeys(("NOAUTH", "WRONGPASS", "NOPERM"), _CREDENTIALS),
}
#: At the beginning of what a server says, or where Redis before 7 quotes it from a script.
_CODE = re.compile(rf"(?:^|: -)({'|'.join(_ANSWERS)})\b")


def broker_error(place: str, error: Exception) -> BrokerError:
    """What redis-py raised for the broker at `place`. Some of its errors are kinds of others,
    so the order matters: a refused password is a ConnectionError too."""
    from redis import exceptions

    if answer := _ANSWERS.get(_code_of(error)):
        return answer.kind(f"the broker at {place} {answer.words}: {error}", hint=answer.hint)
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        return BrokerUnreachable(
            f"the broker at {place} cannot be reached: {error}",
            hint=UNTRUSTED if "CERTIFICATE_VERIFY" in str(error) else CHECK_BROKER,
        )
    return BrokerError(f"the broker at {place} answered: {error}")


def _code_of(error: Exception) -> str:
    """The code by which Redis names what it refuses, "" where it named none. redis-py takes it
    out of the text where it has an exception for it."""
    from redis import exceptions

    classes = {
        exceptions.AuthenticationError: "WRONGPASS",
        exceptions.NoPermissionError: "NOPERM",
        exceptions.BusyLoadingError: "LOADING",
        exceptions.OutOfMemoryError: "OOM",
        exceptions.ReadOnlyError: "READONLY",
        exceptions.MasterDownError: "MASTERDOWN",
        exceptions.ClusterDownError: "CLUSTERDOWN",
        exceptions.MovedError: "MOVED",
        exceptions.AskError: "ASK",
        exceptions.TryAgainError: "TRYAGAIN",
        exceptions.ClusterCrossSlotError: "CROSSSLOT",
    }
    for kind, code in classes.items():
        if isinstance(error, kind):
            return code
    found = _CODE.search(str(error)) if isinstance(error, exceptions.ResponseError) else None
    return found[1] if found else ""
