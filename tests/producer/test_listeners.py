"""Who could take what is in a queue, and who listens instead."""

from __future__ import annotations

from dataclasses import replace

import pytest

from common.dispatch import WorkerReport, queue_name
from producer.listeners import Listeners, check_version


def worker(*kinds: str, device: str = "cpu x86_64", state: str = "listening") -> WorkerReport:
    queues = (queue_name(), *map(queue_name, kinds))
    return WorkerReport("w", "m", queues, 3, device, state, "503 Slow Down")


CPU, L4 = worker(), worker("cuda", device="NVIDIA L4")
PINNED = worker("cuda", "a100", device="NVIDIA A100-SXM4-40GB")
OLD = WorkerReport("old", "m", ("gridfarm.1.7",), 3, "cpu", "listening")
OLD_CUDA = WorkerReport("old", "m", (f"{queue_name()}0.cuda",), 3, "NVIDIA L4", "listening")


@pytest.mark.parametrize(
    ("kind", "alive", "words"),
    [
        ("", [CPU], ""),
        ("", [L4, OLD], ""),
        ("cuda", [CPU, L4], ""),
        ("a100", [PINNED], ""),
        ("", [], "no worker is listening: start one with gridfarm-worker"),
        ("cuda", [], "waits for a worker on CUDA (noise: cuda), none is listening: start one with "
         "gridfarm-worker on a machine with an NVIDIA GPU"),
        ("l4", [], "waits for a worker with --gpu l4, none is listening: start one with "
         "gridfarm-worker --gpu l4"),
        ("cuda", [CPU, CPU], "waits for a worker on CUDA (noise: cuda); 2 listen on the CPU"),
        ("cuda", [CPU], "waits for a worker on CUDA (noise: cuda); 1 listens on the CPU"),
        ("l4", [L4], "waits for a worker with --gpu l4; 1 listens on NVIDIA L4 without --gpu"),
        ("l4", [PINNED, PINNED, CPU],
         "waits for a worker with --gpu l4; 3 listen: 2 with --gpu a100, 1 on the CPU"),
        ("cuda", [CPU, OLD_CUDA], "waits for a worker on CUDA (noise: cuda); 2 listen: 1 on the "
         "CPU, 1 of another version of gridfarm"),
        ("", [OLD, OLD_CUDA], "no worker of this version of gridfarm is listening; 2 of another "
         "version listen: install the same version on both sides"),
    ],
)  # fmt: skip
def test_what_is_missing(kind: str, alive: list[WorkerReport], words: str) -> None:
    assert Listeners.of(queue_name(kind), alive).waits_for == words


def test_a_render_on_this_machine_starts_its_own() -> None:
    listeners = replace(Listeners.of(queue_name(), []), local=True)
    assert listeners.waits_for == "the render on this machine starts its workers"


def test_many_kinds_are_not_all_listed() -> None:
    alive = [worker("cuda", device=f"NVIDIA {n}") for n in range(9)]
    words = Listeners.of(queue_name("l4"), alive).waits_for
    assert words.count("NVIDIA") == 4 and words.endswith("5 other kinds")


def test_what_holds_it_up() -> None:
    paused = worker(state="paused")
    assert Listeners.of(queue_name(), [CPU]).hold_ups == []
    assert Listeners.of(queue_name(), [CPU, paused]).hold_ups == ["paused: w: 503 Slow Down"]
    assert len(Listeners.of(queue_name("cuda"), [paused]).hold_ups) == 1
    many = [replace(paused, name=f"w{n}") for n in range(200)]
    said = Listeners.of(queue_name(), [*many, replace(paused, message="disk full")]).hold_ups
    assert said == ["paused: w0 and 199 others: 503 Slow Down", "paused: w: disk full"]


def test_who_is_of_another_version() -> None:
    assert check_version([CPU, L4]) == ""
    assert check_version([CPU, OLD]).startswith("1 worker of another version takes nothing of it")
