"""Molecules with better scores: policy-gradient fine-tuning of a GraphAF, and improvement of given molecules."""
