"""`gridfarm`: the command line.

main              the table of commands, and where errors become messages
commands/         one file a command
options           options that several commands share; the Farm that they are called with
trial_options     FILE and what makes a trial of it
output            results on stdout, everything else on stderr
progress_display  a batch while it renders
status_text       how a batch stands
completion        what the shell offers
reference         docs/commands.md
"""

from producer.cli.options import (
    batch_argument,
    farm_command,
    json_command,
    named_batch,
    priority_option,
    where_option,
)
from producer.cli.output import Output
from producer.cli.progress_display import FAILED_CELLS, show_progress, watch_to_its_end
from producer.cli.status_text import show_status, status_json, status_text
from producer.cli.trial_options import BatchOptions, batch_options

__all__ = [
    "FAILED_CELLS",
    "BatchOptions",
    "Output",
    "batch_argument",
    "batch_options",
    "farm_command",
    "json_command",
    "named_batch",
    "priority_option",
    "show_progress",
    "show_status",
    "status_json",
    "status_text",
    "watch_to_its_end",
    "where_option",
]
