"""Development aids: an embedded registry, real parts on demand, the demo. Never deployed."""
