"""Product2IMG as a distributed system on Ray; read idr.py first."""
