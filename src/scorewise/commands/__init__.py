"""What is typed: the command line, its jobs, what each command does, sweeps and tuning."""
