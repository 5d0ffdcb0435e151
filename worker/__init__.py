"""The GPU's side: takes cells from the queue, renders them, stores the pictures.

cli          `gridfarm-worker`
supervisor   one process for each GPU, started again when it dies
preemption   the clouds' notices that this machine will be taken
process      one worker process: Celery's consumer, heartbeat, how it ends
tasks        claim, look in the store, render, store, report; what a failure means
engine       a job → its picture; the only room that imports torch
assets       models and LoRAs, brought into this machine's cache
logs         lines for people, or objects for collectors
tiny         how the tiny model was made; a developer's tool
"""
