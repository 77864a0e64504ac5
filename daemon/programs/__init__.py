"""What labd execs: programs with one thread each and without asyncio, started isolated."""
