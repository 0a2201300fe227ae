"""What may stand at the far end of a relay: one way of reaching it a file, one contract (`base`)."""
