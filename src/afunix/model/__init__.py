"""Values and decisions: no I/O, no clock, no descriptor. Everything else may import this; it imports nothing of ours."""
