"""The judge: an LMM that scores, critiques and summarises."""
