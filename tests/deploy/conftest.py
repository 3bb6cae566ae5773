"""What needs a control plane or an image of its own runs only by name: `make cluster-test`, `make image-test`."""

collect_ignore = ["cluster", "image"]
