"""What a registry is shown: with the first request, after a 401, and from then on."""
