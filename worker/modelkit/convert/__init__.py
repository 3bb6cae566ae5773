"""Build-time import of models: a trained checkpoint in, a model artifact out.

The worker never imports this package; its dependencies are the extra ``convert``.
"""
