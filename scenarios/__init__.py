"""The stage: the same workload through both engines, and the kernel as witness."""
