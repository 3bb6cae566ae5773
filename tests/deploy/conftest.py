"""What needs a control plane of its own (`make cluster-test`) runs only when it is asked for by name."""

collect_ignore = ["cluster"]
