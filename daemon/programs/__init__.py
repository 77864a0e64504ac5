"""Programs that labd execs: each has one thread and no asyncio, and starts in a few ms."""
