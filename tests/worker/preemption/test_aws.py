"""What only AWS does: tokens, and recommendations to rebalance."""

from __future__ import annotations

import pytest

from tests.support.clouds import CloudStub, asked


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_an_expired_token_is_renewed(cloud: CloudStub, watch) -> None:
    watching = watch(cloud)
    asked(cloud, "instance-action")
    cloud.token += 1
    asked(cloud, "PUT /latest/api/token", times=2)
    cloud.take_away(seconds=25)
    assert watching.notice().left_s > 0


@pytest.mark.parametrize("cloud", ["aws"], indirect=True)
def test_a_rebalance_recommendation_is_only_logged(
    cloud: CloudStub, watch, caplog: pytest.LogCaptureFixture
) -> None:
    cloud.rebalance = True
    watching = watch(cloud)
    asked(cloud, "instance-action", times=2)
    assert watching.silent
    assert caplog.text.count("AWS recommends to rebalance") == 1
