"""A client for OCI registries: references, manifests, and copying images between repositories.

Follows the OCI Distribution Specification 1.1 and the OCI Image Specification 1.1. Nothing outside
this package knows how a registry is spoken to.
"""
