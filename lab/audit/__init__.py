"""The kernel's audit records: asked for, read, parsed and printed, with nothing but the standard library."""
