"""Evidence: signed statements about image digests, kept beside the images in their registry.

``statement`` is the frame that all of them share (in-toto), ``kinds`` knows what they can state,
each of which is a module of its own, ``attestation`` is the form in which a registry keeps one
(OCI), and ``store`` writes and reads them. A gate sees an ``Evidence`` and nothing of the rest.
"""
