"""Training of the next bundled model: ``python -m worker.modelkit.train --help``.

A pretrained BERT is put into an ALBERT (`pretrained`) that reads SentencePiece (`vocabulary`). It learns in stages
(`stages`, `loop`) from labelled reviews, with a linear n-gram model's opinion as a part of each target (`teacher`),
and from plain short sentences that are made from words and patterns (`plain_sentences`). ``python -m
worker.modelkit.train.data`` writes the reviews that were held out, for ``reviews-worker model evaluate``. The worker
never imports this package; its dependencies are the extra ``learn``, to which ``train`` adds the
pretrained weights.
"""
