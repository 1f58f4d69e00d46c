"""Datasets through the judge: requests, retries and the answer cache."""
