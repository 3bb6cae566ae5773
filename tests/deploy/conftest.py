"""What needs a control plane or an image of its own runs only when it is asked for: `make cluster-test`, `make image-test`."""

collect_ignore = ["cluster", "image"]
