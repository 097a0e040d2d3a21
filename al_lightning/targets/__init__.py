"""Target kinds: what a label becomes for AL, what is measured, and how scores are read."""
