"""The model folder: loading, validation, prompt, LoRA, export, card."""
