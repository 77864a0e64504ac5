"""The kernel's audit records: rules ask for them, a reader receives them, and they are parsed and printed."""
