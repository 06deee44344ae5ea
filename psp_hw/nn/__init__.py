"""The networks, built from a NetSpec. Import `psp_hw.nn.registry`; this file stays free of torch."""
