"""The two phases of training, the run folder, the export. Import `psp_hw.training.api`; torch is not loaded here."""
