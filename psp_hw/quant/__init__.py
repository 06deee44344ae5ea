"""The quantized layers that are allowed, folding of BN, calibration."""
