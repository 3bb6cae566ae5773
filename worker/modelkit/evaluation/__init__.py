"""Measuring a model on labelled reviews: figures, calibration, pictures. Apart: the worker never imports this.

`sources` opens a file and reads it row by row, `labels` understands what it calls its labels, `subject` is the model,
`run` classifies and counts in constant memory, `evaluation` is the result, `written` puts it down, `pictures` draws it.
"""
