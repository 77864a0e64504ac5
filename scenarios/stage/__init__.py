"""What a story may do: run workloads, watch, judge."""
