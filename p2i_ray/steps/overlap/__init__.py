"""Work done before its turn, beside another step, where the cluster has room for both. The loop knows nothing of it."""
