"""The diffusion process: schedules, conversions, losses, samplers, guides and the driver. It knows no network."""
