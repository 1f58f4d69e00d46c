"""The families of diffusion models that can be trained and painted with, behind one interface."""
