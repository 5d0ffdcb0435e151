"""What the producer and the workers both need. It imports neither, and no torch.

errors     the tree of what can go wrong
config     where the servers are: flag, environment, gridfarm.toml
gpus       which GPUs this machine has
text       texts of others as they may be shown, and "did you mean"
job        everything that decides a picture's pixels, and the key made from it
assets     files that a job names by their hash: LoRAs, checkpoints
store      the object store: a folder or S3, and the name of every object in it
batch      what a person ordered, as a lazy matrix of cells
picture    an image as PNG, thumbnail and sidecar, and back to its metadata
dispatch   the ledger in Redis, and the loop that feeds the queue
data       the weights of the tiny model
"""
