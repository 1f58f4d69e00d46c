"""The diffusion model: losses, train step, model folder, features, training and sampling."""
