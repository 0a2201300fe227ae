"""The work behind each command, one file a command: values in, events and results out. Never prints, never exits."""
