"""Where the bytes of many clients end: one file a kind of end."""
