"""What users give: loads as arrays, lists or tensors; sizes; names."""
