"""What needs a control plane or an image of its own runs when it is asked for: `make cluster-test`, `make image-test`."""

collect_ignore = ["cluster", "image"]
