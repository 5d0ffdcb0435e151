"""`gridfarm`: the command line.

main              the table of commands, and where errors become messages
commands/         one file a command
options           options that several commands share; the Farm that they are called with
trial_options     FILE and what makes a trial of it
interrupts        Ctrl-C, SIGTERM and a closed terminal
output            results on stdout, everything else on stderr
progress_display  a batch while it renders
status_text       how a batch stands
flaw_text         what is wrong with stored pictures
completion        what the shell offers
reference         docs/commands.md
"""
