"""The edge, which every HTTP request passes: authentication, limits, errors, health, metrics, draining."""
