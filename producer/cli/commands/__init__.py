"""`gridfarm NAME` is NAME.py: its options, its help, its text. What it does is a method of
`producer.farm.Farm`.

    init  plan  render            a batch file, and this machine
    submit  status  watch  list   what is ordered from the farm
    cancel  pause  resume  retry  priority  rm
    grid  open  fetch  verify  show   what was rendered
    schema  doctor                what an editor knows, what works

`producer.cli.main` loads a file when its command is called.
"""
