"""Building blocks without configs: attention, transformer, residual block, timestep embedding."""
