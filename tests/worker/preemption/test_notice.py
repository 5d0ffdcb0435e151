"""What SIGTERM leaves."""

from __future__ import annotations

import pytest

from worker.preemption import default_grace


@pytest.mark.parametrize(("pod", "seconds"), [(True, 12), (False, 80)])
def test_sigterm_leaves_what_the_platform_leaves(
    monkeypatch: pytest.MonkeyPatch, pod: bool, seconds: float
) -> None:
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    if pod:
        monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    assert default_grace() == seconds
