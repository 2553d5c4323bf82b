"""The ``securetransport`` command.

`main` declares the commands and imports nothing heavy, so that ``--help`` is quick; `interrupts`
gives every command the same exit codes. `stack_commands` and `load_commands` are what they do,
`load_run` carries one load through and `run_records` reads what it left behind; `observation` asks
the services how they are, and `displays` show it.
"""
