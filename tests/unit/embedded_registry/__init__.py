"""The embedded registry speaks distribution-spec 1.1 and tells what it was asked."""
