"""Training of the bundled model, from reviews alone: ``python -m worker.train --help``.

A linear n-gram model learns from the labelled reviews (`teacher`), labels all of them softly, and a small ALBERT
learns those soft labels (`student`). The worker never imports this package; its dependencies are the extra ``train``.
"""
