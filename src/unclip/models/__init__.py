"""The networks: tensors in, tensors out. They know no schedule, no files and no device."""
