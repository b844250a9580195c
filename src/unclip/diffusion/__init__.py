"""The diffusion process: schedule, conversions, losses, samplers, guides and driver. It knows no network."""
