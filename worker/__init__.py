"""The GPU's side of gridfarm: `gridfarm-worker` renders the cells that a broker hands out.

preemption/  the clouds' notices that this machine will be taken
assets/      models and LoRAs, brought onto this machine
engine/      a job → its picture (torch, diffusers)
tasks/       a message → a stored picture: leases, attempts, hand-back, failures
supervisor/  starts worker processes, one per GPU, and starts them again
process/     one worker process: Celery, heartbeat, shutdown
tiny/        how the tiny SDXL was made (a tool for developers)
cli.py       the command line
logs.py      what is printed on stderr
"""
