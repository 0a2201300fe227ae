"""One rendering a file, pure: bytes or events in, text or bytes out."""
