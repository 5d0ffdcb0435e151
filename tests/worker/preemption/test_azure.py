"""What only Azure does: events for others, and of other kinds."""

from __future__ import annotations

import pytest

from tests.support.clouds import CloudStub, asked


@pytest.mark.parametrize("cloud", ["azure"], indirect=True)
@pytest.mark.parametrize(
    ("event_type", "machines"),
    [("Preempt", ["farm_4"]), ("Freeze", ["farm_3"]), ("Reboot", ["farm_3"])],
    ids=["another machine of the scale set", "freeze", "reboot"],
)
def test_what_does_not_take_this_machine_is_ignored(
    cloud: CloudStub, watch, event_type: str, machines: list[str]
) -> None:
    cloud.event_type, cloud.machines = event_type, machines
    cloud.take_away(seconds=25)
    watching = watch(cloud)
    asked(cloud, "scheduledevents", times=2)
    assert watching.silent
