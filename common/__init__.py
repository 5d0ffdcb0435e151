"""What producer and worker both need, without torch and without a command line. In reading order:

errors     what can go wrong, as one tree
config     where the farm's servers and folders are
text       words for people: suggestions, escaped and redacted text
job        what one picture is made of, and its key
batch      the frozen document of a batch, and its matrix of cells
store      the object store: a folder or a bucket
assets     files that pictures are made with
picture    pictures as bytes, and what is known of them
broker     the connection to Redis
dispatch   batches on their way to the workers: store, ledger, queue
gpus       the GPUs of this machine
install    how what is missing here can be installed
lifeline   child processes that end with their parent
"""
