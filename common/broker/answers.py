"""What redis-py raises, as the broker's errors."""

from __future__ import annotations

from common.errors import BrokerError, BrokerRefused, BrokerUnreachable

CHECK_BROKER = "is Redis running there, and GRIDFARM_BROKER right (rediss:// is TLS)?"
UNTRUSTED = (
    "where a CA of your own has signed the broker's certificate, name it: "
    "rediss://host:6379/0?ssl_ca_certs=/path/ca.pem"
)


def broker_error(place: str, error: Exception) -> BrokerError:
    """What redis-py raised for the broker at `place`. Some of its errors are kinds of others,
    so the order matters: a refused password is a ConnectionError too."""
    from redis import exceptions

    if isinstance(error, (exceptions.AuthenticationError, exceptions.NoPermissionError)):
        return BrokerRefused(
            f"the broker at {place} refuses the credentials: {error}",
            hint="check user and password in GRIDFARM_BROKER (redis://user:password@host:6379)",
        )
    if isinstance(error, exceptions.BusyLoadingError):
        return BrokerUnreachable(
            f"the broker at {place} is still loading its data", hint="try again in a while"
        )
    if isinstance(error, exceptions.OutOfMemoryError):
        return BrokerRefused(
            f"the broker at {place} is full: {error}",
            hint="raise its maxmemory, or remove what else lies in it",
        )
    if isinstance(error, exceptions.ReadOnlyError):
        return BrokerRefused(
            f"the broker at {place} is a read-only replica: {error}",
            hint="name the primary in GRIDFARM_BROKER, or end the replication",
        )
    if isinstance(error, (exceptions.ConnectionError, exceptions.TimeoutError, OSError)):
        return BrokerUnreachable(
            f"the broker at {place} cannot be reached: {error}",
            hint=UNTRUSTED if "CERTIFICATE_VERIFY" in str(error) else CHECK_BROKER,
        )
    if isinstance(error, ValueError):
        return BrokerRefused(
            f"{place!r} is no broker: {error}",
            hint="GRIDFARM_BROKER is redis://host:6379/0, or rediss:// for TLS",
        )
    return BrokerError(f"the broker at {place} answered: {error}")
