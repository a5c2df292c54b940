"""Development aids: an embedded registry, real parts on demand, the demo. Nothing here is deployed."""
