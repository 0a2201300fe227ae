"""The asyncio drivers. The only place that touches an event loop's readers, writers and signal handlers."""
