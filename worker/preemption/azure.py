"""Azure: a preemption or termination, 30 seconds or more ahead.

GET /metadata/scheduledevents lists events of EventType Preempt or Terminate with the names of
the machines that they are for: a scale set's events are shown to all of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from worker.preemption.metadata import Answer, Metadata, seconds_until
from worker.preemption.notice import Notice

NOTICE_S = 30.0
EVENT_TYPES = ("Preempt", "Terminate")
MACHINE_NAME = "/metadata/instance/compute/name?api-version=2021-02-01&format=text"
SCHEDULED_EVENTS = "/metadata/scheduledevents?api-version=2020-07-01"


@dataclass
class Azure:
    metadata: Metadata
    name: str = "Azure"
    _machine: str = ""

    @property
    def pause_s(self) -> float:
        return self.metadata.poll_s

    def is_here(self) -> bool:
        answer = self._get(MACHINE_NAME, self.metadata.detect_timeout_s)
        self._machine = answer.body.strip() if answer.status == 200 else ""
        return bool(self._machine)

    def poll(self) -> Notice | None:
        if not self._machine:  # told to be on Azure, and not detected
            self.is_here()
        answer = self._get(SCHEDULED_EVENTS)
        answer.check()
        events = answer.json_object().get("Events")
        for event in events if isinstance(events, list) else []:
            if isinstance(event, dict) and self._is_ours(event):
                seconds = seconds_until(event.get("NotBefore"), most=NOTICE_S)
                return Notice.within(seconds, f"Azure: {event['EventType']} of this machine")
        return None

    def _is_ours(self, event: dict[str, Any]) -> bool:
        resources = event.get("Resources")
        named = isinstance(resources, list) and (self._machine in resources or not self._machine)
        return event.get("EventType") in EVENT_TYPES and named

    def _get(self, path: str, timeout_s: float | None = None) -> Answer:
        return self.metadata.ask(path, {"Metadata": "true"}, timeout_s=timeout_s)
