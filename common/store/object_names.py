"""Every object name in the store, in one place.

images/ab/<key>.png      the picture; Job, fingerprint and timings inside
images/ab/<key>.json     sidecar: a copy of them, and the PNG's SHA-256
images/ab/<key>.webp     thumbnail
assets/<sha256>          a LoRA, a checkpoint, a file of a model folder, a folder's manifest
hub/<owner>/<name>.json  the revision last resolved for a hub id
batches/<id>/…           batch.json, control.json, done.bitmap, failures/<i>.json, flaws/<i>.json,
                         cells.jsonl
active/<id>              the batches that are not finished
store.json               the store's id (`common.store.store_id`)
latest/<time>-<id>       the batches, in the order in which the last submitted come first
index/<version>/…        short hashes of the batches' keys, as `producer/catalogue` writes them
removing/<token>.…       a removal under way: the document of each batch, and a sign of life
probe/<token>            written and deleted by a check of the store's rights
"""

from __future__ import annotations

import re

IMAGES = "images/"
ASSETS = "assets/"
ACTIVE = "active/"
BATCHES = "batches/"
STORE_ID = "store.json"
LATEST = "latest/"
REMOVING = "removing/"

#: What a store's folder has in it.
AT_THE_TOP = frozenset(
    [STORE_ID, *"images assets hub batches active latest index removing probe".split()]
)

#: Milliseconds of Unix time at the end of the year 9999: what is left until then sorts the
#: latest first.
LAST_MS = 253_402_300_800_000

_LATEST = re.compile(rf"{LATEST}(\d{{15}})-(.+)\Z", re.ASCII)
_REMOVING = re.compile(rf"{REMOVING}([0-9a-f]+)\.([^./]+)\.json\Z")


def picture(key: str) -> str:
    return f"{IMAGES}{key[:2]}/{key}.png"


def sidecar(key: str) -> str:
    return f"{IMAGES}{key[:2]}/{key}.json"


def thumbnail(key: str) -> str:
    return f"{IMAGES}{key[:2]}/{key}.webp"


def asset(sha256: str) -> str:
    return f"{ASSETS}{sha256}"


def hub_record(hub_id: str) -> str:
    return f"hub/{hub_id}.json"


def active(batch_id: str) -> str:
    return f"{ACTIVE}{batch_id}"


def batch(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/batch.json"


def control(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/control.json"


def done_bitmap(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/done.bitmap"


def failures(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/failures/"


def failure(batch_id: str, i: int) -> str:
    return f"{failures(batch_id)}{i}.json"


def flaws(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/flaws/"


def flaw(batch_id: str, i: int) -> str:
    return f"{flaws(batch_id)}{i}.json"


def cells(batch_id: str) -> str:
    return f"{BATCHES}{batch_id}/cells.jsonl"


def latest(batch_id: str, submitted: float) -> str:
    """`submitted` is Unix time; kept to the millisecond."""
    return f"{LATEST}{LAST_MS - int(submitted * 1000):015d}-{batch_id}"


def latest_parts(name: str) -> tuple[str, float] | None:
    """(batch id, Unix time) of such a name; None for what nobody here has put there."""
    match = _LATEST.match(name)
    return (match[2], (LAST_MS - int(match[1])) / 1000) if match else None


def index(version: str) -> str:
    """The folder of the parts of one version's index."""
    return f"index/{version}/"


def index_part(version: str, part: int) -> str:
    return f"{index(version)}{part:02d}.json"


def removing(token: str, batch_id: str) -> str:
    return f"{REMOVING}{token}.{batch_id}.json"


def removing_parts(name: str) -> tuple[str, str] | None:
    """(token, batch id) of such a name; None for what is none."""
    match = _REMOVING.match(name)
    return (match[1], match[2]) if match else None


def removal_beat(token: str) -> str:
    return f"{REMOVING}{token}.beat"


def probe(token: str) -> str:
    return f"probe/{token}"
