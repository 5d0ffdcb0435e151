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
probe/<token>            written and deleted by a check of the store's rights
"""

from __future__ import annotations

IMAGES = "images/"
ASSETS = "assets/"
ACTIVE = "active/"
BATCHES = "batches/"
STORE_ID = "store.json"


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


def probe(token: str) -> str:
    return f"probe/{token}"
