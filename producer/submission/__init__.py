"""From a batch file to a batch that is ordered: counted, pinned, brought into the store, queued.

hub          models and LoRAs on the Hugging Face hub, resolved to a commit
needs        the models that its cells need, looked at before the first is rendered
resolve      a batch file → a batch with every model and LoRA pinned
stored       which of its pictures the store has already
plan         what it would render (`Plan`)
uploads      local models and LoRAs → the store
stored_document  is what the store has under the batch's id this batch
submit       the batch in the store, its ledger open, its queue fed (`SubmitReport`)
"""

from __future__ import annotations

from producer.submission.hub import Hub, probe_hub
from producer.submission.needs import ON_CPU
from producer.submission.plan import Plan, plan_batch
from producer.submission.resolve import Resolved, resolve, resolve_offline
from producer.submission.stored import stored_jobs
from producer.submission.submit import SubmitReport, submit

__all__ = [
    "ON_CPU",
    "Hub",
    "Plan",
    "Resolved",
    "SubmitReport",
    "plan_batch",
    "probe_hub",
    "resolve",
    "resolve_offline",
    "stored_jobs",
    "submit",
]
