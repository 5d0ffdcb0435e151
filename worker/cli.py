"""`gridfarm-worker`: the GPU side's command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any, NoReturn

import click

from common.batch import slug
from common.broker import Broker
from common.config import FarmConfig, load_config
from common.dispatch import FarmStore, Ledger
from common.errors import GridfarmError, UsageError
from common.store import FolderStore, open_store
from common.text import escaped
from worker.logs import FORMATS, set_up_logging
from worker.preemption import CLOUDS, METADATA_URL, Metadata, NoticeWatcher
from worker.supervisor import (
    Launcher,
    ProcessOptions,
    Slot,
    check_cache,
    check_install,
    fitted,
)


@click.group(invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--broker", help="redis:// or rediss:// URL  [env: GRIDFARM_BROKER]")
@click.option("--store", help="s3://bucket/prefix or a folder  [env: GRIDFARM_STORE]")
@click.option("--workers", type=click.IntRange(1), help="Processes; default one per GPU, else one.")
@click.option(
    "--threads",
    default=ProcessOptions.threads,
    show_default=True,
    type=click.IntRange(1, 32),
    help="Jobs in hand per process; one computes, the others fetch and upload.",
)
@click.option("--cpu-threads", type=click.IntRange(1), help="Threads of torch on a CPU.")
@click.option(
    "--gpu",
    default="",
    help="The pool's GPU type (l4, a100), or a name of its own: also takes batches pinned to it.",
)
@click.option("--device", help="cuda, cuda:1 (that GPU alone) or cpu; default all GPUs, if any.")
@click.option("--gpus", help="GPUs to use, as CUDA_VISIBLE_DEVICES: 0,2; default all.")
@click.option(
    "--cloud",
    default="auto",
    show_default=True,
    envvar="GRIDFARM_CLOUD",
    show_envvar=True,
    type=click.Choice(["auto", *CLOUDS, "none"]),
    help="Whose notice that this machine will be taken is watched for.",
)
@click.option(
    "--metadata-url",
    default=METADATA_URL,
    show_default=True,
    envvar="GRIDFARM_METADATA_URL",
    show_envvar=True,
    help="The cloud's metadata server.",
)
@click.option(
    "--grace",
    type=click.FloatRange(0),
    metavar="SECONDS",
    help="Time between SIGTERM and the end; default 12 in a Kubernetes pod, else 80.",
)
@click.option(
    "--stall",
    type=click.FloatRange(0, min_open=True),
    metavar="SECONDS",
    help="End a process whose render makes no progress for so long; default 30 times its "
    "slowest step, at least 120 on a GPU and 1800 on a CPU.",
)
@click.option(
    "--log-format",
    default=ProcessOptions.log_format,
    show_default=True,
    type=click.Choice(FORMATS),
    help="json: one object a line.",
)
@click.pass_context
def main(
    context: click.Context,
    /,
    broker: str | None,
    store: str | None,
    workers: int | None,
    gpus: str | None,
    cloud: str,
    metadata_url: str,
    **process_options: Any,
) -> None:
    """Render gridfarm's cells on this machine until it is told to stop (Ctrl-C, SIGTERM)."""
    if context.invoked_subcommand:
        return
    if gpus is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus
    options = _process_options(**process_options)
    try:
        config = load_config({"broker": broker, "store": store})
        slots = _checked_slots(config, options, workers, gpus)
    except GridfarmError as error:
        _refuse(error)
    set_up_logging(options.log_format)
    launcher = Launcher(
        slots,
        watcher=None if cloud == "none" else NoticeWatcher(cloud, Metadata(metadata_url)),
        grace_s=options.grace,
    )
    sys.exit(launcher.run())


def _process_options(gpu: str, **options: Any) -> ProcessOptions:
    return ProcessOptions(gpu=slug(gpu) if gpu else "", **options)


def _checked_slots(
    config: FarmConfig, options: ProcessOptions, workers: int | None, chosen: str | None
) -> list[Slot]:
    """One per worker process, pinned to the GPUs in turn. Raises GridfarmError for what is said
    once here, since a process that lacks it would be started again and again."""
    check_install()
    store = open_store(config.need_store())
    broker = Broker(config.need_broker())
    broker.ping()
    if isinstance(store, FolderStore) and not store.root.exists():
        FarmStore(store, Ledger(broker)).check()  # a mistyped folder is not made
    fitting, gpus = fitted(options, chosen=chosen)
    check_cache(config.cache_dir)
    store.probe()
    environment = {"GRIDFARM_BROKER": config.broker, "GRIDFARM_STORE": config.store}
    return [
        Slot(fitting, environment | _pin(gpus, number))
        for number in range(workers or len(gpus) or 1)
    ]


def _pin(gpus: list[str], number: int) -> dict[str, str]:
    return {"CUDA_VISIBLE_DEVICES": gpus[number % len(gpus)]} if gpus else {}


@main.command("build-tiny")
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False))
@click.option(
    "--train",
    is_flag=True,
    help="Train it anew, in an empty folder: some 80 minutes on 2 cores, a gigabyte of disk. "
    "The same command goes on where it stopped.",
)
def build_tiny(folder: Path, train: bool) -> None:
    """Write the tiny SDXL as FOLDER/base and FOLDER/refiner, and LoRAs for it beside them."""
    if train:
        from worker.tiny.train.__main__ import main as make
    else:
        from worker.assets import build as make
    try:
        make(folder)
    except GridfarmError as error:
        _refuse(error)
    except OSError as error:
        if error.filename is None:
            raise
        _refuse(UsageError(f"{error.filename}: {error.strerror}"))
    loras = ", ".join(str(file) for file in sorted(folder.glob("*.safetensors")))
    click.echo(f"{folder}/base, {folder}/refiner, {loras}")


@main.command("process", hidden=True)
@click.argument("options", default="{}", metavar="JSON")
def process(options: str) -> None:
    """One worker process; what the launcher starts."""
    from worker.process import main as run_process

    try:
        process_options = ProcessOptions.from_json(options)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    sys.exit(run_process(load_config({}), process_options))


def _refuse(error: GridfarmError) -> NoReturn:
    click.echo(f"Error: {escaped(error.message)}", err=True)
    if error.hint:
        click.echo(f"  {escaped(error.hint)}", err=True)
    sys.exit(error.exit_code)


if __name__ == "__main__":
    main()
