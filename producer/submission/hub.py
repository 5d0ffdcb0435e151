"""Models and LoRAs on the Hugging Face hub, resolved to a commit once, at submit.

What was resolved is written down in the store (`object_names.hub_record`), so that a hub that
is down later does not stop a batch, and neither does one that this machine's cache remembers; the
person is told which commit is used then.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

from common.assets import (
    INDEX,
    SDXL_PARTS,
    FileHashes,
    Part,
    Snapshot,
    ask_hub,
    cached_snapshot,
    disk_trouble,
    hub_cache,
    hub_errors,
    hub_is_off,
    lacking,
)
from common.errors import HubError, ObjectMissing, TooLarge
from common.job import HubName
from common.store import Store, object_names

#: For what only warns.
PROBE_TIMEOUT_S = 5.0
RECORD = {"revision": re.compile(r"[0-9a-f]{40}\Z"), "sha256": re.compile(r"[0-9a-f]{64}\Z")}
RECORD_BYTES = 1 << 16
_AS: dict[Part, str] = {"base": "a model", "refiner": "a refiner", "vae": "a VAE"}
Say = Callable[[str], None]


class Hub:
    """The hub, with what `store` and this machine's cache remember of it as the second choice.
    `renders_here` says that this machine needs the models themselves."""

    def __init__(self, store: Store, say: Say, *, renders_here: bool = False) -> None:
        self.store = store
        self.say = say
        self.renders_here = renders_here
        self._answers: dict[tuple[str, str], Any] = {}

    def commit(self, name: HubName) -> str:
        """The commit that `name` means today, else the one recorded last. Raises HubError."""
        try:
            commit = str(self._info(name).sha)
        except HubError as error:
            commit = (
                self._recorded(name, error, "revision") or self._cached(name, error).folder.name
            )
        self._record(name, {"revision": commit})
        return commit

    def lora(self, name: HubName, hashes: FileHashes) -> tuple[str, Path | None]:
        """A LoRA's SHA-256 and its downloaded file; the file is None when only the store
        remembers it (then it is an asset already). Raises HubError."""
        try:
            info = self._info(name)
            path = self._download(name, info)
        except HubError as error:
            if recorded := self._recorded(name, error, "sha256"):
                return recorded, None
            path, commit = self._cached_lora(name, error)
        else:
            commit = str(info.sha)
        sha256 = hashes.sha256(path)
        self._record(name, {"revision": commit, "sha256": sha256})
        return sha256, path

    def look_at(self, name: HubName, part: Part | None, dtype: str) -> None:
        """Is there, by the names of its files, what a load as `part` in `dtype` reads? With None
        only whether the repository is there. Raises HubError."""
        files = [sibling.rfilename for sibling in self._info(name).siblings or []]
        if part is None:
            return
        flaw = lacking(part, files, SDXL_PARTS[part], dtype)
        if part != "vae" and INDEX not in files:
            flaw = f"it has no {INDEX}"
        if flaw:
            raise HubError(
                f"{name.id} on the hub cannot be loaded as {_AS[part]}: {flaw}",
                hint="it takes a complete SDXL in diffusers' folder layout; of a repository with "
                "a checkpoint alone, download the .safetensors and name the local file",
            )

    def _info(self, name: HubName) -> Any:
        """What the hub says of it, asked once. Raises HubError."""
        asked = (name.id, name.revision)
        if asked in self._answers:
            return self._answers[asked]
        if not hub_is_off():
            self.say(f"asking the hub about {name.id}")
        with _asking(name):
            info = ask_hub(name.id, name.revision)
        if not RECORD["revision"].match(f"{info.sha}"):
            raise HubError(f"the hub says no commit of {name}", hint="name a local copy")
        self._answers[asked] = self._answers[name.id, info.sha] = info
        return info

    def _download(self, name: HubName, info: Any) -> Path:
        from huggingface_hub import hf_hub_download

        files = [sibling.rfilename for sibling in info.siblings or []]
        file = name.file or _lora_file(name, files)
        self.say(f"downloading {name.id}/{file} at {info.sha[:8]}")
        with _asking(name):
            return Path(hf_hub_download(name.id, file, revision=info.sha))

    def _recorded(self, name: HubName, error: HubError, what: str) -> str:
        """What the store remembers, "" for nothing. Raises `error` where it is this machine's disk:
        an older commit is no answer to that."""
        if error.of_disk:
            raise error from None
        record = _read_record(self.store, name)
        if what not in record:
            return ""
        revision = record.get("revision", "unknown")
        self.say(f"{error.message}; using the commit recorded last, {revision[:12]}")
        return record[what]

    def _cached(self, name: HubName, error: HubError) -> Snapshot:
        """What this machine has of it, where nobody could say more. Raises `error`."""
        snapshot = cached_snapshot(name.id, name.revision or "main") if error.away else None
        if snapshot is None:
            raise error from None
        commit = snapshot.folder.name
        self.say(f"{error.message}; using the commit in this machine's cache, {commit[:12]}")
        return snapshot

    def _cached_lora(self, name: HubName, error: HubError) -> tuple[Path, str]:
        """(file, commit). Raises `error`."""
        snapshot = self._cached(name, error)
        there = [file for file in snapshot.files if (snapshot.folder / file).exists()]
        file = name.file or _lora_file(name, there)
        if file not in there:
            raise error from None
        return snapshot.folder / file, snapshot.folder.name

    def _record(self, name: HubName, record: dict[str, str]) -> None:
        self.store.put(
            record_name(name), json.dumps(record).encode(), content_type="application/json"
        )


def probe_hub(name: HubName) -> str:
    """Why the hub cannot give it, "" where it can. Asks once and waits for seconds at most."""
    try:
        with _asking(name):
            ask_hub(name.id, name.revision, timeout_s=PROBE_TIMEOUT_S)
    except HubError as error:
        return error.message
    return ""


def record_name(name: HubName) -> str:
    """Where the store remembers `name`."""
    parts = [name.id, name.revision, name.file.replace("/", "-")]
    return object_names.hub_record("@".join(part for part in parts if part))


def recorded_commit(store: Store, name: HubName, what: str) -> str | None:
    """What the store remembers of `name`: its `revision` or its LoRA's `sha256`."""
    return _read_record(store, name).get(what)


def _read_record(store: Store, name: HubName) -> dict[str, str]:
    """What in it has the form that it must have; {} for none, and for one that is damaged."""
    try:
        record = json.loads(store.get(record_name(name), most=RECORD_BYTES))
    except (ObjectMissing, TooLarge, ValueError, RecursionError):
        return {}
    if not isinstance(record, dict):
        return {}
    return {
        what: str(record[what])
        for what, form in RECORD.items()
        if form.match(f"{record.get(what)}")
    }


def _lora_file(name: HubName, files: list[str]) -> str:
    """The repository's LoRA: the usual name, else the only .safetensors. Raises HubError."""
    found = [file for file in files if file.endswith(".safetensors")]
    if "pytorch_lora_weights.safetensors" in found:
        return "pytorch_lora_weights.safetensors"
    if len(found) == 1:
        return found[0]
    if found:
        raise HubError(
            f"{name.id} has several .safetensors: {', '.join(sorted(found)[:8])}",
            hint=f"name one: {name.id}/{sorted(found)[0]}",
        )
    raise HubError(
        f"{name.id} has no .safetensors file, and gridfarm loads no pickles (.bin, .pt, .ckpt)",
        hint="convert the LoRA once and name the local .safetensors file",
    )


def _asking(name: HubName) -> AbstractContextManager[None]:
    return hub_errors(lambda error, text: _explained(name, error, text))


def _explained(name: HubName, error: Exception, text: str) -> HubError:
    from huggingface_hub import errors

    if trouble := disk_trouble(error):
        return _no_room(name, trouble)
    if isinstance(error, errors.GatedRepoError):
        return HubError(
            f"{name.id} on the hub asks for its licence to be accepted",
            hint="accept it in the browser, then set HF_TOKEN",
        )
    # A name that cannot be one on the hub (`some--one/model`) is not asked for.
    nothing = (errors.RepositoryNotFoundError, errors.RevisionNotFoundError,
               errors.EntryNotFoundError, errors.HFValidationError)  # fmt: skip
    if isinstance(error, nothing):
        return HubError(
            f"the hub has no {name}",
            hint="check the spelling; a private one needs "
            "HF_TOKEN; a local file or folder needs an existing path",
        )
    away = HubError(
        f"the hub cannot be reached for {name.id}: {text.splitlines()[0]}",
        hint="connect this machine to the network, or use what needs no hub: a cache that has it "
        "(HF_HOME), a local folder or file, --model tiny",
    )
    away.away = True
    return away


def _no_room(name: HubName, trouble: str) -> HubError:
    error = HubError(
        f"this machine cannot keep {name.id} in {hub_cache()}: {trouble}",
        hint="set HF_HOME to a folder that can be written, with room for it",
    )
    error.of_disk = True
    return error
