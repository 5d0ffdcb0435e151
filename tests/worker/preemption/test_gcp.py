"""What only GCP does: it waits with its answer."""

from __future__ import annotations

from worker.preemption import Metadata
from worker.preemption.gcp import Gcp
from worker.preemption.metadata import Answer


class Server(Metadata):
    """Answers at once, whatever it is asked to wait for."""

    def ask(self, path: str, *_: object, **__: object) -> Answer:
        self.path = path
        return Answer(200, {"etag": "abc"}, "FALSE")


def test_a_server_that_does_not_wait_is_not_asked_in_a_hot_loop() -> None:
    """And each time it is asked for what has changed since its last answer."""
    cloud = Gcp(Server())
    assert cloud.pause_s == 0
    assert cloud.poll() is None
    assert cloud.pause_s == cloud.metadata.poll_s > 0
    cloud.poll()
    assert cloud.metadata.path.endswith("last_etag=abc")  # type: ignore[attr-defined]
