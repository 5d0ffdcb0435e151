"""What works on this machine and on the farm it is configured for."""

from __future__ import annotations

import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from common.assets import cached_snapshot, hub_is_off
from common.broker import Broker
from common.config import FarmConfig
from common.dispatch import FarmStore, Ledger, WorkerReport, queue_kind, queue_name
from common.errors import BrokerError, GridfarmError
from common.gpus import visible_gpus
from common.install import install_command
from common.job import BUILTIN_MODELS, SDXL, HubName
from common.store import open_store
from producer.catalogue import check_existing
from producer.listeners import Listeners, check_version, gpu_types, of_another_version
from producer.submission import ON_CPU, probe_hub
from producer.wording import counted

WORKER_PACKAGES = ("torch", "diffusers", "transformers", "compel", "peft")


@dataclass(frozen=True)
class Check:
    """One thing looked at; when it is not `ok`, `message` says what to do. A `warning` hinders
    nothing that works now, and is worth knowing."""

    name: str
    ok: bool
    message: str
    warning: bool = False


def examine(config: FarmConfig, rendered: Path | None = None) -> list[Check]:
    """`rendered` is the store of the renders on this machine, which is used where `config` names
    none."""
    return [
        Check("gridfarm", True, f"{_version('gridfarm')}, Python {sys.version.split()[0]}"),
        _broker(config),
        _store(config, rendered),
        *_workers(config),
        _gpu(),
        _hub(),
        _packages(config),
    ]


def _broker(config: FarmConfig) -> Check:
    if not config.broker:
        return Check(
            "broker", True, "none configured (GRIDFARM_BROKER); `gridfarm render` brings its own"
        )
    broker = Broker(config.broker)
    try:
        broker.probe()
        policy = broker.memory_policy()
    except GridfarmError as error:
        return _bad("broker", error)
    if policy not in ("noeviction", ""):
        return Check(
            "broker",
            False,
            f"{broker.place} may drop keys (maxmemory-policy {policy}); set it to noeviction",
        )
    return Check("broker", True, f"{broker.place} answers")


def _store(config: FarmConfig, rendered: Path | None) -> Check:
    if config.broker and not config.store:
        text = "none configured; a farm needs one beside its broker: set GRIDFARM_STORE"
        return Check("store", True, text, warning=True)
    if not (config.store or rendered):
        return Check(
            "store", True, "none configured (GRIDFARM_STORE); `gridfarm render` makes a folder"
        )
    try:
        store = open_store(config.store or str(rendered))
        check_existing(store)
        store.probe()
        if config.broker:
            with suppress(BrokerError):  # the broker's own check says why
                FarmStore(store, Ledger(config.broker)).check()
    except GridfarmError as error:
        return _bad("store", error)
    whose = "" if config.store else "that of the renders here, "
    return Check("store", True, f"{whose}{store.url}: can write, read, list and delete")


def _workers(config: FarmConfig) -> Iterator[Check]:
    if not config.broker:
        return
    ledger = Ledger(config.broker)
    try:
        alive, left = ledger.workers.alive(), ledger.left()
    except GridfarmError:
        return  # the broker's own check says why
    here = [worker for worker in alive if not of_another_version(worker)]
    for worker in here:
        yield Check("worker", worker.state != "paused", _worker(worker))
    if unable := check_version(alive) if here else Listeners.of(queue_name(), alive).waits_for:
        yield Check("workers", True, unable, warning=True)
    for queue, count in left.items():
        waits_for = Listeners.of(queue, alive).waits_for if queue_kind(queue) else ""
        if waits_for:
            yield Check(
                "queue", True, f"{waits_for} ({counted(count, 'picture')} left)", warning=True
            )


def _worker(worker: WorkerReport) -> str:
    types = "".join(f", --gpu {kind}" for kind in gpu_types(worker))
    doing = f": {worker.message}" * bool(worker.message)
    return f"{worker.name}: {worker.device}{types}, {worker.state}{doing}"


def _gpu() -> Check:
    gpus = visible_gpus()
    text = f"{len(gpus)} NVIDIA" if gpus else f"none here: {ON_CPU}"
    return Check("gpu", True, text, warning=not gpus)


def _hub() -> Check:
    """Asked once, for seconds at most; not at all where HF_HUB_OFFLINE says so."""
    sdxl = BUILTIN_MODELS[SDXL]
    snapshot = cached_snapshot(sdxl.hub_id, sdxl.revision)
    here = f"sdxl is {'' if snapshot and snapshot.has('base', 'fp16') else 'not '}in its cache"
    if hub_is_off():
        return Check("hub", True, f"not asked, as HF_HUB_OFFLINE is set; {here}", warning=True)
    if trouble := probe_hub(HubName(sdxl.hub_id, sdxl.revision)):
        return Check("hub", True, f"{trouble}; {here}", warning=True)
    return Check("hub", True, f"answers; {here}")


def _packages(config: FarmConfig) -> Check:
    missing = [name for name in WORKER_PACKAGES if importlib.util.find_spec(name) is None]
    if missing:
        return Check(
            "packages",
            True,
            f"producer only (no {', '.join(missing)}); to render here: {install_command('local')}",
            warning=not config.broker,
        )
    versions = ", ".join(f"{name} {_version(name)}" for name in WORKER_PACKAGES)
    return Check("packages", True, versions)


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return "(not installed)"


def _bad(name: str, error: GridfarmError) -> Check:
    return Check(name, False, f"{error.message}; {error.hint}" if error.hint else error.message)
