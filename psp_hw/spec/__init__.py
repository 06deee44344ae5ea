"""The request as frozen dataclasses: what to train, how to prune, how to quantize. No heavy imports here."""
