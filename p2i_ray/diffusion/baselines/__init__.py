"""The paper's baselines: methods that paint the same products, behind the interface of the sampler."""
