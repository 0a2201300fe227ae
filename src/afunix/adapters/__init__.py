"""Other people's ways to write asynchronous programs: the same streams, with their names and their errors.

`anyio` runs on asyncio and on trio. Each adapter needs a library that is not the standard one, and nothing in here is
imported by the rest.
"""
