"""A sweep: where its trials are kept, who works on them, which of them are on the front. Import `psp_hw.flow.sweep`."""
