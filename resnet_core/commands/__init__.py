"""One file per verb of the command line. Heavy imports stand inside the verbs: `--help` answers at once."""
