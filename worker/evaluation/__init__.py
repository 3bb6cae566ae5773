"""Measuring a model on labelled reviews: figures, calibration, pictures. Apart: the worker never imports this."""
