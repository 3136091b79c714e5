"""What users ask of plans: comparisons."""
