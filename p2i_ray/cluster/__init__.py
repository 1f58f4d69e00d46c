"""The Ray cluster: joining it, its resources and its nodes."""
