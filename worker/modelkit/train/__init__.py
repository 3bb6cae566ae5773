"""Training of the bundled model, from reviews alone: ``python -m worker.modelkit.train --help``.

A linear n-gram model learns from the labelled reviews (`teacher`), labels all of them softly, and a small ALBERT
learns those soft labels (`student`). ``python -m worker.modelkit.train.data`` writes the reviews
that were held out, for ``reviews-worker model evaluate``. The worker never imports this package; its dependencies are
the extra ``train``.
"""
