"""An open, complete DALL-E 2: CLIP, a prior, a diffusion decoder and two diffusion upsamplers."""
