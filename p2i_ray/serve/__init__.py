"""HTTP services: the generator (images, jobs, a web page) and the LMM (chat)."""
